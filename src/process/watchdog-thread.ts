// The program of a thread: ends its process when a transaction of the main thread hangs. Nobody else can: a transaction that
// waits, for its disk or for another process, keeps the main thread from everything.
import { writeSync } from 'node:fs'
import { setInterval } from 'node:timers'
import { workerData } from 'node:worker_threads'
import { GIVEN_UP, LIMITS, MESSAGES, TICK_MS, watch, type Watched } from './watchdog.js'

const { cells, log, hostname } = workerData as Watched // As startWatchdog() says it.

/**
 * A thread cannot call exit() for its process, but it can send it SIGKILL. From the first process of a container even that is
 * not taken: such a process ends as soon as its transaction does, or by whoever watches over the container.
 */
setInterval(watch(cells, LIMITS, phase => {
  try {
    if (log) writeSync(2, `${JSON.stringify({ level: 60, time: Date.now(), pid: process.pid, hostname, msg: MESSAGES[phase] })}\n`)
  } finally {
    process.kill(process.pid, 'SIGKILL')
    Atomics.store(cells, GIVEN_UP, 1)
  }
}), TICK_MS)
