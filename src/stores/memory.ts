import TinyQueue from 'tinyqueue'
import { compareCodePoints } from '../json/codepoint.js'
import { ownCopy, type JsonText } from '../json/text.js'
import { deadline, expire, type Access, type Found, type Session, type SessionCopy, type SessionId, type SessionStore } from '../session.js'
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
  return new MemoryStore()
}

class MemoryStore implements SessionStore {
  readonly kind = 'memory'
  readonly #sessions = new Map<SessionId, Entry>()
  #queue = queueOf([])
  #made: Buffer | undefined

  async secret (make: () => Buffer): Promise<Buffer> {
    this.#made ??= make()
    return this.#made
  }

  async create (id: SessionId, session: Session, now: number): Promise<Session> {
    const present = this.#expireEntry(id, now)
    if (present !== undefined) return present.session
    return this.#add(id, session, new Map()).session
  }

  async find (id: SessionId, now: number): Promise<Found | undefined> {
    const entry = this.#expireEntry(id, now)
    return entry && { session: entry.session, size: entry.keys.size }
  }

  access<T> (id: SessionId, now: number, access: Access<T>): { readonly reply: T } | undefined {
    const entry = this.#sessions.get(id)
    const session = entry && expire(entry.session, now)
    if (entry === undefined || session === undefined) {
      this.#forget(id)
      return undefined
    }
    const restarted = session !== entry.session
    const outcome = decide(access, viewOf(session, access.reads, restarted ? noKeys : sourceOf(entry.keys)))
    if (restarted || outcome.clear === true) entry.keys = new Map()
    if (outcome.writes !== undefined) write(entry.keys, outcome.writes)
    entry.session = sessionAfter(session, access, outcome, now)
    this.#enqueue(id, entry)
    return { reply: outcome.reply }
  }

  async remove (id: SessionId, now: number): Promise<boolean> {
    const isAlive = this.#expireEntry(id, now) !== undefined
    this.#forget(id)
    return isAlive
  }

  async clear (now: number): Promise<number> {
    let count = 0
    for (const { session } of this.#sessions.values()) if (expire(session, now) !== undefined) count++
    this.#sessions.clear()
    this.#compact()
    return count
  }

  async totals (now: number): Promise<{ sessions: number, keys: number }> {
    const totals = { sessions: 0, keys: 0 }
    for (const entry of this.#sessions.values()) {
      const session = expire(entry.session, now)
      if (session !== undefined) totals.sessions++
      if (session === entry.session) totals.keys += entry.keys.size
    }
    return totals
  }

  async sweep (now: number, limit: number): Promise<number> {
    let count = 0
    for (let item = this.#queue.peek(); count < limit && item !== undefined && item.deadline <= now; item = this.#queue.peek()) {
      this.#queue.pop()
      count += this.#sweepOne(item, now)
    }
    return count
  }

  async * copies (now: number): AsyncGenerator<SessionCopy> {
    for (const [id, entry] of this.#sessions) {
      const session = expire(entry.session, now)
      const keys = session === entry.session ? sourceOf(entry.keys).entries() : []
      if (session !== undefined) yield { id, session, keys: new Map(keys) }
    }
  }

  async restore ({ id, session, keys }: SessionCopy, now: number): Promise<boolean> {
    if (this.#expireEntry(id, now) !== undefined) return false
    this.#add(id, session, keys)
    return true
  }

  async close (): Promise<void> {
    this.#sessions.clear()
    this.#compact()
  }

  #isCurrent (item: Item): boolean {
    return this.#sessions.get(item.id)?.item === item
  }

  #compact (): void {
    if (this.#queue.length > 2 * this.#sessions.size + SPARE_ITEMS) this.#queue = queueOf(this.#queue.data.filter(item => this.#isCurrent(item)))
  }

  /**
   * Makes sure that a sweep meets the session no later than its deadline. A deadline that moves away, as every use of an
   * idle session makes it do, costs nothing here: the sweep that meets the session too early puts it back.
   */
  #enqueue (id: SessionId, entry: Entry): void {
    const due = deadline(entry.session)
    if (due >= (entry.item?.deadline ?? Infinity)) return
    entry.item = { deadline: due, id }
    this.#queue.push(entry.item)
    this.#compact()
  }

  #add (id: SessionId, session: Session, keys: ReadonlyMap<string, JsonText>): Entry {
    const entry: Entry = { session: { ...session, name: ownCopy(session.name) }, keys: new Map(), item: undefined }
    write(entry.keys, keys)
    this.#sessions.set(id, entry)
    this.#enqueue(id, entry)
    return entry
  }

  #forget (id: SessionId): void {
    this.#sessions.delete(id)
    this.#compact()
  }

  /** The session that is alive under this id. One that is over is removed, or emptied, whatever the clock says later. */
  #expireEntry (id: SessionId, now: number): Entry | undefined {
    const entry = this.#sessions.get(id)
    const session = entry && expire(entry.session, now)
    if (entry === undefined || session === undefined) {
      this.#forget(id)
      return undefined
    }
    if (session !== entry.session) Object.assign(entry, { session, keys: new Map() })
    this.#enqueue(id, entry)
    return entry
  }

  /** Deals with the session that the queue has brought up; the number of sessions that were due. */
  #sweepOne (item: Item, now: number): number {
    const entry = this.#sessions.get(item.id)
    if (entry?.item !== item) return 0
    const { session } = entry
    entry.item = undefined
    return this.#expireEntry(item.id, now)?.session === session ? 0 : 1
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
    else keys.set(keys.has(key) ? key : ownCopy(key), ownCopy(value))
  }
}
