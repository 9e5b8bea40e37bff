import type { Awaitable } from './awaitable.js'
import type { JsonText } from './json/text.js'

/** The SHA-256 of a token in lower-case hexadecimal, 64 characters. No store, log or metric ever sees the token itself. */
export type SessionId = string & { readonly SessionId: unique symbol }

/** What a store keeps about a session beside its keys. Times are milliseconds since the Unix epoch. */
export interface Session {
  readonly name: string
  readonly shared: boolean
  /** Absolute cap on the age of the session's data, in seconds; 0 means none. */
  readonly duration: number
  /** Seconds without a key command after which the session expires; 0 means none. */
  readonly idle: number
  /** What expiry does: end the session (true), or empty it and start its time again (false). */
  readonly deleteSession: boolean
  /** When the current `duration` began. */
  readonly startedAt: number
  /** When a key command last touched the session, or its time last started. */
  readonly usedAt: number
}

/** The millisecond from which on no command sees the session's data; Infinity when it never expires. */
export function deadline (session: Session): number {
  const cap = session.duration > 0 ? session.startedAt + session.duration * 1000 : Infinity
  const idle = session.idle > 0 ? session.usedAt + session.idle * 1000 : Infinity
  return Math.min(cap, idle)
}

/**
 * The session as it stands at `now` (PROTOCOL 4, "Sessions"): itself while its deadline is ahead; undefined when it has
 * ended; or, with `deleteSession` false, the session with its time started again, whose keys are then gone.
 * The answer depends on the session and `now` alone, so that a late sweep and an early reader agree.
 */
export function expire (session: Session, now: number): Session | undefined {
  const due = deadline(session)
  if (now < due) return session
  if (session.deleteSession) return undefined
  const period = Math.min(session.duration || Infinity, session.idle || Infinity) * 1000
  const startedAt = due + Math.floor((now - due) / period) * period
  return { ...session, startedAt, usedAt: startedAt }
}

/** A page of key names in code point order: those that start with `prefix` and come after `after`, at most `limit`. */
export interface Listing {
  readonly prefix: string
  /** Exclusive lower bound; undefined starts at the beginning. (The empty string is a key.) */
  readonly after: string | undefined
  /** Number of names, or Infinity. */
  readonly limit: number
}

/** Names of keys, which can be gone through more than once. */
export type Names = readonly string[] | ReadonlySet<string>

/**
 * What a decision is going to ask of its View. Every part is optional; what is not named cannot be asked for. `get` names
 * the presence of its keys too, `all` that of every key and its value.
 */
export interface Reads {
  /** Keys whose presence is asked for. */
  readonly has?: Names
  /** Keys whose value is asked for (and so their presence too). */
  readonly get?: Names
  /** Key names in order. */
  readonly list?: Listing
  /** Every key with its value. */
  readonly all?: true
}

/** What one access sees. Asking for what `reads` did not name throws an Error: a fault of ours, not the client's. */
export interface View {
  /** The session at this moment, its expiry already applied. */
  readonly session: Session
  /** Number of keys. */
  readonly size: number
  has (key: string): boolean
  get (key: string): JsonText | undefined
  /** The names that `reads.list` asked for, in code point order. */
  names (): readonly string[]
  /** Every key with its value, in code point order of the keys; needs `reads.all`. */
  entries (): Iterable<readonly [string, JsonText]>
}

/** What an access changes. The parts are applied in this order: clear, writes, session. */
export interface Change {
  /** Removes every key. */
  readonly clear?: boolean | undefined
  /** The new value of a key, or null to remove it (removing a key that is not there is no error). */
  readonly writes?: ReadonlyMap<string, JsonText | null> | undefined
  /** Replaces what is kept about the session (SH_TOUCH). */
  readonly session?: Session | undefined
}

/** What a decision answers, and what it changes. */
export interface Outcome<T> extends Change {
  readonly reply: T
}

/** An answer with a change that was known beforehand. */
export function outcomeWith<T> (reply: T, { clear, writes, session }: Change): Outcome<T> {
  return { reply, clear, writes, session }
}

/** One atomic step on one session. */
export interface Access<T> {
  readonly reads: Reads
  /** False for a decision that never changes anything: a store may then answer it without its write lock; one that does is an Error. */
  readonly mayWrite: boolean
  /** Whether this access counts as use of the session and so moves its idle deadline: key commands do. */
  readonly touch: boolean
  /**
   * What is changed whatever the keys are, known before anything is read: a store that is asked over a network then writes
   * without reading first. The outcome of `decide` holds nothing but the reply, and `decide` must not throw.
   */
  readonly change?: Change | undefined
  /** Pure: it may run more than once. What it throws is thrown by access(), and nothing is changed, the idle deadline included. */
  decide (view: View): Outcome<T>
}

/** A session that is alive, as found. */
export interface Found {
  /** Expiry applied: of a session that is due and stays, the one whose time has started again. */
  readonly session: Session
  /** Number of keys. */
  readonly size: number
}

/** A session with its keys, as it goes from one store to another. */
export interface SessionCopy {
  readonly id: SessionId
  /** As it was kept, times included. */
  readonly session: Session
  /** In code point order. */
  readonly keys: ReadonlyMap<string, JsonText>
}

/**
 * Where sessions live. A string that a store is given, a key or a value or a name, may be a slice that keeps a whole request's body
 * in memory for as long as it lives: a store that keeps strings keeps copies. Time is passed in, in milliseconds since the Unix epoch, and never read from the clock.
 * Every method that changes something resolves once the change is as durable as the store makes it, and
 * rejects with the reason when it could not be made; then nothing was changed.
 */
export interface SessionStore {
  /** The kind as SV_INFO names it, such as `memory` or `lmdb`. */
  readonly kind: string
  /**
   * Resolves once a store that has to be waited for can be used, and rejects with the reason when it was given up. Until then
   * every other method rejects with StoreUnavailable.
   */
  readonly opened?: Promise<void>
  /**
   * The store's secret, at least 32 random bytes: made by `make` on first use (of several calls
   * at once one result wins), then the same for everybody for ever.
   */
  secret (make: () => Buffer): Promise<Buffer>
  /** Adds a session without keys, unless one with this id is alive at `now`: then that one is returned, unchanged. */
  create (id: SessionId, session: Session, now: number): Promise<Session>
  /** The session if it is alive at `now`. Does not count as use; what is seen to be over is over, even if time goes back. */
  find (id: SessionId, now: number): Promise<Found | undefined>
  /**
   * Expire if due, read, decide, write, renew the idle deadline: all in one step. Undefined when there is no such session.
   * Accesses that may write take effect in the order of the calls, also when a call does not wait for the one before.
   * A store that has the answer at once may return it, or throw, at once: sessions are read on every request of somebody's site.
   */
  access<T> (id: SessionId, now: number, access: Access<T>): Awaitable<{ readonly reply: T } | undefined>
  /** Ends the session; false when none was alive at `now`. */
  remove (id: SessionId, now: number): Promise<boolean>
  /** Ends every session; the number that were alive at `now`. */
  clear (now: number): Promise<number>
  /** Sessions alive at `now`, and the keys that can be read from them. */
  totals (now: number): Promise<{ readonly sessions: number, readonly keys: number }>
  /**
   * Frees what is due at `now`, at most `limit` sessions, in one step that keeps nobody waiting; how much was dealt with, so 0
   * means that nothing is left to free, or, in a store that a step goes through a part of, that nothing was met there.
   */
  sweep (now: number, limit: number): Promise<number>
  /**
   * Every session alive at `now` with its keys, in no particular order. An embedded durable store gives them as they all were at
   * one moment, whatever is written meanwhile, and one at the other end of a network each of them as it was at one.
   */
  copies (now: number): AsyncIterable<SessionCopy>
  /** Adds a session with its keys in one step, unless one with this id is alive at `now`: then false, and nothing is changed. */
  restore (copy: SessionCopy, now: number): Promise<boolean>
  /** Waits for what is under way and releases everything. No method may be called afterwards. */
  close (): Promise<void>
}

/** A store that answers every access later, as one at the other end of a network does. */
export interface RemoteStore extends SessionStore {
  access<T> (id: SessionId, now: number, access: Access<T>): Promise<{ readonly reply: T } | undefined>
}
