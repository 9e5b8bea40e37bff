import type { Writable } from 'node:stream'
import { scanText } from '../json/scanner.js'
import type { SessionCopy, SessionStore } from '../session.js'
import { END_LINE, headerLine, MAX_LINE_BYTES, sessionLine } from './line.js'
import type { Watch } from '../stores/data-store.js'
import { quoted, size } from './words.js'

/** What was exported. */
export interface Exported {
  readonly sessions: number
  readonly keys: number
  /** Of the whole text. */
  readonly bytes: number
}

/** Bytes that are collected before they are written. */
const WRITE_BYTES = 65_536

/**
 * Writes every session that is alive at `now`, one after the other, waiting for the output whenever it is behind. The
 * output is not ended. The caller listens for its 'error' event; the error rejects here too.
 *
 * @param longest bytes of a line, so that no line is exported that cannot be imported
 */
export async function exportSessions (
  store: Pick<SessionStore, 'copies'>, now: number, output: Writable, watch: Watch<Exported> = {}, longest = MAX_LINE_BYTES
): Promise<Exported> {
  const text = collector(output)
  let sessions = 0
  let keys = 0
  text.add(`${headerLine(now)}\n`)
  for await (const copy of store.copies(now)) {
    watch.signal?.throwIfAborted()
    assertJson(copy)
    const before = text.bytes()
    for (const piece of sessionLine(copy)) {
      if (text.add(piece)) await text.flush()
    }
    if (text.bytes() - before > longest) throw new Error(`session ${copy.id} takes a line of more than ${size(longest)}`)
    text.add('\n')
    sessions++
    keys += copy.keys.size
    watch.report?.({ sessions, keys, bytes: text.bytes() })
  }
  text.add(`${END_LINE}\n`)
  await text.flush()
  return { sessions, keys, bytes: text.bytes() }
}

/** What is not JSON could not be imported, and neither could all that is exported with it. @throws {Error} */
function assertJson ({ id, keys }: SessionCopy): void {
  for (const [key, value] of keys) {
    try {
      scanText(value, undefined)
    } catch {
      throw new Error(`session ${id}: the value of key ${quoted(key)} is not JSON`)
    }
  }
}

/** Collects text, so that a million small pieces are not a million writes. */
export function collector (output: Writable) {
  let bytes = 0
  let pending: string[] = []
  let length = 0
  return {
    /** All that was ever added. */
    bytes: () => bytes,

    /** True when it is time to flush. */
    add (text: string): boolean {
      const size = Buffer.byteLength(text)
      bytes += size
      length += size
      pending.push(text)
      return length >= WRITE_BYTES
    },

    /** Resolves when the output has taken everything, and rejects when it has failed. */
    async flush (): Promise<void> {
      const text = pending.join('')
      pending = []
      length = 0
      await new Promise<void>((resolve, reject) => {
        output.write(text, error => error == null ? resolve() : reject(error))
      })
    },
  }
}
