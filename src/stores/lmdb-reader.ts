import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { checkData } from './lmdb-check.js'
import { FILES, hasMarker, needsCheck, statOf } from './lmdb-files.js'
import { lockOutIfUsed } from './lmdb-locks.js'
import { openRoot } from './lmdb-root.js'

/** The directory has no store of Holdfast's in it. */
export class NoStoreError extends Error {}

/** A store that is only read, while others may have it open and write to it. */
export interface Reader {
  readonly root: RootDatabase
  close (): Promise<void>
}

/**
 * Opens a store to read it, and leaves its directory as it is. Unless a server has it, it is checked first.
 * @param thorough checks the data file even if it is as it was closed
 * @throws {NoStoreError} @throws {Error} when its data is damaged
 */
export async function openReader (directory: string, thorough = false): Promise<Reader> {
  const data = join(directory, FILES.data)
  if (!statOf(directory)?.isDirectory()) throw new NoStoreError(`there is no directory ${directory}`)
  if (!hasMarker(directory)) throw new NoStoreError(`${directory} holds no store of Holdfast's`)
  if (!existsSync(data)) throw new Error(`${FILES.data} is missing beside ${FILES.marker}`)
  const quiet = lockOutIfUsed(directory)
  const had = existsSync(join(directory, FILES.lock))
  try {
    if (quiet !== undefined && (thorough || needsCheck(directory))) checkData(data, () => {})
    const root = openRoot(directory, true)
    return {
      root,
      async close () {
        await root.close()
        // LMDB makes one even for reading, which is nothing to find in a backup. Nobody else can have come to use it.
        if (quiet !== undefined && !had) rmSync(join(directory, FILES.lock), { force: true })
        quiet?.release()
      }
    }
  } catch (error) {
    quiet?.release()
    throw error
  }
}
