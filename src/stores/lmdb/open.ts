import { setTimeout as sleep } from 'node:timers/promises'
import type { SessionStore } from '../../session.js'
import type { CommonOptions } from '../options.js'
import type { Claim } from '../row.js'
import { takeDirectory, type OwnDirectory } from './check.js'
import { filesOf, requireSame, writeStamp } from './files.js'
import { lockAsMember, tryLockOut } from './locks.js'
import type { LmdbOptions } from './options.js'
import { openReader } from './reader.js'
import { openRoot } from './root.js'
import { LmdbStore } from './store.js'
import { openTables } from './tables.js'
import { openWriterLock } from './writer-lock.js'

type Options = CommonOptions & LmdbOptions

/** Milliseconds in which some file systems give two changes of a file the same time. */
const FILE_TIME_TICK_MS = 12

/**
 * Sessions in a directory, which is created when it is not there. A change is on the disk before its promise resolves.
 * Rejects with an Error that says in one line why the directory cannot be used: another process has it, its data is damaged
 * or of another format, or the operating system refuses.
 */
export async function lmdbStore (directory: string, options: Options = {}): Promise<SessionStore> {
  if (options.role === 'member') {
    const lock = lockAsMember(directory)
    // LMDB would make a new file in the place of one that is missing.
    if (options.files !== undefined) requireSame(directory, options.files)
    return await opened(directory, options, async () => { lock.release() })
  }
  const own = await takeDirectory(directory, options.report ?? ignore)
  return await opened(directory, options, async isSound => { await leave(directory, own, isSound) })
}

/** Takes a directory for the workers of this process, and checks it. Rejects as lmdbStore() does. */
export async function claimDirectory (directory: string, { report = ignore }: CommonOptions = {}): Promise<Claim<LmdbOptions>> {
  const own = await takeDirectory(directory, report)
  own.share()
  return {
    options: { role: 'member', files: filesOf(directory) },
    async release (isSound) {
      const others = tryLockOut(directory)
      await leave(directory, own, isSound && others !== undefined)
      others?.release()
    },
  }
}

/** A store in a directory that others may write to, for copies(), totals() and find() only. Rejects as openReader() does. */
export async function lmdbReader (directory: string): Promise<SessionStore> {
  const { root, close } = await openReader(directory)
  return new LmdbStore(directory, {}, { root, tables: openTables(root), lock: NO_LOCK }, close)
}

/** Of what is only read. */
const NO_LOCK = { take () {}, release () {} }

/** Gives a directory up. @param isSound whether the data file was closed as it should be, and is not written to any more */
async function leave (directory: string, own: OwnDirectory, isSound: boolean): Promise<void> {
  try {
    if (!isSound) return
    // Any later change of the file has another time then.
    await sleep(FILE_TIME_TICK_MS)
    writeStamp(directory)
  } catch {
    // On a full disk, say. Without it the next start takes longer, no more.
  } finally {
    own.release()
  }
}

function ignore (): void {}

async function opened (directory: string, options: Options, release: (isSound: boolean) => Promise<void>): Promise<SessionStore> {
  const { lock, root, tables } = await openToWrite(directory, options).catch(async error => {
    await release(false)
    throw error
  })
  return new LmdbStore(directory, options, { lock, root, tables }, async isSound => {
    await root.close()
    lock.close()
    await release(isSound)
  })
}

async function openToWrite (directory: string, { commits }: Options) {
  const lock = openWriterLock(directory)
  try {
    return await lock.hold(() => {
      commits?.wait()
      // What could be found to be wrong was found before: when LMDB itself fails to open, it takes the process down with it.
      const root = openRoot(directory)
      return { lock, root, tables: openTables(root) }
    })
  } catch (error) {
    lock.close()
    throw error
  } finally {
    commits?.end()
  }
}
