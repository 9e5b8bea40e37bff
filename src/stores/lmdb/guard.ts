import type { RootDatabase, Transaction } from 'lmdb'
import { StatusError } from '../../status.js'
import type { Settled } from './group-commit.js'
import { hasOverrun, isCorruption, isGivenUp, isHalfLine, isPoisoned, refuseWhenFull, writeFault } from './faults.js'
import { filesOf, ReplacedError, requireSame, writeSuspicion } from './files.js'
import type { LmdbOptions } from './options.js'
import { damaged } from './records.js'
import type { CommonOptions } from '../options.js'
import type { WriterLock } from './writer-lock.js'

/** Stands between a store and LMDB: turns what LMDB throws into statuses, and tells the process of it. */
export interface Guard {
  /** Reads what was committed up to now, by any process: lmdb would go on with the snapshot of an earlier read. */
  read<T> (read: () => T): T
  /** Runs what reads. @throws {StatusError} DataDamaged, StoreUnavailable */
  seeing<T> (read: () => T): T
  /** What is committed up to now, to be read over several turns of the event loop. Its done() has to be called. */
  snapshot (): Transaction
  /** Runs work in a transaction, of which it may need two; what it returned is durable then. @throws {StatusError} LimitExceeded, StoreUnavailable */
  transact (work: () => void): void
  /** Work inside a transaction. Damage is its own failure, and not that of the transaction. */
  settled<T> (work: () => Settled<T>): Settled<T>
  /** Tells the process of a damaged record that was met. */
  met (error: Error): void
  isPoisoned (): boolean
  /** What only reads would never notice that its files are not there any more. @throws {StatusError} StoreUnavailable */
  stillThere (): void
}

/**
 * @param lock held during each transaction
 * @param takeGrowth how many bytes the file can have to grow by, at most, for what was changed since the last call
 */
export function guardOf (root: RootDatabase, lock: Pick<WriterLock, 'take' | 'release'>, takeGrowth: () => number, directory: string, { report, onFatal, commits, files = filesOf(directory) }: CommonOptions & LmdbOptions): Guard {
  let poisoned: StatusError | undefined
  let damagedRecords = 0
  /** Whether the last transaction failed: only the first of several in a row is told. */
  let isFailing = false

  function met (error: Error): void {
    damagedRecords++
    const { message } = error.cause instanceof Error ? error.cause : error
    report?.(new Error(`${message} (damaged records met since the start: ${damagedRecords})`))
  }

  /** What a request is answered with that has met this error. */
  function translated (error: unknown): unknown {
    if (isPoisoned(error)) return poison('LMDB could not update its meta page, and does nothing more until it is opened anew', error)
    const isStructural = isCorruption(error)
    if (isStructural) writeSuspicion(directory)
    const fault = isStructural ? damaged((error as Error).message) : error // What isCorruption() looks at.
    if (fault instanceof StatusError && fault.status === 'DataDamaged') met(fault)
    return fault
  }

  function poison (why: string, cause: unknown): StatusError {
    if (poisoned === undefined) {
      poisoned = new StatusError('StoreUnavailable', '', 'The store has to be opened anew.', { cause })
      onFatal?.(new Error(why, { cause }))
    }
    return poisoned
  }

  function seeing<T> (read: () => T): T {
    if (poisoned !== undefined) throw poisoned
    try {
      return read()
    } catch (error) {
      throw translated(error)
    }
  }

  function failed (cause: unknown): unknown {
    if (cause instanceof ReplacedError) return poison(`${cause.message}: nothing can be written to it any more`, cause)
    if (isCorruption(cause)) return translated(cause)
    // Whatever else is no error of the operating system's or LMDB's is a fault of ours.
    if (!(cause instanceof Error && ('code' in cause || isGivenUp(cause)))) return cause
    if (isHalfLine(cause)) process.stderr.write('\n')
    if (hasOverrun(cause)) return poison('LMDB could not write, and has damaged the memory of this process while it said so', cause)
    try {
      read(() => root.get(PROBE))
    } catch (error) {
      return error
    }
    const fault = writeFault(cause, directory)
    if (!isFailing) report?.(new Error(fault.status === 'LimitExceeded' ? 'The disk is full: a transaction failed' : 'A transaction failed', { cause }))
    isFailing = true
    return fault
  }

  function read<T> (read: () => T): T {
    return seeing(() => {
      root.resetReadTxn()
      return read()
    })
  }

  function commit (work: () => void): void {
    commits?.wait()
    lock.take()
    try {
      root.transactionSync(() => {
        commits?.begin()
        takeGrowth()
        work()
        requireSame(directory, files)
        refuseWhenFull(directory, takeGrowth())
      })
    } finally {
      lock.release()
    }
  }

  function commitOrAgain (work: () => void): void {
    try {
      commit(work)
    } catch (error) {
      if (!isGivenUp(error)) throw error
      commit(work)
    }
  }

  return {
    read,
    seeing,
    met,
    isPoisoned: () => poisoned !== undefined,

    snapshot: () => read(() => root.useReadTransaction()),

    stillThere () {
      try {
        requireSame(directory, files)
      } catch (error) {
        throw failed(error)
      }
    },

    transact (work) {
      if (poisoned !== undefined) throw poisoned
      try {
        commitOrAgain(work)
        isFailing = false
      } catch (cause) {
        throw failed(cause)
      } finally {
        commits?.end()
      }
    },

    settled (work) {
      let result: ReturnType<typeof work>
      try {
        result = work()
      } catch (error) {
        // Thrown by what reads, before anything is changed.
        if (!(error instanceof StatusError)) throw error
        result = { error }
      }
      return 'error' in result ? { error: translated(result.error) } : result
    },
  }
}

/** Any name will do: only whether reading works is asked. */
const PROBE = 'probe'
