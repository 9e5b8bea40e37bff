import type { Readable } from 'node:stream'

/** What a worker writes its signs of life to; before it come the streams that all have, and the one for orders and reports. */
export const BEAT_FD = 4

/** Milliseconds between two looks at a process. Its watchdog gives a sign of life as often. */
export const BEAT = 1_000

/** Looks without a sign of life after which a process is taken to be stopped. */
export const SILENCE = 10

/**
 * Calls back when a process that was heard of once is not heard of any more: it may be stopped, and hold the lock of the store
 * or connections that wait for it. It counts looks, as the watchdog does, and reads no clock.
 *
 * @param beats what the process writes to
 * @returns ends the looking
 */
export function listen (beats: Readable, isSilent: () => void, every = BEAT): () => void {
  let timer: NodeJS.Timeout | undefined
  let looks = 0

  function look (): void {
    if (++looks === SILENCE) isSilent()
  }

  beats.on('data', () => {
    looks = 0
    timer ??= setInterval(look, every).unref()
  })
  // It ends with the process, of which others tell.
  beats.on('error', () => {})
  return () => clearInterval(timer)
}
