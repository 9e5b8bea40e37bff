import { compareCodePoints } from '../../json/codepoint.js'
import type { JsonText } from '../../json/text.js'
import { keyFault } from '../../limits.js'
import { expire, type Reads, type Session } from '../../session.js'
import { sessionOf } from './layout.js'
import { RESULT } from './script.js'
import { noKeys, type Source } from '../view.js'

/** What a step asks the engine for. */
export interface Wanted {
  readonly gets: readonly string[]
  readonly presences: readonly string[]
  /** '' nothing, `a` every key with its value, `n` the names that begin with `prefix`. */
  readonly rest: '' | 'a' | 'n'
  readonly prefix: string
}

/** A session as the engine had it before the step: its expiry is still to be applied. */
export interface Base {
  /** As RESULT says. */
  readonly result: number
  readonly session: Session
  readonly version: string
  readonly size: number
  readonly values: ReadonlyMap<string, JsonText | null>
  readonly presences: ReadonlyMap<string, boolean>
  /** In no particular order; undefined when it was not asked for. */
  readonly entries: ReadonlyMap<string, JsonText> | undefined
  readonly names: readonly string[] | undefined
}

/** What several accesses together ask for. Keys that are `written` have to be known too, when one follows that counts keys. */
export function wantedBy (together: readonly Reads[], written: Iterable<string> = []): Wanted {
  const gets = new Set<string>()
  const presences = new Set<string>(written)
  for (const { has = [], get = [] } of together) {
    for (const key of get) gets.add(key)
    for (const key of has) presences.add(key)
  }
  // What cannot be a key is not there, and the engine is not asked: it would be asked for another one.
  for (const keys of [gets, presences]) for (const key of keys) if (keyFault(key) !== undefined) keys.delete(key)
  // Whoever asks for one of these two is alone.
  const [{ all: isAll = false, list: listing } = {}] = together
  if (isAll) return { gets: [], presences: [], rest: 'a', prefix: '' }
  for (const key of gets) presences.delete(key)
  return { gets: [...gets], presences: [...presences], rest: listing === undefined ? '' : 'n', prefix: listing?.prefix ?? '' }
}

/** How many things stand before what was asked for. */
const FIXED = 5

/** @param answer what the script answered, when it did not answer nothing. @throws {StatusError} DataDamaged */
export function baseOf (answer: readonly unknown[], { gets, presences, rest }: Wanted): Base {
  // As SCRIPT says.
  const [result, times, version, name, size] = answer as [number, string, string, string, number]
  const values = new Map(gets.map((key, index) => [key, answer[FIXED + index] as JsonText | null]))
  const present = FIXED + gets.length
  const others = answer.slice(present + presences.length) as string[]
  return {
    result,
    session: sessionOf(times, name),
    version,
    size,
    values,
    presences: new Map(presences.map((key, index) => [key, answer[present + index] === 1])),
    entries: rest === 'a' ? entriesOf(others) : undefined,
    names: rest === 'n' ? others : undefined,
  }
}

function entriesOf (flat: readonly string[]): Map<string, JsonText> {
  const entries = new Map<string, JsonText>()
  // A hash holds what this store wrote: JSON texts.
  for (let at = 0; at < flat.length; at += 2) entries.set(flat[at]!, flat[at + 1] as JsonText)
  return entries
}

export function isConflict ({ result }: Base): boolean {
  return result !== RESULT.done
}

/** The session as it stands at `now`, and its keys; undefined when it has ended. */
export function standing (base: Base, now: number): { readonly session: Session, readonly source: Source } | undefined {
  const session = expire(base.session, now)
  return session && { session, source: session === base.session ? sourceOf(base) : noKeys }
}

function sourceOf ({ size, values, presences, entries, names }: Base): Source {
  return {
    size,
    has: key => entries?.has(key) ?? presences.get(key) ?? typeof values.get(key) === 'string',
    get: key => entries === undefined ? values.get(key) ?? undefined : entries.get(key),
    names: ({ prefix, after, limit }) => [...entries?.keys() ?? names ?? []]
      .filter(key => key.startsWith(prefix) && (after === undefined || compareCodePoints(key, after) > 0))
      .sort(compareCodePoints).slice(0, limit),
    entries: () => [...entries ?? []].sort(([a], [b]) => compareCodePoints(a, b)),
  }
}
