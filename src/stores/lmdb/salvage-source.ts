import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { InputError } from '../input-error.js'
import { FILES, readJson, statOf } from './files.js'
import { InUseError, lockOutAll, type Lock } from './locks.js'
import { FORMAT } from './records.js'

/** A data file, which no server has open. */
export interface Source {
  readonly path: string
  /** Whether the directory that it lies in says that it is of the format of this version. */
  readonly isMarked: boolean
  release (): void
}

/**
 * Finds the data file of a store, and keeps servers from it.
 * @param given the directory of the store, or the file
 * @throws {InputError} when there is none, or a server has it
 */
export function openSource (given: string): Source {
  const found = statOf(given)
  if (found === undefined) throw new InputError(`there is no file or directory ${given}`)
  const path = found.isDirectory() ? join(given, FILES.data) : realpathSync(given)
  const file = statOf(path)
  if (file === undefined) throw new InputError(`there is no ${FILES.data} in ${given}`)
  if (!file.isFile()) throw new InputError(`${path} is not a file`)
  // A copy under another name is nobody's.
  if (basename(path) !== FILES.data) return { path, isMarked: false, release () {} }
  return { path, isMarked: isMarked(dirname(path)), release: lock(dirname(path)).release }
}

function isMarked (directory: string): boolean {
  try {
    return String(readJson(directory, FILES.marker)?.['format']) === FORMAT
  } catch {
    // It may be damaged too.
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
