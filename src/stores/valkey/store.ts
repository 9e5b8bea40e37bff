import { BigSet } from '../../big-set.js'
import { reason } from '../../reason.js'
import type { Access, Found, RemoteStore, Session, SessionCopy, SessionId } from '../../session.js'
import { StatusError } from '../../status.js'
import { ToldFaults } from '../../told-faults.js'
import type { CommonOptions } from '../options.js'
import { AccessQueues } from './access-queues.js'
import { ClusterTopology } from './client/cluster.js'
import { FIRST_FAULT } from './client/connection.js'
import { Engine } from './client/engine.js'
import { EngineError, LostError, statusOf } from './client/faults.js'
import { SingleServer, type Topology, type TopologyOptions } from './client/topology.js'
import { newVersion } from './layout.js'
import { changeOf } from './merged-change.js'
import { Opening } from './opening.js'
import type { ValkeyOptions } from './options.js'
import { SessionScanner } from './scan.js'
import { OPERATION } from './script.js'
import { SecretKeeper } from './secret.js'
import { ALL_ENTRIES } from './selection.js'
import { aliveAt } from './stored-session.js'
import type { ValkeyTarget } from './url.js'

const DEFAULT_OPEN_TIMEOUT_S = 60
const DEFAULT_ANSWER_DEADLINE_MS = 2_000

/** Milliseconds in which the same refusal of the engine is reported once: it may meet every request. */
const TELL_AGAIN_MS = 10_000

/** Sessions that are read at once with all their keys. */
const COPIES_AT_ONCE = 20

type Options = CommonOptions & ValkeyOptions

/**
 * Sessions in a Valkey or Redis server, or a cluster of them, which any number of gateways share. It is opened at once and
 * connects for as long as it takes: see SessionStore.opened. What is acknowledged is in the memory of the engine, on as many
 * replicas as `waitReplicas` says, and on its disk as the engine is set up to do it.
 * @throws {Error} that says what is wrong with a file of certificates
 */
export function valkeyStore (target: ValkeyTarget, options: Options = {}): RemoteStore {
  return new ValkeyStore(target, options)
}

class ValkeyStore implements RemoteStore {
  readonly kind = 'valkey'
  readonly #options: Options
  readonly #topology: Topology
  readonly #opening: Opening
  readonly #engine: Engine
  readonly #queues: AccessQueues
  readonly #scanner: SessionScanner
  readonly #secret: SecretKeeper
  readonly #told = new ToldFaults(TELL_AGAIN_MS)
  readonly #underWay = new Set<Promise<unknown>>()
  #fault: string | undefined = FIRST_FAULT

  constructor (target: ValkeyTarget, options: Options) {
    const { openTimeoutS = DEFAULT_OPEN_TIMEOUT_S, answerDeadlineMs = DEFAULT_ANSWER_DEADLINE_MS, waitReplicas = 0, report = () => {} } = options
    const topologyOptions: TopologyOptions = { answerDeadlineMs, waitReplicas, report, onChange: () => this.#topologyChanged() }
    this.#options = options
    this.#topology = target.isCluster ? new ClusterTopology(target, topologyOptions) : new SingleServer(target, topologyOptions)
    // After what can throw: its timer would keep a process that ends.
    this.#opening = new Opening(openTimeoutS)
    this.#engine = new Engine(this.#topology, answerDeadlineMs)
    this.#queues = new AccessQueues(this.#engine, target.prefix)
    this.#scanner = new SessionScanner(this.#topology, this.#engine, target.prefix)
    this.#secret = new SecretKeeper(this.#engine, target.prefix, report)
  }

  get opened (): Promise<void> { return this.#opening.promise }

  async secret (make: () => Buffer): Promise<Buffer> {
    return await this.#answer(() => this.#secret.read(make))
  }

  async create (id: SessionId, session: Session, now: number): Promise<Session> {
    const stored = await this.#answer(() => this.#queues.run(id, OPERATION.create, { now, change: changeOf({ session }, false), version: newVersion() }))
    return (stored && aliveAt(stored, now)?.session) ?? session
  }

  async find (id: SessionId, now: number): Promise<Found | undefined> {
    const stored = await this.#answer(() => this.#queues.run(id, OPERATION.read, { now, version: newVersion() }))
    const alive = stored && aliveAt(stored, now)
    return alive && { session: alive.session, size: alive.source.size }
  }

  async access<T> (id: SessionId, now: number, access: Access<T>): Promise<{ readonly reply: T } | undefined> {
    return await this.#answer(() => this.#queues.access(id, now, access))
  }

  async remove (id: SessionId, now: number): Promise<boolean> {
    return await this.#answer(() => this.#queues.run(id, OPERATION.remove, { now })) !== undefined
  }

  async clear (now: number): Promise<number> {
    return await this.#answer(() => this.#clear(now))
  }

  async totals (now: number): Promise<{ readonly sessions: number, readonly keys: number }> {
    return await this.#answer(() => this.#total(now))
  }

  async sweep (now: number, limit: number): Promise<number> {
    return await this.#answer(() => this.#sweep(now, limit))
  }

  async * copies (now: number): AsyncGenerator<SessionCopy> {
    const seen = new BigSet()
    const pages = this.#scanner.all()
    for (;;) {
      const page = await this.#answer(() => pages.next())
      if (page.done === true) return
      const fresh = page.value.filter(id => seen.add(id))
      for (let start = 0; start < fresh.length; start += COPIES_AT_ONCE) {
        const some = fresh.slice(start, start + COPIES_AT_ONCE)
        const copies = await this.#answer(() => Promise.all(some.map(async id => await this.#copyOf(id, now))))
        yield * copies.filter(copy => copy !== undefined)
      }
    }
  }

  async restore ({ id, session, keys }: SessionCopy, now: number): Promise<boolean> {
    const change = changeOf({ writes: keys, session }, false)
    return await this.#answer(() => this.#queues.run(id, OPERATION.create, { now, change, version: newVersion() })) === undefined
  }

  async close (): Promise<void> {
    await Promise.allSettled(this.#underWay)
    this.#opening.close()
    this.#topology.close()
  }

  #topologyChanged (): void {
    const { fault } = this.#topology
    this.#engine.topologyChanged()
    this.#opening.topologyChanged(this.#topology)
    if (fault === this.#fault) return
    this.#fault = fault
    this.#options.onAvailability?.(fault)
  }

  /** Rejects as requests are answered, and reports what the engine refuses. */
  async #answer<T> (work: () => Promise<T>): Promise<T> {
    const working = work()
    this.#underWay.add(working)
    try {
      return await working
    } catch (error) {
      this.#reportRefusal(error)
      throw statusOf(error)
    } finally {
      this.#underWay.delete(working)
    }
  }

  #reportRefusal (failure: unknown): void {
    const error = failure instanceof StatusError ? failure.cause : failure
    if (error instanceof EngineError && this.#told.isNew(error.code)) this.#options.report?.(error)
  }

  async #clear (now: number): Promise<number> {
    let count = 0
    try {
      for await (const ids of this.#scanner.all()) {
        const ended = await Promise.allSettled(ids.map(async id => { if (await this.#queues.run(id, OPERATION.remove, { now }) !== undefined) count++ }))
        const failures = ended.flatMap(result => result.status === 'rejected' ? [result.reason as unknown] : [])
        // Of one that was lost it is not known whether it has ended.
        if (failures.length > 0) throw failures.find(failure => failure instanceof LostError) ?? failures[0]
      }
    } catch (error) {
      // Some sessions have ended: nobody must be told that nothing was changed.
      throw count > 0 ? new LostError(reason(error)) : error
    }
    return count
  }

  async #total (now: number): Promise<{ readonly sessions: number, readonly keys: number }> {
    const totals = { sessions: 0, keys: 0 }
    for await (const ids of this.#scanner.all()) {
      for (const stored of await Promise.all(ids.map(async id => await this.#queues.run(id, OPERATION.look, { now }).catch(skipDamaged)))) {
        const alive = stored && aliveAt(stored, now)
        if (alive === undefined) continue
        totals.sessions++
        totals.keys += alive.source.size
      }
    }
    return totals
  }

  async #sweep (now: number, limit: number): Promise<number> {
    await this.#secret.restore()
    const due = await this.#scanner.due(now, limit)
    let count = 0
    await Promise.all(due.map(async id => {
      await this.#queues.run(id, OPERATION.read, { now, version: newVersion() }).then(() => { count++ }, skipDamaged)
    }))
    return count
  }

  async #copyOf (id: SessionId, now: number): Promise<SessionCopy | undefined> {
    const stored = await this.#queues.run(id, OPERATION.look, { now, selection: ALL_ENTRIES })
    const alive = stored && aliveAt(stored, now)
    return alive && { id, session: alive.session, keys: new Map(alive.source.entries()) }
  }
}

/** What cannot be read is not counted. */
function skipDamaged (error: unknown): undefined {
  if (!(error instanceof EngineError) || error.code !== 'DAMAGED') throw error
}
