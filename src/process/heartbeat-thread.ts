// The program of a thread: gives the signs of life of a worker.
import { writeSync } from 'node:fs'
import { setInterval } from 'node:timers'
import { BEAT_FD, BEAT_MS } from './heartbeat.js'

function beat (): void {
  try {
    writeSync(BEAT_FD, '.')
  } catch {
    // The primary is gone, which ends the worker too.
  }
}

setInterval(beat, BEAT_MS)
beat()
