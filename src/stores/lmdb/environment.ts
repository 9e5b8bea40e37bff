import type { RootDatabase, Transaction } from 'lmdb'
import { StatusError } from '../../status.js'
import type { CommonOptions } from '../options.js'
import { hasOverrun, isCorruption, isGivenUp, isHalfLine, isPanic, refuseWhenFull, writeFault } from './faults.js'
import { filesOf, ReplacedError, requireSame, writeSuspicion } from './files.js'
import type { WorkResult } from './group-commit.js'
import type { LmdbOptions, StoreFiles } from './options.js'
import { damaged } from './records.js'
import type { WriterLock } from './writer-lock.js'

/** What an environment needs of what was opened. */
export interface EnvironmentParts {
  readonly root: RootDatabase
  /** Held during each transaction. */
  readonly lock: Pick<WriterLock, 'take' | 'release'>
  /** How many bytes the file can have to grow by, at most, for what was changed since the last call. */
  takeGrowth (): number
  readonly directory: string
}

/** LMDB's environment (MDB_env) in a directory: transactions and reads whose faults are statuses, and are reported. */
export class Environment {
  readonly #parts: EnvironmentParts
  readonly #options: CommonOptions & LmdbOptions
  readonly #files: StoreFiles
  /** What every request is answered with once LMDB does nothing more. */
  #failure: StatusError | undefined
  #damagedRecords = 0
  /** Whether the last transaction failed: of several in a row only the first is reported. */
  #isFailing = false

  constructor (parts: EnvironmentParts, options: CommonOptions & LmdbOptions) {
    this.#parts = parts
    this.#options = options
    this.#files = options.files ?? filesOf(parts.directory)
  }

  /** Whether LMDB does nothing more until the process has opened it anew. */
  get hasFailed (): boolean {
    return this.#failure !== undefined
  }

  /** Reads what was committed up to now, by any process: lmdb would go on with the snapshot of an earlier read. @throws {StatusError} as guarded() */
  read<T> (read: () => T): T {
    return this.guarded(() => {
      this.#parts.root.resetReadTxn()
      return read()
    })
  }

  /** Runs what reads, and translates LMDB's faults. @throws {StatusError} DataDamaged, StoreUnavailable */
  guarded<T> (read: () => T): T {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return read()
    } catch (error) {
      throw this.#translate(error)
    }
  }

  /** What is committed up to now, to be read over several turns of the event loop. Its done() has to be called. */
  snapshot (): Transaction {
    return this.read(() => this.#parts.root.useReadTransaction())
  }

  /** Runs work in a transaction, of which it may need two; what it wrote is durable then. @throws {StatusError} LimitExceeded, StoreUnavailable */
  transact (work: () => void): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#commitOrAgain(work)
      this.#isFailing = false
    } catch (cause) {
      throw this.#translateFailure(cause)
    } finally {
      this.#options.commits?.end()
    }
  }

  /** Runs one piece of work inside a transaction. Damage is the failure of that piece, and not of the transaction. */
  attempt<T> (work: () => WorkResult<T>): WorkResult<T> {
    let result: WorkResult<T>
    try {
      result = work()
    } catch (error) {
      // Thrown by what reads, before anything is changed.
      if (!(error instanceof StatusError)) throw error
      result = { error }
    }
    return 'error' in result ? { error: this.#translate(result.error) } : result
  }

  reportDamage (error: Error): void {
    this.#damagedRecords++
    const { message } = error.cause instanceof Error ? error.cause : error
    this.#options.report?.(new Error(`${message} (damaged records met since the start: ${this.#damagedRecords})`))
  }

  /** Checks that LMDB's files are still those that were opened, which reads alone do not notice. @throws {StatusError} StoreUnavailable */
  checkFiles (): void {
    try {
      requireSame(this.#parts.directory, this.#files)
    } catch (error) {
      throw this.#translateFailure(error)
    }
  }

  #commitOrAgain (work: () => void): void {
    try {
      this.#commit(work)
    } catch (error) {
      if (!isGivenUp(error)) throw error
      this.#commit(work)
    }
  }

  #commit (work: () => void): void {
    const { root, lock, directory } = this.#parts
    this.#options.commits?.wait()
    lock.take()
    try {
      root.transactionSync(() => {
        this.#options.commits?.begin()
        this.#parts.takeGrowth()
        work()
        requireSame(directory, this.#files)
        refuseWhenFull(directory, this.#parts.takeGrowth())
      })
    } finally {
      lock.release()
    }
  }

  /** What a request is answered with that has met this error. */
  #translate (error: unknown): unknown {
    if (isPanic(error)) return this.#fail('LMDB could not update its meta page, and does nothing more until it is opened anew', error)
    const isStructural = isCorruption(error)
    if (isStructural) writeSuspicion(this.#parts.directory)
    const fault = isStructural ? damaged((error as Error).message) : error // What isCorruption() looks at.
    if (fault instanceof StatusError && fault.status === 'DataDamaged') this.reportDamage(fault)
    return fault
  }

  /** What the requests of a transaction are answered with that failed with this error. */
  #translateFailure (cause: unknown): unknown {
    if (cause instanceof ReplacedError) return this.#fail(`${cause.message}: nothing can be written to it any more`, cause)
    if (isCorruption(cause)) return this.#translate(cause)
    // Whatever else is no error of the operating system's or LMDB's is a fault of ours.
    if (!(cause instanceof Error && ('code' in cause || isGivenUp(cause)))) return cause
    if (isHalfLine(cause)) process.stderr.write('\n')
    if (hasOverrun(cause)) return this.#fail('LMDB could not write, and has damaged the memory of this process while it said so', cause)
    try {
      this.read(() => this.#parts.root.get(PROBE))
    } catch (error) {
      return error
    }
    const fault = writeFault(cause, this.#parts.directory)
    if (!this.#isFailing) this.#options.report?.(new Error(fault.status === 'LimitExceeded' ? 'The disk is full: a transaction failed' : 'A transaction failed', { cause }))
    this.#isFailing = true
    return fault
  }

  #fail (why: string, cause: unknown): StatusError {
    if (this.#failure === undefined) {
      this.#failure = new StatusError('StoreUnavailable', '', 'The store has to be opened anew.', { cause })
      this.#options.onFatal?.(new Error(why, { cause }))
    }
    return this.#failure
  }
}

/** Any name will do: only whether reading works is asked. */
const PROBE = 'probe'
