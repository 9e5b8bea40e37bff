import type { RootDatabase } from 'lmdb'
import { expire, type Access, type Found, type Session, type SessionCopy, type SessionId, type SessionStore } from '../../session.js'
import type { CommonOptions } from '../options.js'
import type { Awaitable } from '../../awaitable.js'
import { create, expireStored, lookOnly, readOnly, remove, restore, step, sweep, type AccessAnswer } from './access.js'
import { Environment } from './environment.js'
import { isWriteFault } from './faults.js'
import { groupCommit, type GroupCommit } from './group-commit.js'
import type { LmdbOptions } from './options.js'
import { encodeId, idOfExpiry, type Stored } from './records.js'
import { secretOf } from './secret.js'
import { copies, overdue } from './survey.js'
import type { Tables } from './tables.js'
import type { WriterLock } from './writer-lock.js'

/** How many accesses share one transaction at most: this bounds how long one turn of the event loop can take. */
const ACCESSES_PER_TRANSACTION = 1_000

const LOST_SECRET = 'The file secret is missing although there are sessions: with the new one, their names do not lead to the shared ones among them; a copy put back in its place does'

/** Milliseconds between two looks at what nobody else would notice. */
const LOOK_AFTER_MS = 5_000

/** What a store works on. */
interface Opened {
  readonly root: RootDatabase
  readonly tables: Tables
  readonly lock: Pick<WriterLock, 'take' | 'release'>
}

/** Sessions in LMDB's tables, once they are open: see open.ts. */
export class LmdbStore implements SessionStore {
  readonly kind = 'lmdb'
  readonly #directory: string
  readonly #options: CommonOptions & LmdbOptions
  readonly #root: RootDatabase
  readonly #tables: Tables
  readonly #environment: Environment
  readonly #commits: GroupCommit
  readonly #release: (isSound: boolean) => Promise<void>
  #lookedAfterMs = -Infinity

  /** @param release closes what was opened, and gives up what it lies in */
  constructor (directory: string, options: CommonOptions & LmdbOptions, { root, tables, lock }: Opened, release: (isSound: boolean) => Promise<void>) {
    this.#directory = directory
    this.#options = options
    this.#root = root
    this.#tables = tables
    const environment = new Environment({ root, lock, directory, takeGrowth: tables.takeGrowth }, options)
    this.#environment = environment
    this.#commits = groupCommit(work => environment.transact(work), ACCESSES_PER_TRANSACTION)
    this.#release = release
  }

  async secret (make: () => Buffer): Promise<Buffer> {
    return secretOf(this.#directory, () => {
      if (this.#environment.read(() => this.#tables.counts()).sessions > 0) this.#options.report?.(new Error(LOST_SECRET))
      return make()
    })
  }

  async create (id: SessionId, session: Session, now: number): Promise<Session> {
    return await this.#write(() => create(this.#tables, encodeId(id), session, now))
  }

  async find (id: SessionId, now: number): Promise<Found | undefined> {
    const key = encodeId(id)
    const stored = this.#environment.read(() => this.#tables.read(key))
    if (stored === undefined || expire(stored.session, now) === stored.session) return stored && found(stored, stored.session)
    return await this.#tryWriting(async () => await this.#write(() => {
      expireStored(this.#tables, key, now)
      return look(this.#tables, key, now)
    }), () => look(this.#tables, key, now))
  }

  access<T> (id: SessionId, now: number, access: Access<T>): Awaitable<AccessAnswer<T>> {
    const key = encodeId(id)
    if (access.mayWrite) return this.#commitStep(key, now, access)
    const read = this.#environment.read(() => readOnly(this.#tables, key, now, access))
    if (read !== undefined) return read.answer
    return this.#tryWriting(() => this.#commitStep(key, now, access), () => lookOnly(this.#tables, key, now, access))
  }

  async remove (id: SessionId, now: number): Promise<boolean> {
    return await this.#write(() => remove(this.#tables, encodeId(id), now))
  }

  async clear (now: number): Promise<number> {
    const tables = this.#tables
    return await this.#write(() => {
      const { sessions } = tables.counts()
      const due = tables.due(now, Infinity).filter(entry => look(tables, idOfExpiry(entry), now) === undefined)
      tables.removeAll()
      return sessions - due.length
    })
  }

  async totals (now: number): Promise<{ readonly sessions: number, readonly keys: number }> {
    const snapshot = this.#environment.snapshot()
    try {
      const { sessions, keys } = this.#tables.counts()
      const dead = await overdue(this.#tables, snapshot, now)
      return { sessions: sessions - dead.sessions, keys: keys - dead.keys }
    } finally {
      snapshot.done()
    }
  }

  async sweep (now: number, limit: number): Promise<number> {
    if (!this.#environment.read(() => this.#tables.hasWork(now))) {
      this.#lookAfter()
      return 0
    }
    const report = (error: Error): void => this.#environment.reportDamage(error)
    return await this.#tryWriting(async () => await this.#write(() => sweep(this.#tables, now, limit, report)), () => 0)
  }

  copies (now: number): AsyncIterable<SessionCopy> {
    return copies(this.#tables, this.#environment, now)
  }

  async restore (copy: SessionCopy, now: number): Promise<boolean> {
    return await this.#write(() => restore(this.#tables, copy, now))
  }

  async close (): Promise<void> {
    await this.#commits.drained()
    await this.#release(!this.#environment.hasFailed)
  }

  #commitStep<T> (key: Buffer, now: number, access: Access<T>): Promise<AccessAnswer<T>> {
    return this.#commits.run(() => this.#environment.attempt(() => step(this.#tables, key, now, access)))
  }

  /** Writes, together with whatever else waits. */
  async #write<T> (work: () => T): Promise<T> {
    return await this.#commits.run(() => this.#environment.attempt(() => ({ value: work() })))
  }

  /** Does work that changes nothing that anybody sees; when the disk cannot be written to, the answer is what `otherwise` reads. */
  async #tryWriting<T> (work: () => Promise<T>, otherwise: () => T): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isWriteFault(error)) throw error
      return this.#environment.read(otherwise)
    }
  }

  /** Frees what readers keep in use that were killed, such as an export, and checks that the files are still there. */
  #lookAfter (): void {
    const nowMs = performance.now()
    if (nowMs - this.#lookedAfterMs < LOOK_AFTER_MS) return
    this.#lookedAfterMs = nowMs
    this.#environment.checkFiles()
    this.#environment.guarded(() => this.#root.readerCheck())
  }
}

function found (stored: Stored, session: Session): Found {
  return { session, size: session === stored.session ? stored.size : 0 }
}

function look (tables: Tables, id: Buffer, now: number) {
  const stored = tables.read(id)
  const session = stored && expire(stored.session, now)
  return stored && session && found(stored, session)
}
