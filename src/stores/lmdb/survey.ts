import { setImmediate } from 'node:timers/promises'
import { expire, type SessionCopy } from '../../session.js'
import type { Environment } from './environment.js'
import { decodeId, idOfExpiry } from './records.js'
import type { Snapshot, Tables } from './tables.js'

/** Entries that are read in one turn of the event loop by what goes through all of them. */
const ENTRIES_PER_TURN = 500

/** Sessions that are over at `now`, and the keys that nobody sees any more, though nobody has swept them yet. */
export async function overdue (tables: Tables, snapshot: Snapshot, now: number): Promise<{ sessions: number, keys: number }> {
  const dead = { sessions: 0, keys: 0 }
  let due: Buffer[] = []
  do {
    due = tables.due(now, ENTRIES_PER_TURN, due.at(-1), snapshot)
    for (const entry of due) {
      const stored = tables.read(idOfExpiry(entry), snapshot)
      if (stored === undefined) continue
      dead.keys += stored.size
      if (expire(stored.session, now) === undefined) dead.sessions++
    }
    await setImmediate()
  } while (due.length === ENTRIES_PER_TURN)
  return dead
}

/** Every session that is alive at `now`, as it is when this begins. */
export async function * copies (tables: Tables, environment: Environment, now: number): AsyncGenerator<SessionCopy> {
  const snapshot = environment.snapshot()
  try {
    for (let ids = tables.ids(undefined, ENTRIES_PER_TURN, snapshot); ids.length > 0; ids = tables.ids(ids.at(-1), ENTRIES_PER_TURN, snapshot)) {
      for (const id of ids) {
        const copy = environment.guarded(() => copyOf(tables, id, now, snapshot))
        if (copy !== undefined) yield copy
      }
      await setImmediate()
    }
  } finally {
    snapshot.done()
  }
}

function copyOf (tables: Tables, id: Buffer, now: number, snapshot: Snapshot): SessionCopy | undefined {
  const stored = tables.read(id, snapshot)
  const session = stored && expire(stored.session, now)
  if (stored === undefined || session === undefined) return undefined
  const keys = session === stored.session ? tables.source(stored, snapshot).entries() : []
  return { id: decodeId(id), session, keys: new Map(keys) }
}
