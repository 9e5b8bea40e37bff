import { statfsSync } from 'node:fs'
import { StatusError } from '../../status.js'

/** With less than this left a disk counts as full: LMDB says only that a write came out short. */
const FULL_BELOW_BYTES = 1024 * 1024

const FULL = 'The disk of the store is full: nothing was changed. Reading goes on, and writing does as soon as there is space.'
const FAILED = 'The store could not write, and the log says why: nothing was changed.'

/**
 * LMDB must not find out itself that a disk is full: it damages memory while it says so, or dies of it.
 * @param growth bytes that are going to be written at most @throws {Error} ENOSPC when there might be no space for them
 */
export function refuseWhenFull (directory: string, growth = 0): void {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize < FULL_BELOW_BYTES + growth) throw Object.assign(new Error('no space left on the disk'), { code: 'ENOSPC' })
}

/** What requests are answered with whose transaction failed. @param directory where the disk is that may be full */
export function writeFault (cause: unknown, directory: string): StatusError {
  return isFull(cause, directory)
    ? new StatusError('LimitExceeded', '', FULL, { cause })
    : new StatusError('StoreUnavailable', '', FAILED, { cause })
}

/** Whether it is only writing that does not work. */
export function isWriteFault (error: unknown): boolean {
  return error instanceof StatusError && (error.status === 'LimitExceeded' || error.status === 'StoreUnavailable')
}

function isFull (cause: unknown, directory: string): boolean {
  const { message } = cause as Error // lmdb throws nothing else.
  if (/no space left|quota exceeded/i.test(message)) return true
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize < FULL_BELOW_BYTES
  } catch {
    return false
  }
}

/** Whether LMDB refuses to do anything more until the process has opened it anew. */
export function isPanic (error: unknown): boolean {
  return error instanceof Error && error.message.includes('MDB_PANIC')
}

/** How LMDB begins to describe a page that it could not write, and how much memory it takes for that (lmdb 3.5.6). */
const DESCRIPTION = 'Attempting to write page'
const DESCRIPTION_BYTES = 100

/** Whether LMDB has described the error on stderr too, in a line that it has not ended. */
export function isHalfLine ({ message }: Error): boolean {
  return message.includes(DESCRIPTION)
}

/** Whether LMDB has described the error in more letters than it had memory for, and so has written over what is not its own. */
export function hasOverrun ({ message }: Error): boolean {
  const at = message.indexOf(DESCRIPTION)
  return at >= 0 && message.length - at >= DESCRIPTION_BYTES
}

/**
 * Whether LMDB gave up a transaction of which nothing was written. With large ones it happens that it does so while it notes
 * free pages, though nothing is wrong (lmdb 3.5.6; seen once in more than 10,000): the same work then succeeds.
 */
export function isGivenUp (error: unknown): boolean {
  return error instanceof Error && error.message.includes('MDB_BAD_TXN')
}

/** What LMDB says of pages that cannot be what was written. */
export function isCorruption (error: unknown): boolean {
  return error instanceof Error && /MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID)/.test(error.message)
}
