import { reason } from '../../reason.js'
import { type SessionCopy, type SessionId, type SessionStore } from '../../session.js'
import { StatusError } from '../../status.js'
import type { CommonOptions } from '../options.js'
import type { ValkeyOptions } from './options.js'
import { newVersion } from './arguments.js'
import { standing, wantedBy } from './base.js'
import { cluster } from './client/cluster.js'
import { FIRST_FAULT } from './client/connection.js'
import { engineOf } from './client/engine.js'
import { EngineError, LostError, statusOf } from './client/faults.js'
import { nothing } from './overlay.js'
import { scannerOf } from './scan.js'
import { OPERATION } from './script.js'
import { secretOf } from './secret.js'
import { stepsOf } from './steps.js'
import { singleServer, type Topology, type TopologyOptions } from './client/topology.js'
import type { ValkeyTarget } from './url.js'

const DEFAULT_TIMEOUT = 60
const DEFAULT_DEADLINE = 2_000

/** Milliseconds in which the same refusal of the engine is reported once. */
const TELL_AGAIN = 10_000

/** Sessions that are read at once with all their keys. */
const COPIES_AT_ONCE = 20

/** Every key of a session with its value. */
const EVERYTHING = wantedBy([{ all: true }])

/**
 * Sessions in a Valkey or Redis server, or a cluster of them, which any number of gateways share. It is opened at once and
 * connects for as long as it takes: see SessionStore.opened. What is acknowledged is in the memory of the engine, on as many
 * replicas as `waitReplicas` says, and on its disk as the engine is set up to do it.
 */
export function valkeyStore (target: ValkeyTarget, options: CommonOptions & ValkeyOptions = {}): SessionStore {
  const { openTimeoutS: timeout = DEFAULT_TIMEOUT, answerDeadlineMs: deadline = DEFAULT_DEADLINE, waitReplicas = 0, report = () => {}, onAvailability = () => {} } = options
  const { prefix } = target
  const topologyOptions: TopologyOptions = { deadline, waitReplicas, report, onChange }
  const topology: Topology = target.isCluster ? cluster(target, topologyOptions) : singleServer(target, topologyOptions)
  // After what can throw: its timer would keep a process that ends.
  const opening = openingOf(timeout)
  const engine = engineOf(topology, deadline)
  const steps = stepsOf(engine, prefix, deadline)
  const scanner = scannerOf(topology, engine, prefix)
  const secret = secretOf(engine, prefix, report)
  const told = new Map<string, number>()
  const underWay = new Set<Promise<unknown>>()
  let lastFault: string | undefined = FIRST_FAULT

  function onChange (): void {
    const { fault } = topology
    engine.changed()
    opening.look(topology.isWhole, fault)
    if (fault === lastFault) return
    lastFault = fault
    onAvailability(fault)
  }

  /** Rejects as requests are answered. @param changes whether something may have been changed when it fails */
  async function answering<T> (changes: boolean, work: () => Promise<T>): Promise<T> {
    const working = work()
    underWay.add(working)
    try {
      return await working
    } catch (error) {
      tell(error)
      throw statusOf(error, changes)
    } finally {
      underWay.delete(working)
    }
  }

  /** Reports what the engine refuses to do; the same again only after a while, as it may meet every request. */
  function tell (failure: unknown): void {
    const error = failure instanceof StatusError ? failure.cause : failure
    if (!(error instanceof EngineError) || performance.now() - (told.get(error.code) ?? -Infinity) < TELL_AGAIN) return
    told.set(error.code, performance.now())
    report(error)
  }

  /** What cannot be read is not counted. */
  function skipDamaged (error: unknown): undefined {
    if (!(error instanceof EngineError) || error.code !== 'DAMAGED') throw error
  }

  async function copyOf (id: SessionId, now: number): Promise<SessionCopy | undefined> {
    const base = await steps.run(id, OPERATION.look, { now, wanted: EVERYTHING })
    const found = base && standing(base, now)
    return found && { id, session: found.session, keys: new Map(found.source.entries()) }
  }

  return {
    kind: 'valkey',
    opened: opening.promise,

    secret: async make => await answering(true, async () => await secret.read(make)),

    create: async (id, session, now) => await answering(true, async () => {
      const base = await steps.run(id, OPERATION.create, { now, sum: { ...nothing(), session }, version: newVersion() })
      return (base && standing(base, now)?.session) ?? session
    }),

    find: async (id, now) => await answering(false, async () => {
      const base = await steps.run(id, OPERATION.read, { now, version: newVersion() })
      const found = base && standing(base, now)
      return found && { session: found.session, size: found.source.size }
    }),

    access: async (id, now, access) => await answering(access.mayWrite, async () => await steps.access(id, now, access)),

    remove: async (id, now) => await answering(true, async () => await steps.run(id, OPERATION.remove, { now }) !== undefined),

    clear: async now => await answering(true, async () => {
      let count = 0
      try {
        for await (const ids of scanner.all()) {
          const ended = await Promise.allSettled(ids.map(async id => { if (await steps.run(id, OPERATION.remove, { now }) !== undefined) count++ }))
          const failures = ended.flatMap(result => result.status === 'rejected' ? [result.reason as unknown] : [])
          // Of one that was lost it is not known whether it has ended.
          if (failures.length > 0) throw failures.find(failure => failure instanceof LostError) ?? failures[0]
        }
      } catch (error) {
        // Some sessions have ended: it must not be said that nothing was changed.
        throw count > 0 ? new LostError(reason(error)) : error
      }
      return count
    }),

    totals: async now => await answering(false, async () => {
      const totals = { sessions: 0, keys: 0 }
      for await (const ids of scanner.all()) {
        for (const base of await Promise.all(ids.map(async id => await steps.run(id, OPERATION.look, { now }).catch(skipDamaged)))) {
          const found = base && standing(base, now)
          if (found === undefined) continue
          totals.sessions++
          totals.keys += found.source.size
        }
      }
      return totals
    }),

    sweep: async (now, limit) => await answering(true, async () => {
      await secret.keep()
      const due = await scanner.due(now, limit)
      let count = 0
      await Promise.all(due.map(async id => {
        await steps.run(id, OPERATION.read, { now, version: newVersion() }).then(() => { count++ }, skipDamaged)
      }))
      return count
    }),

    async * copies (now) {
      const seen = manyIds()
      const pages = scanner.all()
      for (;;) {
        const { done = false, value: ids } = await answering(false, async () => await pages.next())
        if (done) return
        const fresh = (ids as readonly SessionId[]).filter(seen.add) // It gives pages until it is done.
        for (let start = 0; start < fresh.length; start += COPIES_AT_ONCE) {
          const some = fresh.slice(start, start + COPIES_AT_ONCE)
          yield * (await answering(false, async () => await Promise.all(some.map(async id => await copyOf(id, now))))).filter(copy => copy !== undefined)
        }
      }
    },

    restore: async ({ id, session, keys }, now) => await answering(true, async () =>
      await steps.run(id, OPERATION.create, { now, sum: { ...nothing(), writes: new Map(keys), session }, version: newVersion() }) === undefined),

    async close () {
      await Promise.allSettled(underWay)
      await steps.drained()
      opening.close()
      topology.close()
    },
  }
}

/** The promise of SessionStore.opened. @param timeout seconds */
function openingOf (timeout: number): { readonly promise: Promise<void>, look (isWhole: boolean, fault: string | undefined): void, close (): void } {
  let reason = 'no answer'
  let settle = { resolve (): void {}, reject (_error: Error): void {} }
  const promise = new Promise<void>((resolve, reject) => { settle = { resolve, reject } })
  // Whoever opens a store need not wait for it.
  promise.catch(() => {})
  const timer = Number.isFinite(timeout) ? setTimeout(() => settle.reject(new Error(`${reason}, after ${timeout} s`)), timeout * 1000) : undefined
  return {
    promise,
    look (isWhole, fault) {
      reason = fault ?? 'not every part of the cluster can be reached'
      if (!isWhole) return
      clearTimeout(timer)
      settle.resolve()
    },
    close () {
      clearTimeout(timer)
      settle.reject(new Error('it was closed'))
    },
  }
}

/** A Set of more ids than a Set of V8 can hold. */
function manyIds (): { add (id: SessionId): boolean } {
  const sets = new Map<string, Set<string>>()
  return {
    add (id) {
      const set = sets.get(id.slice(0, 2)) ?? new Set()
      sets.set(id.slice(0, 2), set)
      // 96 bits of a hash are as good as all of them.
      return set.size < set.add(id.slice(-24)).size
    },
  }
}
