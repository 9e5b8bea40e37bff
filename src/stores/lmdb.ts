import { mkdirSync } from 'node:fs'
import { open, type Database, type RootDatabase } from 'lmdb'
import { expire, type Access, type SessionId, type SessionStore } from '../session.js'
import { groupCommit } from './group-commit.js'
import { create, readOnly, remove, step, sweep } from './lmdb-access.js'
import { encodeId, FORMAT } from './lmdb-records.js'
import { openTables, type Tables } from './lmdb-tables.js'

/** How many accesses share one transaction at most: this bounds how long one turn of the event loop can take. */
const ACCESSES_PER_TRANSACTION = 1_000

/** Address space, not memory or disk, set apart for the file at first: 64 GiB. lmdb doubles it when the data outgrows it. */
const MAP_BYTES = 2 ** 36

/** The same everywhere, whatever the pages of the machine, so that a directory can be moved between machines. */
const PAGE_BYTES = 4_096

const FORMAT_KEY = Buffer.from('format')
const SECRET_KEY = Buffer.from('secret')

/**
 * Sessions in a directory, which is created when it is not there. A change is on the disk before its promise resolves.
 * Rejects when the directory cannot be used, or holds data of another format.
 */
export async function lmdbStore (directory: string): Promise<SessionStore> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const root = openRoot(directory)
  try {
    return storeOf(root, openMeta(root), openTables(root))
  } catch (error) {
    await root.close()
    throw error
  }
}

function storeOf (root: RootDatabase, meta: Meta, tables: Tables): SessionStore {
  const commit = groupCommit(work => root.transactionSync(work), ACCESSES_PER_TRANSACTION)

  /** Reads what was committed up to now, by any process: lmdb would go on with the snapshot of an earlier read. */
  function latest<T> (read: () => T): T {
    root.resetReadTxn()
    return read()
  }

  return {
    kind: 'lmdb',

    async secret (make) {
      const present = latest(() => meta.get(SECRET_KEY))
      if (present !== undefined) return present
      const made = make()
      return commit.run(() => {
        const other = meta.get(SECRET_KEY)
        if (other === undefined) meta.putSync(SECRET_KEY, made)
        return { value: other ?? made }
      })
    },

    create: (id, session, now) => commit.run(() => ({ value: create(tables, encodeId(id), session, now) })),

    async find (id, now) {
      const stored = latest(() => tables.read(encodeId(id)))
      const session = stored && expire(stored.session, now)
      return session && { session, size: session === stored.session ? stored.size : 0 }
    },

    async access<T> (id: SessionId, now: number, access: Access<T>) {
      const key = encodeId(id)
      const read = access.mayWrite ? undefined : latest(() => readOnly(tables, key, now, access))
      return read === undefined ? commit.run(() => step(tables, key, now, access)) : read.answer
    },

    remove: (id, now) => commit.run(() => ({ value: remove(tables, encodeId(id), now) })),

    clear (now) {
      return commit.run(() => {
        const { sessions } = tables.totals(now)
        tables.removeAll()
        return { value: sessions }
      })
    },

    totals: async now => latest(() => tables.totals(now)),

    async sweep (now, limit) {
      if (latest(() => tables.due(now, 1)).length === 0) return 0
      return commit.run(() => ({ value: sweep(tables, now, limit) }))
    },

    async close () {
      await commit.drained()
      await root.close()
    }
  }
}

type Meta = Database<Buffer, Buffer>

/** The first thing to be opened: throws, before anything else is touched, when the data is of another format. */
function openMeta (root: RootDatabase): Meta {
  const meta: Meta = root.openDB('meta', { keyEncoding: 'binary', encoding: 'binary' })
  root.transactionSync(() => {
    const format = meta.get(FORMAT_KEY)?.toString()
    if (format === undefined) {
      meta.putSync(FORMAT_KEY, Buffer.from(FORMAT))
    } else if (format !== FORMAT) {
      throw new Error(`The store's directory holds data of format ${format}; this version of Holdfast reads format ${FORMAT}`)
    }
  })
  return meta
}

function openRoot (directory: string): RootDatabase {
  const options = {
    path: directory,
    // lmdb takes a directory with a dot in its name for a file unless it is told.
    noSubdir: false,
    // Left on, a transaction would return before it is on the disk.
    overlappingSync: false,
    mapSize: MAP_BYTES,
    pageSize: PAGE_BYTES,
    // Not among the declared options, but lmdb makes its files with it; its default lets everybody read them.
    permissionsMode: 0o600
  }
  return open(options)
}
