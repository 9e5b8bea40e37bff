// What the nodes of a cluster know of each other.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { command } from './resp.js'
import type { Server } from './servers.js'

/** Milliseconds that a node has to say something where others can do without it; one that is paused says nothing. */
export const GLANCE_MS = 1_000

export interface Node extends Server {
  readonly id: string
  /** What its shard served first: the first and the last slot. */
  readonly slots: readonly [number, number]
}

/** What a node knows of one. */
interface Known {
  readonly id: string
  readonly flags: readonly string[]
  /** The id of its master; a dash for a master. */
  readonly master: string
  readonly epoch: number
  /** Without those that are moving. */
  readonly slots: ReadonlyArray<readonly [number, number]>
}

/** What a node knows of all, itself included. */
async function view (node: Node, timeout?: number): Promise<Known[]> {
  const lines = `${await command(node, ['CLUSTER', 'NODES'], timeout)}`.trim().split('\n')
  return lines.map(line => {
    const [id = '', , flags = '', master = '', , , epoch, , ...slots] = line.split(' ')
    const ranges = slots.filter(slot => !slot.startsWith('[')).map(slot => slot.split('-').map(Number))
    return { id, flags: flags.split(','), master, epoch: Number(epoch), slots: ranges.map(([first = 0, last = first]) => [first, last] as const) }
  })
}

/** Whether they know each other and nobody else: one that is still being met is known by another id. */
export async function haveMet (nodes: readonly Node[]): Promise<boolean> {
  const views = await Promise.all(nodes.map(async node => await view(node)))
  return views.every(known => known.length === nodes.length && nodes.every(({ id }) => known.some(other => other.id === id && !other.flags.includes('handshake'))))
}

/** Whether all of them serve, see the same of each other, and follow their masters when they are replicas. */
export async function areSettled (nodes: readonly Node[]): Promise<boolean> {
  const pictures = await Promise.all(nodes.map(async node => picture(await view(node), nodes)))
  if (pictures.some(picture => picture !== pictures[0] || /handshake|fail/.test(picture))) return false
  return (await Promise.all(nodes.map(serves))).every(served => served)
}

/**
 * Whether every node has written down that replicas are of the shard of their masters. One of Valkey 8 that ends before it hears of
 * that does not start again (valkey-io/valkey#2171). Older engines have no shards.
 */
export function haveNoted (nodes: readonly Node[]): boolean {
  return nodes.every(({ directory }) => {
    const lines = readFileSync(join(directory, 'nodes.conf'), 'utf8').split('\n').map(line => line.split(' '))
    const shards = new Map(lines.map(([id, address = '']) => [id, /shard-id=\w+/.exec(address)?.[0]]))
    return lines.every(([id, , , master]) => !shards.has(master) || shards.get(master) === shards.get(id))
  })
}

/** What is known of these nodes, so that it can be compared. */
function picture (known: readonly Known[], nodes: readonly Node[]): string {
  return JSON.stringify(nodes.map(({ id }) => {
    const { flags = ['handshake'], master, slots } = known.find(other => other.id === id) ?? {}
    return [flags.filter(flag => flag !== 'myself'), master, slots]
  }))
}

async function serves (node: Node): Promise<boolean> {
  const info = await node.command('CLUSTER', 'INFO')
  const replication = await node.command('INFO', 'replication')
  return /^cluster_state:ok\r$/m.test(`${info}`) && /^(?:role:master|master_link_status:up)\r$/m.test(`${replication}`)
}

/** Of those that claim a slot, or are said to have it, the one with the latest claim. */
export async function masterOf (nodes: readonly Node[], slot: number): Promise<Node> {
  const views = await Promise.allSettled(nodes.map(async node => await view(node, GLANCE_MS)))
  const owners = views.flatMap(result => result.status === 'fulfilled' ? result.value : [])
    .filter(({ slots }) => slots.some(([first, last]) => first <= slot && slot <= last))
    .sort((a, b) => b.epoch - a.epoch)
  const owner = nodes.find(({ id }) => id === owners[0]?.id)
  if (owner === undefined) throw new Error(`no node that answers knows who has slot ${slot}`)
  return owner
}
