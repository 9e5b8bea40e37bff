import slotOf from 'cluster-key-slot'
import { reason } from '../../../reason.js'
import { FIRST_FAULT } from './connection.js'
import { nodeOf, type Node } from './node.js'
import type { Topology, TopologyOptions } from './topology.js'
import { shownEndpoint, type Endpoint, type ValkeyTarget } from '../url.js'

/** Slots of a cluster. */
const SLOTS = 16_384

/** Milliseconds between two looks at who has what: while something is amiss, and otherwise. */
const SOON = 100
const LATER = 15_000

/** As CLUSTER SLOTS has it: first and last slot, the master, its replicas. A server is its address, its port and more. */
type SlotRange = readonly [first: number, last: number, ...servers: Array<readonly [host: string | null, port: number, ...rest: unknown[]]>]

/**
 * The servers of a cluster. Which of them has which slot is asked of any that answers: at the start, when a redirection says
 * that something has changed, when a server is lost, and from time to time.
 */
export function cluster (target: ValkeyTarget, { onChange, report, ...options }: TopologyOptions): Topology {
  const nodes = new Map<string, Node>()
  const slots: Array<Node | undefined> = new Array(SLOTS).fill(undefined)
  let masters: readonly Node[] = []
  /** Replicas too: of a cluster of few servers they may be all that is left. */
  let known: readonly Endpoint[] = target.endpoints
  /** Where redirections have led since the last look: what a slot moves to may have no other, and so be in no list. */
  const followed = new Map<string, Endpoint>()
  let timer: NodeJS.Timeout | undefined
  let lookAt = Infinity
  let isLooking = false
  let hasLooked = false
  /** Whether it was reported that nobody says who has what. */
  let isTold = false
  let isClosed = false
  let turn = 0
  const missed = new Map<Node, string>()

  function nodeAt (endpoint: Endpoint): Node {
    const name = shownEndpoint(endpoint)
    const node = nodes.get(name) ?? nodeOf(endpoint, target, { ...options, allowReplica: true, onChange: changed })
    nodes.set(name, node)
    return node
  }

  function changed (): void {
    // A server that cannot be reached may have been replaced by now.
    lookIn(masters.length === 0 ? 0 : isWhole() ? LATER : SOON)
    tell()
    onChange()
  }

  /** Says of every server that has slots once that it is lost, and once that it is back. */
  function tell (): void {
    for (const node of masters) {
      const { fault } = node
      if (fault === FIRST_FAULT) continue
      if (fault !== undefined && !missed.has(node)) report(new Error(`a part of the cluster cannot be reached: ${shownEndpoint(node.endpoint)}: ${fault}`))
      if (fault === undefined) missed.delete(node)
      else missed.set(node, fault)
    }
  }

  function isWhole (): boolean {
    return masters.length > 0 && masters.every(({ fault }) => fault === undefined) && slots.every(node => node !== undefined)
  }

  function lookIn (delay: number): void {
    const at = performance.now() + delay
    if (isClosed || at >= lookAt) return
    lookAt = at
    clearTimeout(timer)
    timer = setTimeout(look, delay)
  }

  /** Asks one server, another one each time, that can be asked. One that is not connected yet is, for the next time. */
  async function look (): Promise<void> {
    lookAt = Infinity
    if (isLooking) return
    isLooking = true
    try {
      const able = known.map(nodeAt).filter(({ fault }) => fault === undefined)
      const node = able[turn++ % (able.length || 1)]
      if (node !== undefined) learn(await node.read({ name: 'cluster', args: ['slots'] }) as readonly SlotRange[], node.endpoint) // As the engine documents it.
    } catch (error) {
      if (!isTold) report(new Error(`a node of the cluster did not say who has what: ${reason(error)}`))
      isTold = true
    } finally {
      isLooking = false
      lookIn(isWhole() ? LATER : SOON)
    }
  }

  function learn (ranges: readonly SlotRange[], from: Endpoint): void {
    hasLooked = true
    isTold = false
    // A node that has lost the others for long knows nothing.
    if (ranges.length === 0) return onChange()
    const servers = ranges.map(([first, last, ...servers]) => ({ first, last, endpoints: servers.map(([host, port]) => endpointOf(host, port, from)[0]) }))
    slots.fill(undefined)
    for (const { first, last, endpoints: [master] } of servers) {
      if (master !== undefined) slots.fill(nodeAt(master), first, last + 1)
    }
    masters = [...new Set(slots)].filter(node => node !== undefined)
    const endpoints = servers.flatMap(({ endpoints }) => endpoints.filter(endpoint => endpoint !== undefined))
    known = unique([...endpoints, ...target.endpoints, ...followed.values()])
    followed.clear()
    forget()
    tell()
    onChange()
  }

  /** Leaves the servers that are not part of the cluster any more, but for those that the URL names. */
  function forget (): void {
    const names = new Set(known.map(shownEndpoint))
    for (const [name, node] of nodes) {
      if (names.has(name)) continue
      nodes.delete(name)
      missed.delete(node)
      node.close()
    }
  }

  // What is wrong with the files of certificates is thrown here.
  target.endpoints.forEach(nodeAt)
  look()
  return {
    get fault () {
      if (masters.some(({ fault }) => fault === undefined)) return undefined
      const lost = [...masters.length > 0 ? masters : nodes.values()].filter(({ fault }) => fault !== undefined && fault !== FIRST_FAULT)
      if (lost.length > 0) return lost.map(({ endpoint, fault }) => `${shownEndpoint(endpoint)}: ${fault}`).join('; ')
      return hasLooked ? 'no node of the cluster knows of any slots' : FIRST_FAULT
    },
    get isWhole () { return isWhole() },
    nodeOf: key => slots[slotOf(key)],
    masters: () => masters,
    follow ({ isAsk, slot, host, port }, from) {
      const [endpoint] = endpointOf(host, port, from.endpoint)
      if (endpoint === undefined) {
        lookIn(SOON)
        return undefined
      }
      if (!followed.has(shownEndpoint(endpoint))) {
        followed.set(shownEndpoint(endpoint), endpoint)
        known = unique([...known, endpoint])
      }
      const node = nodeAt(endpoint)
      if (!isAsk) {
        slots[slot] = node
        lookIn(SOON)
      }
      return node
    },
    refresh: () => lookIn(SOON),
    close () {
      isClosed = true
      clearTimeout(timer)
      for (const node of nodes.values()) node.close()
    },
  }
}

/** Where a server is that another one tells of: with no host it is that one's own, with `?` nobody knows. */
function endpointOf (host: string | null, port: number, from: Endpoint): readonly Endpoint[] {
  return host === '?' ? [] : [{ host: host === null || host === '' ? from.host : host, port }]
}

function unique (endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [...new Map(endpoints.map(endpoint => [shownEndpoint(endpoint), endpoint])).values()]
}
