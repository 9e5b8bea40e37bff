import { hostname } from 'node:os'
import { Worker } from 'node:worker_threads'
import { BEAT } from './heartbeat.js'
import type { LmdbOptions } from '../stores/lmdb/options.js'

/** Milliseconds between two looks at the transaction that is open. */
const TICK = 250

/** Looks at one and the same transaction after which it is taken to hang: 5 seconds. */
const LIMIT = 20

const MESSAGE = `ending because a transaction did not end in ${LIMIT * TICK / 1e3} s: the disk hangs. What was acknowledged is on the disk`

/** What a thread shares with the watchdog: the number of the transaction that is open, or 0; and whether it was given up. */
const OPEN = 0
const GIVEN_UP = 1

/**
 * Looks at the open transaction whenever it is called, and calls back when it has seen the same one `limit` times in a row.
 * It counts looks and reads no clock, so that a process that was stopped, or a machine that was asleep, is not taken for a disk
 * that hangs. It runs in a thread of its own, made from its text: it can use nothing of this module.
 */
export function watch (cells: Int32Array, limit: number, hangs: () => void): () => void {
  let seen = 0
  let looks = 0
  return () => {
    const open = Atomics.load(cells, 0)
    looks = open !== 0 && open === seen ? looks + 1 : 0
    seen = open
    if (looks === limit) hangs()
  }
}

/**
 * What the store calls around each transaction; measured: 25 ns for both together.
 * @param exit ends the process; called when a transaction ends after all that was given up
 */
export function commitsIn (cells: Int32Array, exit: () => void): Required<LmdbOptions>['commits'] {
  let number = 1
  return {
    begin () {
      number = (number + 2) | 0 // Odd, so that it is never 0.
      Atomics.store(cells, OPEN, number)
    },
    end () {
      Atomics.store(cells, OPEN, 0)
      if (Atomics.load(cells, GIVEN_UP) !== 0) exit()
    },
  }
}

/**
 * The thread. Nobody else can act: a transaction that waits for its disk keeps the main thread from everything. A thread
 * cannot call exit() for its process, but it can send it SIGKILL. From the first process of a container even that is not taken:
 * such a process ends as soon as its disk answers, in `end` above, or by whoever watches over the container.
 */
const THREAD = `
const { writeSync } = require('node:fs')
const { workerData: { cells, hostname, message, beat } } = require('node:worker_threads')
const tick = (${watch})(cells, ${LIMIT}, () => {
  try {
    if (message !== undefined) writeSync(2, JSON.stringify({ level: 60, time: Date.now(), pid: process.pid, hostname, msg: message }) + '\\n')
  } finally {
    process.kill(process.pid, 'SIGKILL')
    Atomics.store(cells, ${GIVEN_UP}, 1)
  }
})
setInterval(tick, ${TICK})
if (beat !== undefined) {
  const live = () => { try { writeSync(beat, '.') } catch {} }
  setInterval(live, ${BEAT})
  live()
}
`

/**
 * Ends this process when a transaction does not end in 5 seconds.
 * @param log whether to write a line about it, as pino would, to stderr
 * @param beat a file descriptor that gets a sign of life every second: see heartbeat.ts
 */
export function startWatchdog (log: boolean, beat?: number): Required<LmdbOptions>['commits'] {
  const cells = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
  const workerData = { cells, hostname: hostname(), message: log ? MESSAGE : undefined, beat }
  // Without the options of this process, which may load a debugger or a compiler.
  new Worker(THREAD, { eval: true, workerData, execArgv: [], env: {} }).unref()
  return commitsIn(cells, () => process.exit(1))
}
