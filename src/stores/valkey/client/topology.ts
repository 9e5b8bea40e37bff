import { authority } from '../../../authority.js'
import { FIRST_FAULT } from './connection.js'
import type { Redirection } from './faults.js'
import { ConnectedNode, type NodeOptions, type ValkeyNode } from './node.js'
import type { ValkeyTarget } from '../url.js'

/** Which node has what. */
export interface Topology {
  /** Why nothing can be read or written at all at the moment, FIRST_FAULT before anything has gone wrong; undefined while something can. */
  readonly fault: string | undefined
  /** Whether everything can be. */
  readonly isWhole: boolean
  /** The node that has a key, as far as is known. */
  nodeFor (key: string): ValkeyNode | undefined
  /** Every node that has slots. */
  masters (): readonly ValkeyNode[]
  /** Learns from a redirection; the node that it leads to. */
  follow (redirection: Redirection, from: ValkeyNode): ValkeyNode | undefined
  /** Looks at the nodes anew, because one of them answered that it cannot do what it should. @param why as ValkeyNode.fault */
  refresh (why: string): void
  close (): void
}

export interface TopologyOptions extends Omit<NodeOptions, 'allowReplica'> {
  /** Called with what an operator should know. */
  report (error: Error): void
}

/** One server that has everything. */
export class SingleServer implements Topology {
  readonly #node: ValkeyNode

  /** @throws {Error} as Connection's constructor */
  constructor (target: ValkeyTarget, options: TopologyOptions) {
    this.#node = new ConnectedNode(target.endpoints[0]!, target, options) // parseValkeyUrl() gives one at least.
  }

  get fault (): string | undefined {
    const { fault, endpoint: { host, port } } = this.#node
    return fault === undefined || fault === FIRST_FAULT ? fault : `${authority(host, port)}: ${fault}`
  }

  get isWhole (): boolean { return this.#node.fault === undefined }

  nodeFor (): ValkeyNode { return this.#node }

  masters (): readonly ValkeyNode[] { return [this.#node] }

  follow (): undefined {}

  /** A server that has become a replica is looked at anew, and so is the name that led to it. */
  refresh (why: string): void {
    if (this.#node.fault === undefined) this.#node.reset(why)
  }

  close (): void { this.#node.close() }
}
