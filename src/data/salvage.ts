import type { Writable } from 'node:stream'
import type { JsonText } from '../json/text.js'
import type { Losses, Salvage } from '../stores/salvage.js'
import type { Watch } from '../stores/data-store.js'
import { collector, type Exported } from './export.js'
import { END_LINE, headerLine, isFitKey, isFitSession, MAX_LINE_BYTES, sessionLine } from './line.js'

/** What was saved of a store that is damaged, and what was not. */
export interface Salvaged extends Exported {
  readonly losses: Losses
  /** What can be read, but no import would take. */
  readonly unfit: { readonly sessions: number, readonly keys: number }
}

/**
 * Writes what can be read of a damaged store as an export, so that importSessions() takes all of it: what would have it refuse the
 * whole file is left out. The output is not ended. An 'error' listener on it is the caller's affair; the error rejects here too.
 *
 * @param longest bytes of a line; of a session that would take more the keys that fit on it are written
 */
export async function salvageSessions (
  salvage: Salvage, now: number, output: Writable, watch: Watch<Exported> = {}, longest = MAX_LINE_BYTES
): Promise<Salvaged> {
  const text = collector(output)
  const unfit = { sessions: 0, keys: 0 }
  let sessions = 0
  let keys = 0
  text.add(`${headerLine(now)}\n`)
  for await (const { id, session, keys: all } of salvage.sessions(now)) {
    watch.signal?.throwIfAborted()
    if (!isFitSession({ id, session })) {
      unfit.sessions++
      continue
    }
    const end = text.bytes() + longest
    for (const piece of sessionLine({ id, session, keys: fitting(all, end) })) {
      if (text.add(piece)) await text.flush()
    }
    text.add('\n')
    sessions++
    watch.report?.({ sessions, keys, bytes: text.bytes() })
  }
  text.add(`${END_LINE}\n`)
  await text.flush()
  return { sessions, keys, bytes: text.bytes(), losses: salvage.losses(), unfit }

  /** @param end how many bytes there are at most when the line ends */
  function * fitting (all: Iterable<readonly [string, JsonText]>, end: number): Generator<readonly [string, JsonText]> {
    for (const [key, value] of all) {
      // A comma, a colon, and what ends the line.
      const bytes = Buffer.byteLength(JSON.stringify(key)) + Buffer.byteLength(value) + 4
      if (text.bytes() + bytes <= end && isFitKey(key, value)) {
        keys++
        yield [key, value]
      } else {
        unfit.keys++
      }
    }
  }
}
