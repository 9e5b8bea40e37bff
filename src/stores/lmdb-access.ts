import { MAX_KEY_BYTES } from '../limits.js'
import { deadline, expire, type Access, type Outcome, type Session } from '../session.js'
import type { Settled } from './group-commit.js'
import { encodeKey, type Stored } from './lmdb-records.js'
import type { KeyWrite, Tables } from './lmdb-tables.js'
import { decide, noKeys, renews, sessionAfter, viewOf } from './view.js'

/** What an access answers: undefined when there is no such session. */
type Answer<T> = { readonly reply: T } | undefined

/** Inside a write transaction: adds the session, unless one is alive under this id; the one that is then there. */
export function create (tables: Tables, id: Buffer, session: Session, now: number): Session {
  const stored = tables.read(id)
  const alive = stored && expire(stored.session, now)
  if (alive !== undefined) return alive
  if (stored !== undefined) tables.remove(id, stored)
  tables.put(id, undefined, { session, size: 0 })
  return session
}

/** Inside a write transaction: removes the session; whether it was alive. */
export function remove (tables: Tables, id: Buffer, now: number): boolean {
  const stored = tables.read(id)
  if (stored === undefined) return false
  tables.remove(id, stored)
  return expire(stored.session, now) !== undefined
}

/** Inside a write transaction: ends or empties at most `limit` sessions that are due; how many. */
export function sweep (tables: Tables, now: number, limit: number): number {
  const due = tables.due(now, limit)
  for (const { id, stored } of due) {
    const session = expire(stored.session, now)
    if (session === undefined) {
      tables.remove(id, stored)
    } else {
      tables.removeKeys(id)
      tables.put(id, stored, { session, size: 0 })
    }
  }
  return due.length
}

/**
 * Outside of a write transaction: the answer of an access that changes nothing. Undefined when it has to change something
 * after all, because the session is due or its idle deadline moves. Throws what `decide` throws.
 */
export function readOnly<T> (tables: Tables, id: Buffer, now: number, access: Access<T>): { readonly answer: Answer<T> } | undefined {
  const stored = tables.read(id)
  if (stored === undefined) return { answer: undefined }
  const { session, size } = stored
  if (now >= deadline(session) || renews(session, access, now)) return undefined
  const { reply } = decide(access, viewOf(session, access.reads, tables.source(id, size)))
  return { answer: { reply } }
}

/** Inside a write transaction: one access as a whole. An access whose `decide` throws has changed nothing. */
export function step<T> (tables: Tables, id: Buffer, now: number, access: Access<T>): Settled<Answer<T>> {
  const stored = tables.read(id)
  if (stored === undefined) return { value: undefined }
  const session = expire(stored.session, now)
  if (session === undefined) {
    tables.remove(id, stored)
    return { value: undefined }
  }
  let plan: Plan<T>
  try {
    plan = planOf(tables, id, stored, session, now, access)
  } catch (error) {
    return { error }
  }
  apply(tables, id, stored, plan)
  return { value: { reply: plan.reply } }
}

/** Everything that an access is going to change, worked out before anything is. */
interface Plan<T> {
  readonly reply: T
  /** Whether the keys that are there have to go first. */
  readonly emptied: boolean
  readonly writes: readonly KeyWrite[]
  /** What is kept about the session afterwards. */
  readonly session: Session
}

/** @param session `stored.session` with expiry applied */
function planOf<T> (tables: Tables, id: Buffer, stored: Stored, session: Session, now: number, access: Access<T>): Plan<T> {
  const restarted = session !== stored.session
  const source = restarted ? noKeys : tables.source(id, stored.size)
  const outcome = decide(access, viewOf(session, access.reads, source))
  return {
    reply: outcome.reply,
    emptied: stored.size > 0 && (restarted || outcome.clear === true),
    writes: encodeWrites(id, outcome),
    session: sessionAfter(session, access, outcome, now)
  }
}

function apply (tables: Tables, id: Buffer, stored: Stored, { emptied, writes, session }: Plan<unknown>): void {
  if (emptied) tables.removeKeys(id)
  const size = (emptied ? 0 : stored.size) + tables.writeKeys(writes)
  if (session !== stored.session || size !== stored.size) tables.put(id, stored, { session, size })
}

/** Encoded before anything is changed, so that a key that LMDB would refuse fails its own access and not the transaction. */
function encodeWrites (id: Buffer, outcome: Outcome<unknown>): KeyWrite[] {
  return Array.from(outcome.writes ?? [], ([key, value]) => {
    const bytes = encodeKey(id, key)
    if (bytes === undefined) throw new Error(`A decision wrote a key of more than ${MAX_KEY_BYTES} bytes`)
    return [bytes, value]
  })
}
