import { accessSync, constants, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { checkData } from './check.js'
import { FILES, hasMarker, needsCheck, requireFiles, statOf } from './files.js'
import { lockAsReader, lockOutIfUsed } from './locks.js'
import { openRoot } from './root.js'
import { whileNobodyWrites } from './writer-lock.js'

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
 * @throws {NoStoreError} @throws {InUseError} @throws {Error} when its data is damaged
 */
export async function openReader (directory: string, thorough = false): Promise<Reader> {
  const data = join(directory, FILES.data)
  if (!statOf(directory)?.isDirectory()) throw new NoStoreError(`there is no directory ${directory}`)
  requireFiles(directory)
  const isMarked = hasMarker(directory)
  if (!existsSync(data)) {
    if (isMarked) throw new Error(`${FILES.data} is missing beside ${FILES.marker}`)
    throw new NoStoreError(`${directory} holds no store of Holdfast's`)
  }
  const isFixed = isReadOnly(directory)
  const quiet = isFixed ? lockAsReader(directory) : lockOutIfUsed(directory)
  const had = existsSync(join(directory, FILES.lock))
  try {
    // Without the marker only the data file can say whose it is, as when a server opens it.
    if (quiet !== undefined && (thorough || !isMarked || needsCheck(directory))) checkData(data, () => {})
    const open = (): RootDatabase => openRoot(directory, true)
    const root = isFixed ? open() : await whileNobodyWrites(directory, open)
    return {
      root,
      async close () {
        await root.close()
        // LMDB makes a lock file even for reading, and a backup should have none. Nobody else can use it by now.
        if (quiet !== undefined && !had && !isFixed) rmSync(join(directory, FILES.lock), { force: true })
        quiet?.release()
      },
    }
  } catch (error) {
    quiet?.release()
    throw error
  }
}

/** Whether the directory is on a file system that is read-only, where LMDB does without its lock. */
function isReadOnly (directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS' // Only read: undefined on every other error.
  }
}
