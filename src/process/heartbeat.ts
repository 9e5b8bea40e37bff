import type { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'

/** What a worker writes its signs of life to; before it come the streams that all have, and the one for orders and reports. */
export const BEAT_FD = 4

/** Milliseconds between two signs of life, and between two looks for them. */
export const BEAT_MS = 1_000

/** Looks without a sign of life after which a process is taken to be stopped. */
export const SILENT_LOOKS = 10

/**
 * Gives a sign of life of this process every second, whatever its main thread does: a worker that waits for another one to end
 * its transaction is as silent as the one that is stopped in the middle of it, and must not be killed for that.
 */
export function startHeartbeat (): void {
  // Without the options of this process, which may load a debugger or a compiler.
  new Worker(new URL('heartbeat-thread.js', import.meta.url), { execArgv: [], env: {} }).unref()
}

/**
 * Calls back when a process that was heard of once is not heard of any more: it may be stopped, and hold the lock of the store
 * or connections that wait for it. It counts looks, as the watchdog does, and reads no clock.
 *
 * @param beats what the process writes to
 * @returns ends the looking
 */
export function listen (beats: Readable, isSilent: () => void, everyMs = BEAT_MS): () => void {
  let timer: NodeJS.Timeout | undefined
  let looks = 0

  function look (): void {
    if (++looks === SILENT_LOOKS) isSilent()
  }

  beats.on('data', () => {
    looks = 0
    timer ??= setInterval(look, everyMs).unref()
  })
  // It ends with the process, of which others tell.
  beats.on('error', () => {})
  return () => clearInterval(timer)
}
