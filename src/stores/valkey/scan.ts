import type { SessionId } from '../../session.js'
import type { Call } from './client/connection.js'
import type { Engine } from './client/engine.js'
import { EngineError, NotSentError } from './client/faults.js'
import { idOf, isDue, keysOf, patternOf, TIMES } from './layout.js'
import type { Node } from './client/node.js'
import type { Topology } from './client/topology.js'

/** Keys of the engine in one step of a scan: it answers others between two of them. */
const STEP = 500

/** Steps of a scan that one sweep takes at most. */
const STEPS_PER_SWEEP = 8

/** What SCAN begins and ends with. */
const ORIGIN = '0'

/** Goes through the sessions of all servers in steps that block none of them. */
export interface Scanner {
  /** Every session, a page at a time; one that is there all the while at least once. Rejects as Engine.command() does. */
  all (): AsyncGenerator<readonly SessionId[]>
  /** At most `limit` sessions that are due at `now`, from a part of the store, the next one each time; none when it met none. */
  due (now: number, limit: number): Promise<readonly SessionId[]>
}

export function scannerOf (topology: Topology, engine: Engine, prefix: string): Scanner {
  /** Where the next sweep goes on. */
  let place = { master: 0, cursor: ORIGIN }
  /** What the last one has met, and was not to deal with any more. */
  let left: readonly SessionId[] = []

  /** Asks the same about the hash of each session. */
  async function ask (name: string, ids: readonly SessionId[], ...args: Call['args']): Promise<unknown[]> {
    return await Promise.all(ids.map(async id => {
      const [hash] = keysOf(prefix, id)
      return await engine.command(hash, { name, args: [hash, ...args] }, false).catch(unlessForeign)
    }))
  }

  async function page (node: Node, cursor: string): Promise<{ readonly ids: readonly SessionId[], readonly next: string }> {
    const [next, keys] = await node.read({ name: 'scan', args: [cursor, 'match', patternOf(prefix), 'count', STEP] }) as [string, string[]] // As the engine documents it.
    const found = keys.flatMap(key => idOf(prefix, key) ?? [])
    const stays = found.filter(({ isStay }) => isStay).map(({ id }) => id)
    // A session that stays is met by its hash, unless the engine has dropped that.
    const hashes = await ask('exists', stays)
    return { next, ids: [...found.filter(({ isStay }) => !isStay).map(({ id }) => id), ...stays.filter((_, index) => hashes[index] === 0)] }
  }

  async function dueOf (ids: readonly SessionId[], now: number): Promise<SessionId[]> {
    const times = await ask('hget', ids, TIMES)
    return ids.filter((_, index) => isDue(String(times[index]), now))
  }

  /** One step of the sweep's own scan. */
  async function step (): Promise<readonly SessionId[]> {
    const masters = topology.masters()
    const node = masters[place.master % masters.length]
    if (node === undefined) return []
    const { ids, next } = await page(node, place.cursor)
    place = { cursor: next, master: next === ORIGIN ? (place.master + 1) % masters.length : place.master }
    return ids
  }

  return {
    async * all () {
      if (!topology.isWhole) throw new NotSentError(topology.fault ?? 'a part of the cluster cannot be reached')
      for (const node of topology.masters()) {
        let cursor = ORIGIN
        do {
          const { ids, next } = await page(node, cursor)
          cursor = next
          if (ids.length > 0) yield ids
        } while (cursor !== ORIGIN)
      }
    },

    async due (now, limit) {
      const due = await dueOf(left, now)
      let ends = 0
      for (let steps = 0; steps < STEPS_PER_SWEEP && due.length < limit && ends < topology.masters().length; steps++) {
        const known = new Set(due)
        due.push(...(await dueOf(await step(), now)).filter(id => !known.has(id)))
        if (place.cursor === ORIGIN) ends++
      }
      left = due.slice(limit)
      return due.slice(0, limit)
    },
  }
}

/** What somebody else has written in place of a session tells nothing, and keeps nobody from the others. */
function unlessForeign (error: unknown): undefined {
  if (!(error instanceof EngineError) || error.code !== 'WRONGTYPE') throw error
}
