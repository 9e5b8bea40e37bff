import type { JsonText } from '../../json/text.js'
import type { Access, Change, Outcome, Session } from '../../session.js'
import { decide, renews, sessionAfter, viewOf, type Source } from '../view.js'

/** What several accesses that followed each other change together. */
export interface Sum {
  readonly clear: boolean
  readonly writes: ReadonlyMap<string, JsonText | null>
  /** Replaces what is kept about the session; undefined when nobody asked for that. */
  readonly session: Session | undefined
  /** Whether the idle deadline is renewed. */
  readonly touch: boolean
}

/** One that is added to. */
export interface GrowingSum extends Sum {
  clear: boolean
  readonly writes: Map<string, JsonText | null>
  session: Session | undefined
  touch: boolean
}

export function nothing (): GrowingSum {
  return { clear: false, writes: new Map(), session: undefined, touch: false }
}

/** Adds what comes later. */
export function add (sum: GrowingSum, { clear = false, writes = new Map(), session }: Change): void {
  if (clear) {
    sum.clear = true
    sum.writes.clear()
  }
  for (const [key, value] of writes) {
    // What comes later also stands later: the order of a map is that of its keys' first appearance.
    sum.writes.delete(key)
    sum.writes.set(key, value)
  }
  sum.session = session ?? sum.session
}

/** A session on which accesses are decided one after the other before the engine hears of them. */
export interface Overlay {
  /** What all of them change. */
  readonly sum: Sum
  /** Decides an access on what the ones before have left. Throws as `decide` does, and then nothing is changed. */
  take<T> (access: Access<T>, now: number): Outcome<T>
  /** Whether the number of keys is still known: an access may have written keys of which nobody had asked whether they are there. */
  readonly isKnown: boolean
}

/**
 * @param source the keys before the first access
 * @param isRead whether the source knows of a key if it is there
 */
export function overlayOn (session: Session, source: Source, isRead: (key: string) => boolean): Overlay {
  const sum = nothing()
  const { writes } = sum
  let current = session
  let size = source.size
  let isKnown = true

  function has (key: string): boolean {
    const written = writes.get(key)
    return written === undefined ? !sum.clear && source.has(key) : written !== null
  }

  const layered: Source = {
    get size () { return size },
    has,
    get (key) {
      const written = writes.get(key)
      return written === undefined ? sum.clear ? undefined : source.get(key) : written ?? undefined
    },
    // Whoever asks for them is alone in his batch.
    names: listing => source.names(listing),
    entries: () => source.entries(),
  }

  function apply (outcome: Change): void {
    if (outcome.clear === true) size = 0
    const before = outcome.clear === true ? () => false : has
    for (const [key, value] of outcome.writes ?? []) {
      isKnown &&= outcome.clear === true || sum.clear || writes.has(key) || isRead(key)
      size += Number(value !== null) - Number(before(key))
    }
    add(sum, outcome)
  }

  return {
    sum,
    get isKnown () { return isKnown },
    take (access, now) {
      const outcome = decide(access, viewOf(current, access.reads, layered))
      apply(outcome)
      sum.touch ||= renews(outcome.session ?? current, access, now)
      current = sessionAfter(current, access, outcome, now)
      if (sum.session !== undefined) sum.session = current
      return outcome
    },
  }
}
