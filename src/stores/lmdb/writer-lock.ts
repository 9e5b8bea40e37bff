import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock, unlock, waitForLockSync } from 'fs-native-extensions'
import { PRIVATE_FILE } from '../../durable.js'
import { FILES } from './files.js'
import { LOCKED_BYTE } from './locks.js'

/**
 * Held by the one process that writes, or opens LMDB, in front of LMDB's own lock (lmdb 3.5.6), which alone would not do:
 *
 * - Its waking calls can get lost. Unlocking it wakes one process that waits; when that is killed before it takes the lock, and
 *   a third process has taken it meanwhile, nobody wakes the others, which sleep until somebody else has to wait.
 * - Opening LMDB sets the number of the last transaction that all processes share to the one it has read just before. When another
 *   process has committed in between, the next transaction overwrites that one (OpenLDAP's ITS#9496), or none succeeds any more.
 *
 * The operating system releases this one when its process ends, and tells everybody who waits.
 */
export interface WriterLock {
  /** Waits for the lock, and keeps this thread from everything else meanwhile. */
  take (): void
  release (): void
  /** Runs work while it holds the lock. Rejects when another process has it for too long. */
  hold<T> (work: () => T): Promise<T>
  close (): void
}

/** How long opening waits for another process, in milliseconds: it then writes without pause, or is stopped. */
const PATIENCE_MS = 20_000
const PAUSE_MS = 1

/**
 * The lock of a directory. What take() waits for has no end by itself: see LmdbOptions.commits.
 * @param patienceMs milliseconds that hold() waits
 */
export function openWriterLock (directory: string, patienceMs = PATIENCE_MS): WriterLock {
  const fd = openSync(join(directory, FILES.writer), 'a+', PRIVATE_FILE)
  const release = (): void => unlock(fd, LOCKED_BYTE, 1)
  return {
    take () { waitForLockSync(fd, LOCKED_BYTE, 1, EXCLUSIVE) },
    release,
    async hold (work) {
      for (let waitedMs = 0; !tryLock(fd, LOCKED_BYTE, 1, EXCLUSIVE); waitedMs += PAUSE_MS) {
        if (waitedMs >= patienceMs) throw new Error(`another process has kept this one from opening it for ${patienceMs / 1e3} s: is it stopped?`)
        await sleep(PAUSE_MS)
      }
      try {
        return work()
      } finally {
        release()
      }
    },
    close () { closeSync(fd) },
  }
}

const EXCLUSIVE = { shared: false }

/** Opens LMDB to read a directory in which servers may write. In one that no server has ever used, such as a backup, nobody does. */
export async function whileNobodyWrites<T> (directory: string, open: () => T): Promise<T> {
  if (!existsSync(join(directory, FILES.writer))) return open()
  const lock = openWriterLock(directory)
  try {
    return await lock.hold(open)
  } finally {
    lock.close()
  }
}
