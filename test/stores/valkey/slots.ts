// Slots that move while a test looks on.
import { command } from './resp.js'
import { GLANCE_MS, masterOf, type Node } from './view.js'

/** A slot that is moving: its keys are in two places until they are all moved, and so are the answers about it. */
export interface SlotMove {
  readonly from: Node
  readonly to: Node
  /** Moves these keys; those that are not there are left out. */
  migrate (keys: readonly string[]): Promise<void>
  /** Moves as many keys, of those that are left. Resolves with how many that were. */
  moveKeys (count: number): Promise<number>
  /** Gives the slot to its new master, when no key is left. Replicas hear of it later. */
  finish (): Promise<void>
}

/** Has a slot begin to move from whoever has it. */
export async function beginMove (nodes: readonly Node[], slot: number, to: Node): Promise<SlotMove> {
  const from = await masterOf(nodes, slot)
  await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
  await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)

  async function migrate (keys: readonly string[]): Promise<void> {
    const auth = to.password === undefined ? [] : ['AUTH', to.password]
    await from.command('MIGRATE', to.host, to.port, '', 0, 5_000, ...auth, 'KEYS', ...keys)
  }
  async function moveKeys (count: number): Promise<number> {
    const keys = await from.command('CLUSTER', 'GETKEYSINSLOT', slot, count) as string[] // As the command is documented.
    if (keys.length > 0) await migrate(keys)
    return keys.length
  }
  async function finish (): Promise<void> {
    const left = await from.command('CLUSTER', 'COUNTKEYSINSLOT', slot)
    if (left !== 0) throw new Error(`${left} keys of slot ${slot} are not moved yet`)
    const assign = ['CLUSTER', 'SETSLOT', slot, 'NODE', to.id]
    // The new one first: were it the old one, nobody would have the slot in between.
    await to.command(...assign)
    await from.command(...assign)
    // It spares the other masters the time until they hear of it. Replicas refuse it, and some may have ended.
    await Promise.allSettled(nodes.filter(node => node !== from && node !== to).map(async node => await command(node, assign, GLANCE_MS)))
  }
  return { from, to, migrate, moveKeys, finish }
}
