import type { JsonText } from '../json/text.js'
import type { Session, SessionId } from '../session.js'

/** A session out of a store that is damaged, with those of its keys that are whole. */
export interface SalvagedSession {
  readonly id: SessionId
  readonly session: Session
  /** In code point order. Read as they are asked for: once, and before the next session is. */
  readonly keys: Iterable<readonly [string, JsonText]>
}

/** What is lost of a store that is damaged. Complete once all of its sessions were asked for. */
export interface Losses {
  /** What is wrong with the data, a line each, never a value: the first hundred, and how many in all. None when all could be read. */
  readonly faults: { readonly some: readonly string[], readonly count: number }
  /** Sessions that cannot be read; undefined when it is not known how many. */
  readonly sessions: number | undefined
  /** Keys that are missing from sessions that can be read. */
  readonly keys: number
  /** Keys that are whole, but of which nothing says whose they are: of sessions that cannot be read. */
  readonly unowned: number
  /** Sessions with keys missing, the first hundred. */
  readonly examples: readonly Loss[]
}

/** Keys that are missing from a session. */
export interface Loss {
  readonly id: SessionId
  readonly keys: number
  /** Of some of them, ten at most. */
  readonly names: readonly string[]
}

/** A store that is damaged, opened to be read for what is whole in it. Nothing of it is changed. */
export interface Salvage {
  /** Every session that can be read and is alive at `now`, in no particular order. Asked for once. */
  sessions (now: number): AsyncIterable<SalvagedSession>
  losses (): Losses
  close (): void
}
