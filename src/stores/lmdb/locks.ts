import { closeSync, existsSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock } from 'fs-native-extensions'
import { PRIVATE_FILE } from '../../durable.js'
import { FILES } from './files.js'

/** A lock of the operating system, which releases it when the process ends in whatever way. */
export interface Lock {
  release (): void
}

/** Another process has the directory. */
export class InUseError extends Error {}

/** Where in the file the lock is: behind what the file says, which Windows would not let others read otherwise. */
export const LOCKED_BYTE = 2 ** 30

/** How long to wait for the workers of a server that was killed, which end by themselves at once. */
const PATIENCE_MS = 5_000
const PAUSE_MS = 50

function lock (directory: string, name: string, shared: boolean): { fd: number, granted: boolean } {
  const fd = openSync(join(directory, name), 'a+', PRIVATE_FILE)
  return { fd, granted: tryLock(fd, LOCKED_BYTE, 1, { shared }) }
}

function held (fd: number): Lock {
  let isHeld = true
  return {
    release () {
      // Only once: the file descriptor may belong to another file by now.
      if (isHeld) closeSync(fd)
      isHeld = false
    },
  }
}

function nameOfOwner (directory: string): string {
  const said = readFileSync(join(directory, FILES.owner), 'utf8').trim()
  return said === '' ? 'another process' : said
}

/** Takes the directory for this process. @throws {InUseError} naming the process that has it */
export function lockAsOwner (directory: string): Lock {
  const { fd, granted } = lock(directory, FILES.owner, false)
  if (!granted) {
    closeSync(fd)
    throw new InUseError(`${nameOfOwner(directory)} has it`)
  }
  ftruncateSync(fd)
  writeSync(fd, `process ${process.pid} on ${hostname()}, since ${new Date().toISOString()},\n`)
  return held(fd)
}

/** Joins the processes that write to the directory. @throws {Error} while another process has to have it to itself */
export function lockAsMember (directory: string): Lock {
  const { fd, granted } = lock(directory, FILES.members, true)
  if (granted) return held(fd)
  closeSync(fd)
  throw new Error('another process is about to open it')
}

/** Keeps every process from writing to the directory; undefined while one may. */
export function tryLockOut (directory: string): Lock | undefined {
  const { fd, granted } = lock(directory, FILES.members, false)
  if (granted) return held(fd)
  closeSync(fd)
  return undefined
}

/** As tryLockOut(), but makes nothing in a directory that no server has ever used, such as a backup. */
export function lockOutIfUsed (directory: string): Lock | undefined {
  return existsSync(join(directory, FILES.members)) ? tryLockOut(directory) : { release () {} }
}

/**
 * Keeps servers from a directory on a file system that is read-only here, but that others may have mounted to write to it. A
 * shared lock is all that can be had without writing.
 * @throws {InUseError} while a server has it: LMDB could not be kept from overwriting what is read
 */
export function lockAsReader (directory: string): Lock {
  const lock = tryShareOwner(directory)
  if (lock !== undefined) return lock
  throw new InUseError('a server has it, which cannot be told of readers on a file system that is read-only here: run this where it can be written to')
}

/** Keeps servers from taking the directory, without writing to it; undefined while one has it. */
function tryShareOwner (directory: string): Lock | undefined {
  const owner = join(directory, FILES.owner)
  if (!existsSync(owner)) return { release () {} }
  const fd = openSync(owner, 'r')
  if (tryLock(fd, LOCKED_BYTE, 1, { shared: true })) return held(fd)
  closeSync(fd)
  return undefined
}

/**
 * Keeps every process from the directory while its data file is read without LMDB, and makes nothing in it.
 * @throws {InUseError} naming the process that has it
 */
export function lockOutAll (directory: string): Lock {
  const owner = tryShareOwner(directory)
  if (owner === undefined) throw new InUseError(`${nameOfOwner(directory)} has it, and has to be stopped first`)
  let others: Lock | undefined
  try {
    others = lockOutIfUsed(directory)
  } catch (error) {
    // Whoever writes to it elsewhere has a server that has it.
    if ((error as NodeJS.ErrnoException).code === 'EROFS') return owner // Only read: undefined on every other error.
    owner.release()
    throw error
  }
  if (others === undefined) {
    owner.release()
    throw new InUseError('workers of a server that is gone, or a command, still use it')
  }
  const { release } = others
  return {
    release () {
      release()
      owner.release()
    },
  }
}

/**
 * Keeps every process from writing to the directory, once those have ended that still may.
 * @param patienceMs milliseconds
 * @throws {InUseError} when they have not ended by then
 */
export async function lockOut (directory: string, patienceMs = PATIENCE_MS): Promise<Lock> {
  let lock = tryLockOut(directory)
  for (let waited = 0; lock === undefined && waited < patienceMs; waited += PAUSE_MS) {
    await sleep(PAUSE_MS)
    lock = tryLockOut(directory)
  }
  if (lock === undefined) throw new InUseError('workers of a server that is gone, or a command, still use it')
  return lock
}
