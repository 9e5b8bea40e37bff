import slotOf from 'cluster-key-slot'
import { authority } from '../../../authority.js'
import { reason } from '../../../reason.js'
import { ToldFaults } from '../../../told-faults.js'
import { FIRST_FAULT } from './connection.js'
import type { Redirection } from './faults.js'
import { ConnectedNode, type ValkeyNode } from './node.js'
import type { Topology, TopologyOptions } from './topology.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** Slots of a cluster. */
const SLOTS = 16_384

/** Milliseconds between two questions who has which slots: while something is amiss, and otherwise. */
const REFRESH_SOON_MS = 100
const REFRESH_LATER_MS = 15_000

/** The fault that no node says who has which slots. No address is spelled like this. */
const NO_ANSWER = 'slots'

/** As CLUSTER SLOTS has it: first and last slot, the master, its replicas. A server is its address, its port and more. */
type SlotRange = readonly [first: number, last: number, ...servers: Array<readonly [host: string | null, port: number, ...rest: unknown[]]>]

/**
 * The nodes of a cluster. It asks any of them which one has which slots: at the start, when a redirection says that something has
 * changed, when a node is lost, and from time to time.
 */
export class ClusterTopology implements Topology {
  readonly #target: ValkeyTarget
  readonly #options: TopologyOptions
  readonly #nodes = new Map<string, ValkeyNode>()
  readonly #slots: Array<ValkeyNode | undefined> = new Array(SLOTS).fill(undefined)
  #masters: readonly ValkeyNode[] = []
  /** The nodes that can be asked. Replicas too: of a cluster of few nodes they may be all that is left. */
  #known: readonly Endpoint[]
  /** Where redirections have led since the last answer: a node that gets its first slot is in no list yet. */
  readonly #followed = new Map<string, Endpoint>()
  /** What was reported: the masters that are lost, by their addresses, and NO_ANSWER. */
  readonly #told = new ToldFaults()
  #timer: NodeJS.Timeout | undefined
  /** When it asks next, as performance.now(). */
  #askAtMs = Infinity
  #isAsking = false
  #hasAnswer = false
  #isClosed = false
  #turn = 0

  /** @throws {Error} as Connection's constructor */
  constructor (target: ValkeyTarget, options: TopologyOptions) {
    this.#target = target
    this.#options = options
    this.#known = target.endpoints
    for (const endpoint of target.endpoints) this.#nodeAt(endpoint)
    this.#askIn(0)
  }

  get fault (): string | undefined {
    if (this.#masters.some(({ fault }) => fault === undefined)) return undefined
    const lost = [...this.#masters.length > 0 ? this.#masters : this.#nodes.values()].filter(({ fault }) => fault !== undefined && fault !== FIRST_FAULT)
    if (lost.length > 0) return lost.map(({ endpoint, fault }) => `${nameOf(endpoint)}: ${fault}`).join('; ')
    return this.#hasAnswer ? 'no node of the cluster knows of any slots' : FIRST_FAULT
  }

  get isWhole (): boolean {
    return this.#masters.length > 0 && this.#masters.every(({ fault }) => fault === undefined) && this.#slots.every(node => node !== undefined)
  }

  nodeFor (key: string): ValkeyNode | undefined { return this.#slots[slotOf(key)] }

  masters (): readonly ValkeyNode[] { return this.#masters }

  follow ({ isAsk, slot, host, port }: Redirection, from: ValkeyNode): ValkeyNode | undefined {
    const endpoint = endpointOf(host, port, from.endpoint)
    if (endpoint === undefined) {
      this.#askIn(REFRESH_SOON_MS)
      return undefined
    }
    if (!this.#followed.has(nameOf(endpoint))) {
      this.#followed.set(nameOf(endpoint), endpoint)
      this.#known = unique([...this.#known, endpoint])
    }
    const node = this.#nodeAt(endpoint)
    if (!isAsk) {
      this.#slots[slot] = node
      this.#askIn(REFRESH_SOON_MS)
    }
    return node
  }

  refresh (): void { this.#askIn(REFRESH_SOON_MS) }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const node of this.#nodes.values()) node.close()
  }

  #nodeAt (endpoint: Endpoint): ValkeyNode {
    const name = nameOf(endpoint)
    const node = this.#nodes.get(name) ?? new ConnectedNode(endpoint, this.#target, { ...this.#options, allowReplica: true, onChange: () => this.#nodeChanged() })
    this.#nodes.set(name, node)
    return node
  }

  #nodeChanged (): void {
    // A node that cannot be reached may have been replaced by now.
    this.#askIn(this.#masters.length === 0 ? 0 : this.isWhole ? REFRESH_LATER_MS : REFRESH_SOON_MS)
    this.#reportLost()
    this.#options.onChange()
  }

  /** Reports of every node that has slots once that it is lost, and again when that comes after it was back. */
  #reportLost (): void {
    for (const { endpoint, fault } of this.#masters) {
      const name = nameOf(endpoint)
      if (fault === undefined) this.#told.forget(name)
      else if (fault !== FIRST_FAULT && this.#told.isNew(name)) this.#options.report(new Error(`a part of the cluster cannot be reached: ${name}: ${fault}`))
    }
  }

  #askIn (delayMs: number): void {
    const atMs = performance.now() + delayMs
    if (this.#isClosed || atMs >= this.#askAtMs) return
    this.#askAtMs = atMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { this.#ask() }, delayMs)
  }

  /** Asks one node, another one each time, of those that are connected. The others begin to connect, for the next time. */
  async #ask (): Promise<void> {
    this.#askAtMs = Infinity
    if (this.#isAsking) return
    this.#isAsking = true
    try {
      const connected = this.#known.map(endpoint => this.#nodeAt(endpoint)).filter(({ fault }) => fault === undefined)
      const node = connected[this.#turn++ % (connected.length || 1)]
      if (node !== undefined) this.#learn(await node.read({ name: 'cluster', args: ['slots'] }) as readonly SlotRange[], node.endpoint) // As the engine documents it.
    } catch (error) {
      if (this.#told.isNew(NO_ANSWER)) this.#options.report(new Error(`a node of the cluster did not say who has what: ${reason(error)}`))
    } finally {
      this.#isAsking = false
      this.#askIn(this.isWhole ? REFRESH_LATER_MS : REFRESH_SOON_MS)
    }
  }

  #learn (ranges: readonly SlotRange[], from: Endpoint): void {
    this.#hasAnswer = true
    this.#told.forget(NO_ANSWER)
    // A node that has lost the others for long knows nothing.
    if (ranges.length === 0) return this.#options.onChange()
    const shards = ranges.map(([first, last, ...servers]) => ({ first, last, endpoints: servers.map(([host, port]) => endpointOf(host, port, from)) }))
    this.#slots.fill(undefined)
    for (const { first, last, endpoints: [master] } of shards) {
      if (master !== undefined) this.#slots.fill(this.#nodeAt(master), first, last + 1)
    }
    this.#masters = [...new Set(this.#slots)].filter(node => node !== undefined)
    const endpoints = shards.flatMap(({ endpoints }) => endpoints.filter(endpoint => endpoint !== undefined))
    this.#known = unique([...endpoints, ...this.#target.endpoints, ...this.#followed.values()])
    this.#followed.clear()
    this.#closeOthers()
    this.#reportLost()
    this.#options.onChange()
  }

  /** Leaves the nodes that are not part of the cluster any more, but for those that the URL names. */
  #closeOthers (): void {
    const names = new Set(this.#known.map(nameOf))
    for (const [name, node] of this.#nodes) {
      if (names.has(name)) continue
      this.#nodes.delete(name)
      this.#told.forget(name)
      node.close()
    }
  }
}

function nameOf ({ host, port }: Endpoint): string {
  return authority(host, port)
}

/** Where a node is that another one tells of: without a host it is at that one's own; with `?` nobody knows, and it is undefined. */
function endpointOf (host: string | null, port: number, from: Endpoint): Endpoint | undefined {
  return host === '?' ? undefined : { host: host === null || host === '' ? from.host : host, port }
}

function unique (endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [...new Map(endpoints.map(endpoint => [nameOf(endpoint), endpoint])).values()]
}
