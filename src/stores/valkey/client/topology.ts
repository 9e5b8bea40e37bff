import { FIRST_FAULT } from './connection.js'
import type { Redirection } from './faults.js'
import { nodeOf, type Node, type NodeOptions } from './node.js'
import { shownEndpoint, type Endpoint, type ValkeyTarget } from '../url.js'

/** Which server has what. */
export interface Topology {
  /** Why nothing can be read or written at all at the moment, FIRST_FAULT before anything has gone wrong; undefined while something can. */
  readonly fault: string | undefined
  /** Whether everything can be. */
  readonly isWhole: boolean
  /** The server that has a key, as far as is known. */
  nodeOf (key: string): Node | undefined
  /** Every server that has slots. */
  masters (): readonly Node[]
  /** Learns from a redirection; the server that it leads to. */
  follow (redirection: Redirection, from: Node): Node | undefined
  /** Looks at the servers anew, because one of them answered that it cannot do what it should. @param why as Node.fault */
  refresh (why: string): void
  close (): void
}

export interface TopologyOptions extends Omit<NodeOptions, 'allowReplica'> {
  /** Told what an operator should know. */
  report (error: Error): void
}

/** A server that has everything. */
export function singleServer (target: ValkeyTarget, options: TopologyOptions): Topology {
  const [endpoint] = target.endpoints as readonly [Endpoint, ...Endpoint[]] // parseValkeyUrl() gives one at least.
  const node = nodeOf(endpoint, target, options)
  return {
    get fault () { return node.fault === FIRST_FAULT ? FIRST_FAULT : node.fault && `${shownEndpoint(endpoint)}: ${node.fault}` },
    get isWhole () { return node.fault === undefined },
    nodeOf: () => node,
    masters: () => [node],
    follow: () => undefined,
    // A server that has become a replica is looked at anew, and so is the name that led to it.
    refresh (why) { if (node.fault === undefined) node.reset(why) },
    close: node.close,
  }
}
