import { setTimeout as sleep } from 'node:timers/promises'
import type { RootDatabase } from 'lmdb'
import { expire, type Access, type Session, type SessionId, type SessionStore } from '../../session.js'
import { groupCommit } from './group-commit.js'
import { create, lookOnly, readOnly, remove, restore, settle, step, sweep } from './access.js'
import { takeDirectory, type OwnDirectory } from './check.js'
import { isWriteFault } from './faults.js'
import { filesOf, requireSame, writeStamp } from './files.js'
import { guardOf } from './guard.js'
import { lockAsMember, tryLockOut } from './locks.js'
import { encodeId, idOfExpiry, type Stored } from './records.js'
import { openReader } from './reader.js'
import { openRoot } from './root.js'
import { secretOf } from './secret.js'
import { copies, overdue } from './survey.js'
import { openTables, type Tables } from './tables.js'
import type { CommonOptions } from '../options.js'
import type { Claim } from '../row.js'
import type { LmdbOptions } from './options.js'
import { openWriterLock, type WriterLock } from './writer-lock.js'

type Options = CommonOptions & LmdbOptions

/** How many accesses share one transaction at most: this bounds how long one turn of the event loop can take. */
const ACCESSES_PER_TRANSACTION = 1_000

const LOST_SECRET = 'The file secret is missing although there are sessions: with the new one, their names do not lead to the shared ones among them; a copy put back in its place does'

/** Milliseconds between two looks at what nobody else would notice. */
const LOOK_AFTER = 5_000

/** Milliseconds in which some file systems give two changes of a file the same time. */
const TICK = 12

/**
 * Sessions in a directory, which is created when it is not there. A change is on the disk before its promise resolves.
 * Rejects with an Error that says in one line why the directory cannot be used: another process has it, its data is damaged
 * or of another format, or the operating system refuses.
 */
export async function lmdbStore (directory: string, options: Options = {}): Promise<SessionStore> {
  if (options.role === 'member') {
    const lock = lockAsMember(directory)
    // LMDB would make a new file in the place of one that is missing.
    if (options.files !== undefined) requireSame(directory, options.files)
    return await opened(directory, options, async () => { lock.release() })
  }
  const own = await takeDirectory(directory, options.report ?? ignore)
  return await opened(directory, options, async isSound => { await leave(directory, own, isSound) })
}

/** Takes a directory for the workers of this process, and checks it. Rejects as lmdbStore() does. */
export async function claimDirectory (directory: string, { report = ignore }: CommonOptions = {}): Promise<Claim<LmdbOptions>> {
  const own = await takeDirectory(directory, report)
  own.share()
  return {
    options: { role: 'member', files: filesOf(directory) },
    async release (isSound) {
      const others = tryLockOut(directory)
      await leave(directory, own, isSound && others !== undefined)
      others?.release()
    },
  }
}

/** A store in a directory that others may write to, for copies(), totals() and find() only. Rejects as openReader() does. */
export async function lmdbReader (directory: string): Promise<SessionStore> {
  const { root, close } = await openReader(directory)
  return storeOf(directory, {}, { root, tables: openTables(root), lock: NO_LOCK }, close)
}

/** Of what is only read. */
const NO_LOCK = { take () {}, release () {} }

/** Gives a directory up. @param isSound whether the data file was closed as it should be, and is not written to any more */
async function leave (directory: string, own: OwnDirectory, isSound: boolean): Promise<void> {
  try {
    if (!isSound) return
    // Any later change of the file has another time then.
    await sleep(TICK)
    writeStamp(directory)
  } catch {
    // On a full disk, say. Without it the next start takes longer, no more.
  } finally {
    own.release()
  }
}

function ignore (): void {}

async function opened (directory: string, options: Options, release: (isSound: boolean) => Promise<void>): Promise<SessionStore> {
  const { lock, root, tables } = await openToWrite(directory, options).catch(async error => {
    await release(false)
    throw error
  })
  return storeOf(directory, options, { lock, root, tables }, async isSound => {
    await root.close()
    lock.close()
    await release(isSound)
  })
}

async function openToWrite (directory: string, { commits }: Options) {
  const lock = openWriterLock(directory)
  try {
    return await lock.hold(() => {
      commits?.wait()
      // What could be found to be wrong was found before: when LMDB itself fails to open, it takes the process down with it.
      const root = openRoot(directory)
      return { lock, root, tables: openTables(root) }
    })
  } catch (error) {
    lock.close()
    throw error
  } finally {
    commits?.end()
  }
}

interface Opened {
  readonly root: RootDatabase
  readonly tables: Tables
  readonly lock: Pick<WriterLock, 'take' | 'release'>
}

/** @param release closes what was opened, and gives up what it lies in */
function storeOf (directory: string, options: Options, { root, tables, lock }: Opened, release: (isSound: boolean) => Promise<void>): SessionStore {
  const guard = guardOf(root, lock, tables.takeGrowth, directory, options)
  const commit = groupCommit(guard.transact, ACCESSES_PER_TRANSACTION)

  let lookedAfter = -Infinity

  /** Frees what readers keep in use that were killed, such as an export, and finds out whether the files are still there. */
  function lookAfter (): void {
    const now = performance.now()
    if (now - lookedAfter < LOOK_AFTER) return
    lookedAfter = now
    guard.stillThere()
    guard.seeing(() => root.readerCheck())
  }

  /** Writes, together with whatever else waits. */
  const write = async <T>(work: () => T) => await commit.run(() => guard.settled(() => ({ value: work() })))

  /** Writes what only keeps the books; without a disk to write to, the answer is what is read. */
  async function keepBooks<T> (work: () => Promise<T>, otherwise: () => T): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isWriteFault(error)) throw error
      return guard.read(otherwise)
    }
  }

  return {
    kind: 'lmdb',

    secret: async make => secretOf(directory, () => {
      if (guard.read(() => tables.counts()).sessions > 0) options.report?.(new Error(LOST_SECRET))
      return make()
    }),

    create: async (id, session, now) => await write(() => create(tables, encodeId(id), session, now)),

    async find (id, now) {
      const key = encodeId(id)
      const stored = guard.read(() => tables.read(key))
      if (stored === undefined || expire(stored.session, now) === stored.session) return stored && found(stored, stored.session)
      return await keepBooks(async () => await write(() => {
        settle(tables, key, now)
        return look(tables, key, now)
      }), () => look(tables, key, now))
    },

    async access<T> (id: SessionId, now: number, access: Access<T>) {
      const key = encodeId(id)
      const commitStep = async () => await commit.run(() => guard.settled(() => step(tables, key, now, access)))
      if (access.mayWrite) return await commitStep()
      const read = guard.read(() => readOnly(tables, key, now, access))
      return read === undefined ? await keepBooks(commitStep, () => lookOnly(tables, key, now, access)) : read.answer
    },

    remove: async (id, now) => await write(() => remove(tables, encodeId(id), now)),

    async clear (now) {
      return await write(() => {
        const { sessions } = tables.counts()
        const due = tables.due(now, Infinity).filter(entry => look(tables, idOfExpiry(entry), now) === undefined)
        tables.removeAll()
        return sessions - due.length
      })
    },

    async totals (now) {
      const snapshot = guard.snapshot()
      try {
        const { sessions, keys } = tables.counts()
        const dead = await overdue(tables, snapshot, now)
        return { sessions: sessions - dead.sessions, keys: keys - dead.keys }
      } finally {
        snapshot.done()
      }
    },

    async sweep (now, limit) {
      if (!guard.read(() => tables.hasWork(now))) {
        lookAfter()
        return 0
      }
      return await keepBooks(async () => await write(() => sweep(tables, now, limit, guard.met)), () => 0)
    },

    copies: now => copies(tables, guard, now),

    restore: async (copy, now) => await write(() => restore(tables, copy, now)),

    async close () {
      await commit.drained()
      await release(!guard.isPoisoned())
    },
  }
}

function found (stored: Stored, session: Session) {
  return { session, size: session === stored.session ? stored.size : 0 }
}

function look (tables: Tables, id: Buffer, now: number) {
  const stored = tables.read(id)
  const session = stored && expire(stored.session, now)
  return stored && session && found(stored, session)
}
