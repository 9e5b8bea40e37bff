import { MAX_KEY_BYTES } from '../../limits.js'
import type { JsonText } from '../../json/text.js'
import { deadline, expire, type Access, type Session, type SessionCopy } from '../../session.js'
import { StatusError } from '../../status.js'
import type { WorkResult } from './group-commit.js'
import { damaged, encodeId, fits, idOfExpiry, type Stored } from './records.js'
import type { Tables } from './tables.js'
import { decide, noKeys, renews, sessionAfter, viewOf } from '../view.js'

/** What an access answers: undefined when there is no such session. */
export type AccessAnswer<T> = { readonly reply: T } | undefined

/** How many keys one sweep removes from the trash: they take about a millisecond. */
const KEYS_PER_SWEEP = 500

/** Inside a write transaction: adds the session, unless one is alive under this id. Returns the one that is there then. */
export function create (tables: Tables, id: Buffer, session: Session, now: number): Session {
  const alive = expireStored(tables, id, now)
  if (alive !== undefined) return alive
  tables.put(id, undefined, { session, size: 0, generation: tables.newGeneration() })
  return session
}

/** Inside a write transaction: adds the session with its keys, unless one is alive under this id. Returns whether it did. */
export function restore (tables: Tables, { id, session, keys }: SessionCopy, now: number): boolean {
  const key = encodeId(id)
  if (expireStored(tables, key, now) !== undefined) return false
  const generation = tables.newGeneration()
  const size = tables.writeKeys(generation, keys)
  tables.put(key, undefined, { session, size, generation })
  return true
}

/**
 * Inside a write transaction: removes or empties the session when it is due, for good, whatever the clock says later. Returns the
 * session if it is alive.
 */
export function expireStored (tables: Tables, id: Buffer, now: number): Session | undefined {
  const stored = tables.read(id)
  if (stored === undefined) return undefined
  const session = expire(stored.session, now)
  if (session === undefined) tables.remove(id, stored)
  else if (session !== stored.session) tables.put(id, stored, { session, size: 0, generation: tables.removeKeys(stored) })
  return session
}

/** Inside a write transaction: removes the session. Returns whether it was alive. */
export function remove (tables: Tables, id: Buffer, now: number): boolean {
  const stored = tables.read(id)
  if (stored === undefined) return false
  tables.remove(id, stored)
  return expire(stored.session, now) !== undefined
}

/**
 * Inside a write transaction: ends or empties at most `limit` sessions that are due, and empties some of the trash; 0 when
 * there was nothing to do.
 * @param report told of an entry that cannot be dealt with because something is damaged; the entry is removed
 */
export function sweep (tables: Tables, now: number, limit: number, report: (error: Error) => void): number {
  const due = tables.due(now, limit)
  for (const entry of due) {
    const fault = sweepOne(tables, entry, now)
    if (fault === undefined) continue
    tables.removeDue(entry)
    report(fault)
  }
  return due.length + tables.emptyTrash(KEYS_PER_SWEEP, report)
}

/** Deals with an entry of the expiry index. Returns why it could not, or undefined. */
function sweepOne (tables: Tables, entry: Buffer, now: number): Error | undefined {
  const id = idOfExpiry(entry)
  try {
    const stored = tables.read(id)
    if (stored !== undefined && deadline(stored.session) <= now) {
      expireStored(tables, id, now)
      return undefined
    }
    return damaged('An entry of the expiry index fits no session')
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    return error
  }
}

/**
 * Outside of a write transaction: the answer of an access that changes nothing. Undefined when it has to change something
 * after all, because the session is due or its idle deadline moves. Throws what `decide` throws.
 */
export function readOnly<T> (tables: Tables, id: Buffer, now: number, access: Access<T>): { readonly answer: AccessAnswer<T> } | undefined {
  const stored = tables.read(id)
  if (stored === undefined) return { answer: undefined }
  const { session } = stored
  if (now >= deadline(session) || renews(session, access, now)) return undefined
  return { answer: answerOf(tables, stored, session, access) }
}

/** Outside of a write transaction: the answer of an access to what is there now, without what it would change for expiry. */
export function lookOnly<T> (tables: Tables, id: Buffer, now: number, access: Access<T>): AccessAnswer<T> {
  const stored = tables.read(id)
  const session = stored && expire(stored.session, now)
  return stored && session && answerOf(tables, stored, session, access)
}

function answerOf<T> (tables: Tables, stored: Stored, session: Session, access: Access<T>): AccessAnswer<T> {
  const { reply } = decide(access, viewOf(session, access.reads, sourceOf(tables, stored, session)))
  return { reply }
}

/** @param session `stored.session` with expiry applied: when its time has started again its keys are gone */
function sourceOf (tables: Tables, stored: Stored, session: Session) {
  return session === stored.session ? tables.source(stored) : noKeys
}

/** Inside a write transaction: one access as a whole. An access whose `decide` throws has changed nothing. */
export function step<T> (tables: Tables, id: Buffer, now: number, access: Access<T>): WorkResult<AccessAnswer<T>> {
  let stored: Stored | undefined
  let plan: Plan<T> | undefined
  try {
    stored = tables.read(id)
    const session = stored && expire(stored.session, now)
    plan = stored && session && planOf(tables, stored, session, now, access)
  } catch (error) {
    return { error }
  }
  if (stored === undefined) return { value: undefined }
  if (plan === undefined) tables.remove(id, stored)
  else apply(tables, id, stored, plan)
  return { value: plan && { reply: plan.reply } }
}

/** Everything that an access is going to change, worked out before it changes anything. */
interface Plan<T> {
  readonly reply: T
  /** Whether the present keys are removed first. */
  readonly emptied: boolean
  readonly writes: ReadonlyMap<string, JsonText | null>
  /** What is kept about the session afterwards. */
  readonly session: Session
}

/** @param session `stored.session` with expiry applied */
function planOf<T> (tables: Tables, stored: Stored, session: Session, now: number, access: Access<T>): Plan<T> {
  const outcome = decide(access, viewOf(session, access.reads, sourceOf(tables, stored, session)))
  const { reply, writes = NO_WRITES } = outcome
  refuseLongKeys(writes)
  const emptied = stored.size > 0 && (session !== stored.session || outcome.clear === true)
  return { reply, emptied, writes, session: sessionAfter(session, access, outcome, now) }
}

const NO_WRITES: ReadonlyMap<string, JsonText | null> = new Map()

/** Before anything is changed, so that a key that LMDB would refuse fails its own access and not the transaction. */
function refuseLongKeys (writes: ReadonlyMap<string, unknown>): void {
  for (const key of writes.keys()) {
    if (!fits(key)) throw new Error(`A decision wrote a key of more than ${MAX_KEY_BYTES} bytes`)
  }
}

function apply (tables: Tables, id: Buffer, stored: Stored, { emptied, writes, session }: Plan<unknown>): void {
  const generation = emptied ? tables.removeKeys(stored) : stored.generation
  const size = (emptied ? 0 : stored.size) + tables.writeKeys(generation, writes)
  if (session !== stored.session || size !== stored.size || generation !== stored.generation) tables.put(id, stored, { session, size, generation })
}
