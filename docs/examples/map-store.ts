// A store of one's own, as simple as one can be: a Map in this process. What it lacks is a sweep that is quicker than a look at
// every session, and a place outside of its process.
import { decide, expire, noKeys, sessionAfter, viewOf, compareCodePoints, ownCopy, type Access, type JsonText, type Session, type SessionId, type SessionStore, type Source } from 'holdfast'

interface Entry {
  session: Session
  keys: Map<string, JsonText>
}

export function mapStore (): SessionStore {
  const sessions = new Map<SessionId, Entry>()
  let secret: Buffer | undefined

  /** What is alive under this id at `now`; one that is over is ended, or emptied, for good. */
  function alive (id: SessionId, now: number): Entry | undefined {
    const entry = sessions.get(id)
    const session = entry && expire(entry.session, now)
    if (entry === undefined || session === undefined) {
      sessions.delete(id)
      return undefined
    }
    if (session !== entry.session) sessions.set(id, { session, keys: new Map() })
    return sessions.get(id)
  }

  return {
    kind: 'map',
    async secret (make) { return (secret ??= make()) },
    async create (id, session, now) {
      const present = alive(id, now)
      if (present === undefined) sessions.set(id, { session: { ...session, name: ownCopy(session.name) }, keys: new Map() })
      return present?.session ?? session
    },
    async find (id, now) {
      const entry = alive(id, now)
      return entry && { session: entry.session, size: entry.keys.size }
    },
    access<T> (id: SessionId, now: number, access: Access<T>) {
      const entry = sessions.get(id)
      const session = entry && expire(entry.session, now)
      if (entry === undefined || session === undefined) {
        sessions.delete(id)
        return undefined
      }
      const isEmptied = session !== entry.session
      // What `decide` throws leaves everything as it was.
      const outcome = decide(access, viewOf(session, access.reads, isEmptied ? noKeys : sourceOf(entry.keys)))
      if (isEmptied || outcome.clear === true) entry.keys.clear()
      for (const [key, value] of outcome.writes ?? []) value === null ? entry.keys.delete(key) : entry.keys.set(ownCopy(key), ownCopy(value))
      entry.session = sessionAfter(session, access, outcome, now)
      return { reply: outcome.reply }
    },
    async remove (id, now) {
      const isAlive = alive(id, now) !== undefined
      sessions.delete(id)
      return isAlive
    },
    async clear (now) {
      const count = [...sessions.values()].filter(entry => seen(entry, now) !== undefined).length
      sessions.clear()
      return count
    },
    async totals (now) {
      const found = [...sessions.values()].map(entry => seen(entry, now)).filter(entry => entry !== undefined)
      return { sessions: found.length, keys: found.reduce((sum, { keys }) => sum + keys.size, 0) }
    },
    async sweep (now, limit) {
      const due = [...sessions].filter(([, { session }]) => expire(session, now) !== session).slice(0, limit)
      for (const [id] of due) alive(id, now)
      return due.length
    },
    async * copies (now) {
      for (const [id, entry] of sessions) {
        const found = seen(entry, now)
        if (found !== undefined) yield { id, session: found.session, keys: new Map(sourceOf(found.keys).entries()) }
      }
    },
    async restore ({ id, session, keys }, now) {
      if (alive(id, now) !== undefined) return false
      sessions.set(id, { session, keys: new Map(keys) })
      return true
    },
    async close () { sessions.clear() },
  }
}

/** A session as it stands at `now`, which is left as it is: who only counts or copies ends nothing. */
function seen (entry: Entry, now: number): Entry | undefined {
  const session = expire(entry.session, now)
  return session && { session, keys: session === entry.session ? entry.keys : new Map() }
}

function sourceOf (keys: ReadonlyMap<string, JsonText>): Source {
  const sorted = () => [...keys].sort(([a], [b]) => compareCodePoints(a, b))
  return {
    size: keys.size,
    has: key => keys.has(key),
    get: key => keys.get(key),
    names: ({ prefix, after, limit }) => sorted().map(([key]) => key)
      .filter(key => key.startsWith(prefix) && (after === undefined || compareCodePoints(key, after) > 0)).slice(0, limit),
    entries: sorted,
  }
}
