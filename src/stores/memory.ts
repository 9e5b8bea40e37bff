import TinyQueue from 'tinyqueue'
import { compareCodePoints } from '../json/codepoint.js'
import type { JsonText } from '../json/text.js'
import { deadline, expire, type Access, type Session, type SessionId, type SessionStore } from '../session.js'
import type { StoreRow } from './row.js'
import { decide, noKeys, sessionAfter, viewOf, type Source } from './view.js'

interface Entry {
  session: Session
  keys: Map<string, JsonText>
  /** What will bring this session up in a sweep; undefined while it never expires. */
  item: Item | undefined
}

interface Item {
  readonly deadline: number
  readonly id: SessionId
}

/** Items that have nothing to say any more are let be until there are this many beyond two for each session. */
const SPARE_ITEMS = 1_000

export interface MemoryLocation { readonly kind: 'memory' }

/** Sessions in this process's memory. Several processes cannot share it, and no command can look into it. */
export const memoryRow: StoreRow<MemoryLocation> = {
  schemes: ['memory'],
  form: 'memory:',
  shortForm: 'memory:',
  about: '',
  needsWatchdog: false,
  parse (url) {
    if (url !== 'memory:') throw new Error('The URL of a store in memory is memory: and nothing else')
    return { kind: 'memory' }
  },
  show: () => 'in memory only',
  open: async () => memoryStore(),
}

/** Sessions in this process's memory, gone when it ends: for tests and caches. */
export function memoryStore (): SessionStore {
  const sessions = new Map<SessionId, Entry>()
  let queue = queueOf([])
  let secret: Buffer | undefined

  function isCurrent (item: Item): boolean {
    return sessions.get(item.id)?.item === item
  }

  function compact (): void {
    if (queue.length > 2 * sessions.size + SPARE_ITEMS) queue = queueOf(queue.data.filter(isCurrent))
  }

  /**
   * Makes sure that a sweep meets the session no later than its deadline. A deadline that moves away, as every use of an
   * idle session makes it do, costs nothing here: the sweep that meets the session too early puts it back.
   */
  function enqueue (id: SessionId, entry: Entry): void {
    const due = deadline(entry.session)
    if (due >= (entry.item?.deadline ?? Infinity)) return
    entry.item = { deadline: due, id }
    queue.push(entry.item)
    compact()
  }

  function add (id: SessionId, session: Session, keys: ReadonlyMap<string, JsonText>): void {
    const entry: Entry = { session, keys: new Map(), item: undefined }
    write(entry.keys, keys)
    sessions.set(id, entry)
    enqueue(id, entry)
  }

  function forget (id: SessionId): void {
    sessions.delete(id)
    compact()
  }

  /** The session that is alive under this id. One that is seen to be over is removed, or emptied, whatever the clock says later. */
  function settle (id: SessionId, now: number): Entry | undefined {
    const entry = sessions.get(id)
    const session = entry && expire(entry.session, now)
    if (entry === undefined || session === undefined) {
      forget(id)
      return undefined
    }
    if (session !== entry.session) Object.assign(entry, { session, keys: new Map() })
    enqueue(id, entry)
    return entry
  }

  /** Deals with the session that the queue has brought up; the number of sessions that were due. */
  function sweepOne (item: Item, now: number): number {
    const entry = sessions.get(item.id)
    if (entry?.item !== item) return 0
    const { session } = entry
    entry.item = undefined
    return settle(item.id, now)?.session === session ? 0 : 1
  }

  return {
    kind: 'memory',

    async secret (make) {
      secret ??= make()
      return secret
    },

    async create (id, session, now) {
      const present = settle(id, now)
      if (present !== undefined) return present.session
      add(id, session, new Map())
      return session
    },

    async find (id, now) {
      const entry = settle(id, now)
      return entry && { session: entry.session, size: entry.keys.size }
    },

    async access<T> (id: SessionId, now: number, access: Access<T>) {
      const entry = sessions.get(id)
      const session = entry && expire(entry.session, now)
      if (entry === undefined || session === undefined) {
        forget(id)
        return undefined
      }
      const restarted = session !== entry.session
      const outcome = decide(access, viewOf(session, access.reads, restarted ? noKeys : sourceOf(entry.keys)))
      if (restarted || outcome.clear === true) entry.keys = new Map()
      if (outcome.writes !== undefined) write(entry.keys, outcome.writes)
      entry.session = sessionAfter(session, access, outcome, now)
      enqueue(id, entry)
      return { reply: outcome.reply }
    },

    async remove (id, now) {
      const isAlive = settle(id, now) !== undefined
      forget(id)
      return isAlive
    },

    async clear (now) {
      let count = 0
      for (const { session } of sessions.values()) if (expire(session, now) !== undefined) count++
      sessions.clear()
      compact()
      return count
    },

    async totals (now) {
      const totals = { sessions: 0, keys: 0 }
      for (const entry of sessions.values()) {
        const session = expire(entry.session, now)
        if (session !== undefined) totals.sessions++
        if (session === entry.session) totals.keys += entry.keys.size
      }
      return totals
    },

    async sweep (now, limit) {
      let count = 0
      for (let item = queue.peek(); count < limit && item !== undefined && item.deadline <= now; item = queue.peek()) {
        queue.pop()
        count += sweepOne(item, now)
      }
      return count
    },

    async * copies (now) {
      for (const [id, entry] of sessions) {
        const session = expire(entry.session, now)
        const keys = session === entry.session ? sourceOf(entry.keys).entries() : []
        if (session !== undefined) yield { id, session, keys: new Map(keys) }
      }
    },

    async restore ({ id, session, keys }, now) {
      if (settle(id, now) !== undefined) return false
      add(id, session, keys)
      return true
    },

    async close () {
      sessions.clear()
      compact()
    },
  }
}

function queueOf (items: Item[]): TinyQueue<Item> {
  return new TinyQueue(items, (a, b) => a.deadline - b.deadline)
}

function sourceOf (keys: ReadonlyMap<string, JsonText>): Source {
  return {
    size: keys.size,
    has: key => keys.has(key),
    get: key => keys.get(key),
    names ({ prefix, after, limit }) {
      const names = [...keys.keys()].filter(key =>
        key.startsWith(prefix) && (after === undefined || compareCodePoints(key, after) > 0))
      return names.sort(compareCodePoints).slice(0, limit)
    },
    entries: () => [...keys].sort(([a], [b]) => compareCodePoints(a, b)),
  }
}

function write (keys: Map<string, JsonText>, writes: ReadonlyMap<string, JsonText | null>): void {
  for (const [key, value] of writes) {
    if (value === null) keys.delete(key)
    // The cast stands for: a copy of a JSON text is the same JSON text.
    else keys.set(keys.has(key) ? key : ownCopy(key), ownCopy(value) as JsonText)
  }
}

/** The same text in memory of its own: V8 keeps the whole request body alive for as long as a slice of it lives. */
function ownCopy (text: string): string {
  return (' ' + text).slice(1)
}
