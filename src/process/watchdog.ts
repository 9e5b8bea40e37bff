import { hostname } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { LmdbOptions } from '../stores/lmdb/options.js'

/** Milliseconds between two looks at the transaction that is open or waited for. */
export const TICK_MS = 250

/** Milliseconds that a transaction may take. */
const OPEN_LIMIT_MS = 5_000

/**
 * Milliseconds that a transaction may wait for those of other processes. It is longer than a primary needs to kill a worker
 * that is stopped in the middle of one.
 */
const WAIT_LIMIT_MS = 20_000

/** Looks at one and the same transaction after which it is taken to hang. */
export const LIMITS: Limits = { open: OPEN_LIMIT_MS / TICK_MS, waiting: WAIT_LIMIT_MS / TICK_MS }

const REASSURANCE = 'What was acknowledged is on the disk'

/** What the log says of a process whose transaction hangs. */
export const MESSAGES: Readonly<Record<Phase, string>> = {
  open: `ending because a transaction did not end in ${OPEN_LIMIT_MS / 1e3} s: the disk hangs. ${REASSURANCE}`,
  waiting: `ending because another process has kept this one from writing for ${WAIT_LIMIT_MS / 1e3} s: it is stopped, or its disk hangs. ${REASSURANCE}`,
}

/** What a transaction does: it waits for those of other processes, or it is the only one. */
type Phase = 'open' | 'waiting'

type Limits = Readonly<Record<Phase, number>>

/** What a thread shares with the watchdog: the number of the transaction with its phase, or 0; and whether it was given up. */
export const CELLS = 2
const TRANSACTION = 0
export const GIVEN_UP = 1

/** The bit of a transaction's number that says that it does not wait any more. */
const IS_OPEN = 2

/** What the watchdog's thread gets to know. */
export interface Watched {
  readonly cells: Int32Array
  /** Whether to write a line about a transaction that hangs, as pino would, to stderr. */
  readonly log: boolean
  readonly hostname: string
}

/**
 * Looks at the transaction whenever it is called, and calls back when it has seen the same one in the same phase as often as
 * the limit says. It counts looks and reads no clock, so that a process that was stopped, or a machine that was asleep, is not
 * taken for a disk that hangs.
 */
export function watch (cells: Int32Array, limits: Limits, hangs: (phase: Phase) => void): () => void {
  let seen = 0
  let looks = 0
  return () => {
    const state = Atomics.load(cells, TRANSACTION)
    looks = state !== 0 && state === seen ? looks + 1 : 0
    seen = state
    const phase = (state & IS_OPEN) === 0 ? 'waiting' : 'open'
    if (looks === limits[phase]) hangs(phase)
  }
}

/**
 * What the store calls around each transaction; measured: 60 ns for all three together.
 * @param exit ends the process; called when a transaction ends after all that was given up
 */
export function commitsIn (cells: Int32Array, exit: () => void): Required<LmdbOptions>['commits'] {
  let number = 1
  return {
    wait () {
      number = (number + 4) | 0 // Odd, so that it is never 0, and without the bit of an open one.
      Atomics.store(cells, TRANSACTION, number)
    },
    begin () {
      Atomics.store(cells, TRANSACTION, number | IS_OPEN)
    },
    end () {
      Atomics.store(cells, TRANSACTION, 0)
      if (Atomics.load(cells, GIVEN_UP) !== 0) exit()
    },
  }
}

/**
 * Ends this process when a transaction does not end in 5 seconds, or waits for those of other processes for longer than 20.
 * @param log whether to write a line about it, as pino would, to stderr
 */
export function startWatchdog (log: boolean): Required<LmdbOptions>['commits'] {
  const cells = new Int32Array(new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT))
  const workerData: Watched = { cells, log, hostname: hostname() }
  // Without the options of this process, which may load a debugger or a compiler.
  new Worker(new URL('watchdog-thread.js', import.meta.url), { workerData, execArgv: [], env: {} }).unref()
  return commitsIn(cells, () => process.exit(1))
}
