import type { RootDatabase, Transaction } from 'lmdb'
import type { JsonText } from '../../json/text.js'
import { deadline } from '../../session.js'
import { StatusError } from '../../status.js'
import {
  allKeys, decodeKey, decodeNumber, decodeStored, decodeText, encodeExpiry, encodeGeneration, encodeKey, encodeNothing, encodeNumber,
  encodeStored, encodeText, endOfDue, fits, generationOf, keyRange, type Stored,
} from './records.js'
import { entries, tableWriter, type Table } from './writer.js'
import type { Source } from '../view.js'

/** The keys of a session with more than this go to the trash when it ends, so that no request waits for their removal. */
const KEYS_AT_ONCE = 100

const NEXT_KEY = Buffer.from('next')

/** A snapshot to read from over several turns of the event loop; without one, a read sees the transaction it is called in. */
export type Snapshot = Transaction | undefined

/**
 * The tables of the LMDB store. Reading is good anywhere; whatever changes something must be called inside a write
 * transaction. `id` is the 32 bytes of a SessionId. What reads a record throws a StatusError DataDamaged when it is not as
 * it was written.
 */
export interface Tables {
  read (id: Buffer, from?: Snapshot): Stored | undefined
  /** The next `limit` ids of sessions after one of them. */
  ids (after: Buffer | undefined, limit: number, from?: Snapshot): Buffer[]
  /** A number that no session has had: where the keys of a new one stand. */
  newGeneration (): number
  /** Puts what is kept about a session; `before` is what the tables have about it now. */
  put (id: Buffer, before: Stored | undefined, after: Stored): void
  /** Removes a session, its keys and its place in the expiry index. */
  remove (id: Buffer, stored: Stored): void
  /** Removes the keys of a session; the generation of those it will have. */
  removeKeys (stored: Stored): number
  /** Applies writes in their order, null removes a key; by how much the number of keys has changed. */
  writeKeys (generation: number, writes: ReadonlyMap<string, JsonText | null>): number
  source (stored: Stored, from?: Snapshot): Source
  /** The expiry index: entries that are due at `now` and come after one of them, the earliest first, at most `limit`. */
  due (now: number, limit: number, after?: Buffer, from?: Snapshot): Buffer[]
  /** Whether there is anything for a sweep to do at `now`. */
  hasWork (now: number): boolean
  /** Removes one entry of the expiry index that fits no session. */
  removeDue (entry: Buffer): void
  /**
   * Removes up to `limit` keys that nobody sees any more; 0 when there are none.
   * @param report told of a damaged entry, which is removed
   */
  emptyTrash (limit: number, report: (error: Error) => void): number
  /** How many bytes the file can have to grow by, at most, for what was changed since the last call. */
  takeGrowth (): number
  /** All entries there are: sessions, and keys without those in the trash. */
  counts (): { sessions: number, keys: number }
  removeAll (): void
}

/** The names of all tables but `meta`. */
export const TABLE_NAMES = ['sessions', 'keys', 'expiry', 'trash'] as const

/** Opens a table, and creates it when it is not there and may be written. */
export function openTable (root: RootDatabase, name: string): Table {
  return root.openDB(name, { keyEncoding: 'binary', encoding: 'binary' })
}

/** Opens the tables. */
export function openTables (root: RootDatabase): Tables {
  const [sessions, keys, expiry, trash] = TABLE_NAMES.map(name => openTable(root, name)) as [Table, Table, Table, Table] // One each.
  const meta = openTable(root, 'meta')
  const { put, write, remove, clear, takeGrowth } = tableWriter([sessions, keys, expiry, trash])

  function newGeneration (): number {
    const stored = meta.get(NEXT_KEY)
    const next = stored === undefined ? 1 : decodeNumber('counter', NEXT_KEY, stored)
    put(meta, NEXT_KEY, encodeNumber(NEXT_KEY, next + 1))
    return next
  }

  function moveDeadline (id: Buffer, from: number, to: number): void {
    if (from === to) return
    if (from !== Infinity) remove(expiry, encodeExpiry(from, id))
    if (to === Infinity) return
    const entry = encodeExpiry(to, id)
    put(expiry, entry, encodeNothing(entry))
  }

  /** Removes up to `limit` keys of a generation; how many. */
  function removeSome (generation: number, limit: number): number {
    const some = [...keys.getKeys({ ...allKeys(generation), limit })]
    for (const key of some) remove(keys, key)
    return some.length
  }

  /** Removes the keys of a session, or moves them to the trash. Returns whether it moved them: then its generation must not be used again. */
  function letGo ({ generation, size }: Stored): boolean {
    const key = encodeGeneration(generation)
    if (size > KEYS_AT_ONCE) put(trash, key, encodeNumber(key, size))
    else if (size > 0) removeSome(generation, size)
    return size > KEYS_AT_ONCE
  }

  return {
    newGeneration,

    read (id, transaction) {
      const value = transaction === undefined ? readFast(sessions, id) : sessions.get(id, { transaction })
      return value && decodeStored(id, value)
    },

    ids (after, limit, transaction) {
      return [...sessions.getKeys({ ...after && { start: after, exclusiveStart: true }, limit, ...transaction && { transaction } })]
    },

    put (id, before, after) {
      put(sessions, id, encodeStored(id, after))
      moveDeadline(id, deadlineOf(before), deadline(after.session))
    },

    remove (id, stored) {
      remove(sessions, id)
      moveDeadline(id, deadlineOf(stored), Infinity)
      letGo(stored)
    },

    removeKeys: stored => letGo(stored) ? newGeneration() : stored.generation,

    writeKeys (generation, writes) {
      let change = 0
      for (const [name, value] of writes) {
        const key = encodeKey(generation, name)
        if (value === null) change -= remove(keys, key) ? 1 : 0
        else change += write(keys, key, encodeText(key, value))
      }
      return change
    },

    source: (stored, transaction) => sourceOf(keys, stored, transaction),

    due (now, limit, after, transaction) {
      const start = after && { start: after, exclusiveStart: true }
      return [...expiry.getKeys({ ...start, end: endOfDue(now), limit, ...transaction && { transaction } })]
    },

    hasWork: now => isThere(expiry.getKeys({ end: endOfDue(now), limit: 1 })) || isThere(trash.getKeys({ limit: 1 })),

    removeDue (entry) {
      remove(expiry, entry)
    },

    emptyTrash (limit, report) {
      const [entry] = trash.getRange({ limit: 1 })
      if (entry === undefined) return 0
      const { key, value } = entry
      try {
        // Read first: the keys of a damaged entry stay, because nobody knows whose they are.
        const size = decodeNumber('number of keys in the trash', key, value)
        const removed = removeSome(generationOf(key), limit)
        if (removed < limit) remove(trash, key)
        else put(trash, key, encodeNumber(key, size - removed))
      } catch (error) {
        if (!(error instanceof StatusError)) throw error
        remove(trash, key)
        report(error)
      }
      return 1
    },

    takeGrowth,

    counts () {
      let dead = 0
      for (const { key, value } of trash.getRange()) dead += decodeNumber('number of keys in the trash', key, value)
      return { sessions: entries(sessions), keys: entries(keys) - dead }
    },

    removeAll: clear,
  }
}

/**
 * A value in the buffer that lmdb shares between all reads, which costs half of one in a Buffer of its own: to be decoded before the
 * next read. Its `length` is that of the value, but its memory goes on.
 */
function readFast (table: Table, key: Buffer): Buffer | undefined {
  const value = table.getBinaryFast(key)
  // A large one is a Uint8Array over the file itself.
  return value === undefined || Buffer.isBuffer(value) ? value : table.get(key)
}

function isThere (some: Iterable<Buffer>): boolean {
  return [...some].length > 0
}

function deadlineOf (stored: Stored | undefined): number {
  return stored === undefined ? Infinity : deadline(stored.session)
}

function sourceOf (keys: Table, { generation, size }: Stored, transaction: Snapshot): Source {
  const from = transaction && { transaction }
  return {
    size,
    has: key => fits(key) && keys.doesExist(encodeKey(generation, key)),
    get (key) {
      if (!fits(key)) return undefined
      const bytes = encodeKey(generation, key)
      const value = readFast(keys, bytes)
      return value && decodeText(bytes, value)
    },
    names ({ prefix, after, limit }) {
      const range = keyRange(generation, prefix, after)
      return range === undefined ? [] : Array.from(keys.getKeys({ ...range, limit }), decodeKey)
    },
    entries () {
      return Array.from(keys.getRange({ ...allKeys(generation), ...from }), ({ key, value }) => [decodeKey(key), decodeText(key, value)] as const)
    },
  }
}
