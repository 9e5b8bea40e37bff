import type { SessionId } from '../../session.js'
import type { EngineCommand } from './client/connection.js'
import type { Engine } from './client/engine.js'
import { EngineError, nothingChanged, NotSentError } from './client/faults.js'
import { idOf, isDue, keysOf, patternOf, TIMES } from './layout.js'
import type { ValkeyNode } from './client/node.js'
import type { Topology } from './client/topology.js'

/** Keys of the engine in one step of a scan: it answers others between two of them. */
const KEYS_PER_STEP = 500

/** Steps of a scan that one sweep takes at most. */
const STEPS_PER_SWEEP = 8

/** The cursor that SCAN begins and ends with. */
const ORIGIN = '0'

/** Goes through the sessions of all nodes in steps that block none of them. */
export class SessionScanner {
  readonly #topology: Topology
  readonly #engine: Engine
  readonly #prefix: string
  /** Where the next sweep goes on. */
  #position = { master: 0, cursor: ORIGIN }
  /** What the last sweep found beyond its limit. */
  #leftOver: readonly SessionId[] = []

  constructor (topology: Topology, engine: Engine, prefix: string) {
    this.#topology = topology
    this.#engine = engine
    this.#prefix = prefix
  }

  /** Every session, a page at a time; one that is there all the while at least once. Rejects as Engine.command() does. */
  async * all (): AsyncGenerator<readonly SessionId[]> {
    if (!this.#topology.isWhole) throw new NotSentError(this.#topology.fault ?? 'a part of the cluster cannot be reached')
    for (const node of this.#topology.masters()) {
      let cursor = ORIGIN
      do {
        const { ids, next } = await this.#page(node, cursor)
        cursor = next
        if (ids.length > 0) yield ids
      } while (cursor !== ORIGIN)
    }
  }

  /** At most `limit` sessions that are due at `now`, from a part of the store, the next part each time. Rejects as Engine.command() does. */
  async due (now: number, limit: number): Promise<readonly SessionId[]> {
    const due = await this.#dueOf(this.#leftOver, now)
    let ends = 0
    for (let steps = 0; steps < STEPS_PER_SWEEP && due.length < limit && ends < this.#topology.masters().length; steps++) {
      const known = new Set(due)
      due.push(...(await this.#dueOf(await this.#step(), now)).filter(id => !known.has(id)))
      if (this.#position.cursor === ORIGIN) ends++
    }
    this.#leftOver = due.slice(limit)
    return due.slice(0, limit)
  }

  /** One step of the sweep's own scan. */
  async #step (): Promise<readonly SessionId[]> {
    const masters = this.#topology.masters()
    const { master, cursor } = this.#position
    const node = masters[master % masters.length]
    if (node === undefined) return []
    const { ids, next } = await this.#page(node, cursor)
    this.#position = { cursor: next, master: next === ORIGIN ? (master + 1) % masters.length : master }
    return ids
  }

  async #page (node: ValkeyNode, cursor: string): Promise<{ readonly ids: readonly SessionId[], readonly next: string }> {
    const scan = { name: 'scan', args: [cursor, 'match', patternOf(this.#prefix), 'count', KEYS_PER_STEP] }
    const [next, keys] = await node.read(scan).catch(nothingChanged) as [string, string[]] // As the engine documents it.
    const found = keys.flatMap(key => idOf(this.#prefix, key) ?? [])
    const companions = found.filter(({ isCompanion }) => isCompanion).map(({ id }) => id)
    // A session that stays is found by its hash, unless the engine has dropped that.
    const hashes = await this.#ask('exists', companions)
    return { next, ids: [...found.filter(({ isCompanion }) => !isCompanion).map(({ id }) => id), ...companions.filter((_, index) => hashes[index] === 0)] }
  }

  async #dueOf (ids: readonly SessionId[], now: number): Promise<SessionId[]> {
    const times = await this.#ask('hget', ids, TIMES)
    return ids.filter((_, index) => isDue(String(times[index]), now))
  }

  /** Asks the same about the hash of each session. */
  async #ask (name: string, ids: readonly SessionId[], ...args: EngineCommand['args']): Promise<unknown[]> {
    return await Promise.all(ids.map(async id => {
      const [hash] = keysOf(this.#prefix, id)
      return await this.#engine.command(hash, { name, args: [hash, ...args] }, false).catch(unlessForeign)
    }))
  }
}

/** What somebody else has written in place of a session tells nothing, and keeps nobody from the others. */
function unlessForeign (error: unknown): undefined {
  if (!(error instanceof EngineError) || error.code !== 'WRONGTYPE') throw error
}
