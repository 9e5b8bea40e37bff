import type { Database, RootDatabase } from 'lmdb'
import type { JsonText } from '../json/text.js'
import { deadline, expire } from '../session.js'
import {
  allKeys, decodeKey, decodeStored, encodeExpiry, encodeKey, encodeStored, endOfDue, idOfExpiry, keyRange, type Stored
} from './lmdb-records.js'
import type { Source } from './view.js'

/** How many keys are removed between two looks at the table, so that a session of any size is removed in little memory. */
const REMOVED_AT_A_TIME = 1_000

/** A write to one key: null removes it. */
export type KeyWrite = readonly [key: Buffer, value: JsonText | null]

/**
 * The tables of the LMDB store. Reading is good anywhere and sees the transaction it is called in; whatever changes
 * something must be called inside a write transaction. `id` is the 32 bytes of a SessionId.
 */
export interface Tables {
  read (id: Buffer): Stored | undefined
  /** Puts what is kept about a session; `before` is what the tables have about it now. */
  put (id: Buffer, before: Stored | undefined, after: Stored): void
  /** Removes a session, its keys and its place in the expiry index. */
  remove (id: Buffer, stored: Stored): void
  removeKeys (id: Buffer): void
  /** Applies writes in their order; by how much the number of keys has changed. */
  writeKeys (writes: Iterable<KeyWrite>): number
  source (id: Buffer, size: number): Source
  /** The sessions that are due at `now`, the earliest first, at most `limit`. */
  due (now: number, limit: number): Array<{ readonly id: Buffer, readonly stored: Stored }>
  /** Sessions alive at `now` and the keys that can be read from them, found without looking at any that is not due. */
  totals (now: number): { readonly sessions: number, readonly keys: number }
  removeAll (): void
}

type Table<V> = Database<V, Buffer>

/** Opens the tables, and creates those that are not there. */
export function openTables (root: RootDatabase): Tables {
  const sessions: Table<Buffer> = root.openDB('sessions', { keyEncoding: 'binary', encoding: 'binary' })
  const expiry: Table<Buffer> = root.openDB('expiry', { keyEncoding: 'binary', encoding: 'binary' })
  // With this encoding lmdb makes a JavaScript string of the stored bytes themselves, without a buffer in between.
  const keys: Table<JsonText> = root.openDB('keys', { keyEncoding: 'binary', encoding: 'string' })

  function read (id: Buffer): Stored | undefined {
    const bytes = sessions.get(id)
    return bytes && decodeStored(bytes)
  }

  function moveDeadline (id: Buffer, from: number, to: number): void {
    if (from === to) return
    if (from !== Infinity) expiry.removeSync(encodeExpiry(from, id))
    if (to !== Infinity) expiry.putSync(encodeExpiry(to, id), NOTHING)
  }

  function removeKeys (id: Buffer): void {
    let some: Buffer[]
    do {
      some = [...keys.getKeys({ ...allKeys(id), limit: REMOVED_AT_A_TIME })]
      for (const key of some) keys.removeSync(key)
    } while (some.length === REMOVED_AT_A_TIME)
  }

  /** False when the key is there already, and then nothing is changed. */
  function insert (key: Buffer, value: JsonText): boolean {
    // lmdb does answer this, but its declarations say that it answers nothing.
    return keys.putSync(key, value, { noOverwrite: true }) as unknown as boolean
  }

  function due (now: number, limit: number): Array<{ id: Buffer, stored: Stored }> {
    return [...expiry.getKeys({ end: endOfDue(now), limit })].map(bytes => {
      const id = idOfExpiry(bytes)
      const stored = read(id)
      if (stored === undefined) throw new Error('The store is damaged: its expiry index names a session that is not there')
      return { id, stored }
    })
  }

  return {
    read,
    removeKeys,
    due,

    put (id, before, after) {
      sessions.putSync(id, encodeStored(after))
      moveDeadline(id, deadlineOf(before), deadline(after.session))
    },

    remove (id, stored) {
      sessions.removeSync(id)
      moveDeadline(id, deadlineOf(stored), Infinity)
      removeKeys(id)
    },

    writeKeys (writes) {
      let change = 0
      for (const [key, value] of writes) {
        if (value === null) change -= keys.removeSync(key) ? 1 : 0
        else if (insert(key, value)) change++
        else keys.putSync(key, value)
      }
      return change
    },

    source: (id, size) => sourceOf(keys, id, size),

    totals (now) {
      const totals = { sessions: entries(sessions), keys: entries(keys) }
      for (const { stored } of due(now, Infinity)) {
        totals.keys -= stored.size
        if (expire(stored.session, now) === undefined) totals.sessions--
      }
      return totals
    },

    removeAll () {
      for (const table of [sessions, keys, expiry]) table.clearSync()
    }
  }
}

const NOTHING = Buffer.alloc(0)

function deadlineOf (stored: Stored | undefined): number {
  return stored === undefined ? Infinity : deadline(stored.session)
}

function entries (table: { getStats (): object }): number {
  // lmdb declares its statistics as an object of unknown content; the number of entries is always among it.
  const { entryCount } = table.getStats() as { entryCount: number }
  return entryCount
}

function sourceOf (keys: Table<JsonText>, id: Buffer, size: number): Source {
  return {
    size,
    has (key) {
      const bytes = encodeKey(id, key)
      return bytes !== undefined && keys.doesExist(bytes)
    },
    get (key) {
      const bytes = encodeKey(id, key)
      return bytes && keys.get(bytes)
    },
    names ({ prefix, after, limit }) {
      const range = keyRange(id, prefix, after)
      return range === undefined ? [] : Array.from(keys.getKeys({ ...range, limit }), decodeKey)
    },
    entries () {
      return Array.from(keys.getRange({ ...allKeys(id) }), ({ key, value }) => [decodeKey(key), value] as const)
    }
  }
}
