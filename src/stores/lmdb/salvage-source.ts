import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { InputError } from '../input-error.js'
import { FILES, readJson, statOf } from './files.js'
import { InUseError, lockOutAll, type Lock } from './locks.js'
import { FORMAT } from './records.js'

/** A data file that no server can open until it is released. */
export interface Source {
  readonly path: string
  /** Whether the marker in its directory names this version's format. */
  readonly isMarked: boolean
  release (): void
}

/**
 * Finds the data file of a store, and locks servers out of it.
 * @param given the directory of the store, or the file
 * @throws {InputError} when there is no such file, or a server has it open
 */
export function openSource (given: string): Source {
  const found = statOf(given)
  if (found === undefined) throw new InputError(`there is no file or directory ${given}`)
  const path = found.isDirectory() ? join(given, FILES.data) : realpathSync(given)
  const file = statOf(path)
  if (file === undefined) throw new InputError(`there is no ${FILES.data} in ${given}`)
  if (!file.isFile()) throw new InputError(`${path} is not a file`)
  // No server opens a copy under another name, so it needs no lock.
  if (basename(path) !== FILES.data) return { path, isMarked: false, release () {} }
  return { path, isMarked: isMarked(dirname(path)), release: lock(dirname(path)).release }
}

function isMarked (directory: string): boolean {
  try {
    return String(readJson(directory, FILES.marker)?.['format']) === FORMAT
  } catch {
    // The marker may be damaged too.
    return false
  }
}

function lock (directory: string): Lock {
  try {
    return lockOutAll(directory)
  } catch (error) {
    throw error instanceof InUseError ? new InputError(error.message) : error
  }
}
