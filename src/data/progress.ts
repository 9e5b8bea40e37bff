import type { Writable } from 'node:stream'

/** Where progress is shown; a stream that is no terminal has no `isTTY`. */
export type Terminal = Writable & { readonly isTTY?: boolean, readonly columns?: number }

/** One line on a terminal that says how far a command is. */
export interface Progress {
  /** Called as often as anything happens: `text` is asked only when it is time to show it. */
  show (text: () => string): void
  /** Takes the line away. Anything else that is printed on the terminal has to wait for it. */
  clear (): void
}

/** Milliseconds that the line stands before it is written again. */
const PACE_MS = 250

const ERASE = '\r\u001b[K'

/** Progress on a terminal; none on what is none. @param elapsed a monotonic clock in milliseconds */
export function progressOn (terminal: Terminal, elapsed = () => performance.now()): Progress {
  if (terminal.isTTY !== true) return noProgress
  let next = -Infinity
  let shown = false
  return {
    show (text) {
      if (elapsed() < next) return
      next = elapsed() + PACE_MS
      shown = true
      // A line that is as wide as the terminal would wrap, and could not be written over. Some say that they have no columns.
      terminal.write(ERASE + text().slice(0, (terminal.columns || 80) - 1))
    },

    clear () {
      if (shown) terminal.write(ERASE)
      shown = false
    },
  }
}

/** For where nobody looks. */
export const noProgress: Progress = { show () {}, clear () {} }
