// A real cluster.
import type { Test } from 'tap'
import { startServer, until, type ServerOptions } from './servers.js'
import { beginMove, type SlotMove } from './slots.js'
import { areSettled, haveMet, haveNoted, masterOf, type Node } from './view.js'

const SLOTS = 16_384

export interface ClusterOptions extends Omit<ServerOptions, 'port'> {
  readonly masters?: number
  /** Of each master. */
  readonly replicas?: 0 | 1
}

export interface Cluster {
  /** The masters, then the replicas, each in the order of their slots, with the roles that they had first. */
  readonly nodes: readonly Node[]
  readonly masters: readonly Node[]
  readonly replicas: readonly Node[]
  /** host:port */
  readonly seeds: readonly string[]
  /** The master that has a slot now, as far as the nodes that answer know. */
  masterOf (slot: number): Promise<Node>
  /** Resolves once these nodes serve and agree, as after a start: all unless given, so that those that ended can be left out. */
  settled (nodes?: readonly Node[]): Promise<void>
  beginMove (slot: number, to: Node): Promise<SlotMove>
  /** Moves a slot and its keys, as beginMove() would step by step. */
  moveSlot (slot: number, to: Node): Promise<void>
}

/** Resolves once every node serves, knows all others with their roles, and replicas follow their masters. This takes two seconds at least. */
export async function startCluster (t: Test, { masters: size = 3, replicas: copies = 0, args = [], ...options }: ClusterOptions = {}): Promise<Cluster> {
  const all = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...args]
  const nodes = await Promise.all(Array.from({ length: size * (1 + copies) }, async (_, index) => {
    const server = await startServer(t, { ...options, args: all })
    const shard = index % size
    const slots: Node['slots'] = [Math.ceil(shard * SLOTS / size), Math.ceil((shard + 1) * SLOTS / size) - 1]
    // Not a copy: that would have the pid of now for ever.
    return Object.assign(server, { id: `${await server.command('CLUSTER', 'MYID')}`, slots })
  }))
  const masters = nodes.slice(0, size)
  const replicas = nodes.slice(size)
  await join(masters, replicas)

  return {
    nodes,
    masters,
    replicas,
    seeds: nodes.map(({ host, port }) => `${host}:${port}`),
    masterOf: async slot => await masterOf(nodes, slot),
    settled: async (those = nodes) => await until('the cluster is settled', async () => await areSettled(those)),
    beginMove: async (slot, to) => await beginMove(nodes, slot, to),
    async moveSlot (slot, to) {
      const { moveKeys, finish } = await beginMove(nodes, slot, to)
      while (await moveKeys(100) > 0);
      await finish()
    },
  }
}

function slotsOf ({ slots: [first, last] }: Node): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** Makes a cluster of nodes that know nothing yet. */
async function join (masters: readonly Node[], replicas: readonly Node[]): Promise<void> {
  const nodes = [...masters, ...replicas]
  await Promise.all(nodes.map(async (node, index) => {
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    // Redis 6 has no ADDSLOTSRANGE yet.
    if (masters.includes(node)) await node.command('CLUSTER', 'ADDSLOTS', ...slotsOf(node))
    // Each meets each: what the others tell of each other would take longer.
    for (const { host, port } of nodes.slice(index + 1)) await node.command('CLUSTER', 'MEET', host, port)
  }))
  await until('all nodes know each other', async () => await haveMet(nodes))
  await Promise.all(replicas.map(async (replica, index) => await replica.command('CLUSTER', 'REPLICATE', masters[index]!.id)))
  await until('the cluster is complete', async () => await areSettled(nodes) && haveNoted(nodes))
}
