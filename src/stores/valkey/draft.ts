import type { JsonText } from '../../json/text.js'
import type { Access, Change, Listing, Outcome, Session } from '../../session.js'
import { ChangeMerger, NO_WRITES, type MergedChange } from './merged-change.js'
import type { StoredSession } from './script.js'
import { aliveAt, type LiveSession } from './stored-session.js'
import { decide, renews, sessionAfter, viewOf, type Source } from '../view.js'

/** A session with what accesses have changed that the engine does not know of yet: each is decided on what the ones before have left. */
export class SessionDraft implements Source {
  readonly #stored: Source
  readonly #isRead: (key: string) => boolean
  readonly #change = new ChangeMerger()
  #session: Session
  #size: number
  #isSizeKnown = true

  /** @param isRead whether it was read if a key is there */
  constructor ({ session, source }: LiveSession, isRead: (key: string) => boolean) {
    this.#stored = source
    this.#isRead = isRead
    this.#session = session
    this.#size = source.size
  }

  /** What all of them change. */
  get change (): MergedChange { return this.#change }

  get isUnchanged (): boolean { return this.#change.isEmpty }

  /** Whether the number of keys is still known: an access may have written keys of which nobody has asked whether they are there. */
  get isSizeKnown (): boolean { return this.#isSizeKnown }

  /** Decides an access. Throws as `decide` does, and then nothing is changed. */
  take<T> (access: Access<T>, now: number): Outcome<T> {
    const outcome = decide(access, viewOf(this.#session, access.reads, this))
    this.#count(outcome)
    this.#change.add(outcome)
    this.#change.touch ||= renews(outcome.session ?? this.#session, access, now)
    this.#session = sessionAfter(this.#session, access, outcome, now)
    if (this.#change.session !== undefined) this.#change.session = this.#session
    return outcome
  }

  get size (): number { return this.#size }

  has (key: string): boolean {
    const written = this.#change.writes.get(key)
    return written === undefined ? !this.#change.clear && this.#stored.has(key) : written !== null
  }

  get (key: string): JsonText | undefined {
    const written = this.#change.writes.get(key)
    if (written !== undefined) return written ?? undefined
    return this.#change.clear ? undefined : this.#stored.get(key)
  }

  // An access that asks for one of these two is alone: it comes before any change.

  names (listing: Listing): readonly string[] { return this.#stored.names(listing) }

  entries (): Iterable<readonly [string, JsonText]> { return this.#stored.entries() }

  /** Counts the keys after a change that is not merged yet. */
  #count ({ clear = false, writes = NO_WRITES }: Change): void {
    if (clear) this.#size = 0
    for (const [key, value] of writes) {
      this.#isSizeKnown &&= clear || this.#change.clear || this.#change.writes.has(key) || this.#isRead(key)
      this.#size += Number(value !== null) - Number(!clear && this.has(key))
    }
  }
}

/** A draft of the session at `now`; undefined when it has ended. */
export function draftOf (stored: StoredSession, now: number): SessionDraft | undefined {
  const alive = aliveAt(stored, now)
  if (alive === undefined) return undefined
  const isEmptied = alive.session !== stored.session
  const { entries, presences, values } = stored
  return new SessionDraft(alive, key => isEmptied || entries !== undefined || presences.has(key) || values.has(key))
}
