import { compareCodePoints } from '../../json/codepoint.js'
import { expire, type Session } from '../../session.js'
import type { StoredSession } from './script.js'
import { noKeys, type Source } from '../view.js'

/** A session that is alive, with its keys as far as they were read. */
export interface LiveSession {
  readonly session: Session
  readonly source: Source
}

/** The session at `now`, its expiry applied; undefined when it has ended. */
export function aliveAt (stored: StoredSession, now: number): LiveSession | undefined {
  const session = expire(stored.session, now)
  return session && { session, source: session === stored.session ? sourceOf(stored) : noKeys }
}

function sourceOf ({ size, values, presences, entries, names }: StoredSession): Source {
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
