// How calls are sent again, or not: on servers that answer what the test says.
import t from 'tap'
import type { Call } from '../../../src/stores/valkey/client/connection.js'
import { engineOf, type Engine } from '../../../src/stores/valkey/client/engine.js'
import { EngineError, NotSentError } from '../../../src/stores/valkey/client/faults.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import type { Node } from '../../../src/stores/valkey/client/node.js'
import { LIMIT } from '../../../src/stores/valkey/script.js'
import type { Topology } from '../../../src/stores/valkey/client/topology.js'
import { ID } from '../../store-suite.js'

const DEADLINE = 300
const ARGS = new Array<string>(LIMIT + 1).fill('')

interface Stage {
  readonly engine: Engine
  readonly node: Node
  readonly topology: Topology
  /** What the servers were asked, in order. */
  readonly asked: string[]
  /** The limits of the changes that they were sent. */
  readonly limits: unknown[]
}

/** One server, which answers in turn, and then goes on with the last. */
function stage (answers: ReadonlyArray<string | Error>, { fault, lostSince = Infinity, follow }: { fault?: string, lostSince?: number, follow?: Topology['follow'] } = {}): Stage {
  const [asked, limits] = [[], []] as [string[], unknown[]]
  let clock = 0
  async function answer ({ args }: Call): Promise<unknown> {
    limits.push(args[3 + LIMIT])
    asked.push('call')
    const next = answers[Math.min(asked.filter(what => what === 'call').length, answers.length) - 1]
    if (next instanceof Error) throw next
    return next
  }
  const node: Node = {
    endpoint: { host: 'h', port: 1 },
    fault,
    lostSince,
    read: answer,
    change: answer,
    clock: moment => clock + Math.floor(moment),
    setClock: async () => { clock = 1e9 },
    reset () {},
    close () {},
  }
  const topology: Topology = {
    fault: undefined,
    isWhole: false,
    nodeOf: () => node,
    masters: () => [node],
    follow: follow ?? (() => undefined),
    refresh () { asked.push('refresh') },
    close () {},
  }
  return { engine: engineOf(topology, DEADLINE), node, topology, asked, limits }
}

const change = async ({ engine }: Stage): Promise<unknown> => await engine.script(keysOf('p', ID), ARGS, true)

t.test('a change that came too late by a clock that was put right is sent again by the new one', async t => {
  const one = stage([new EngineError('LATE', 'LATE'), 'done'])
  t.equal(await change(one), 'done')
  const [first, second] = one.limits as [number, number]
  t.equal(second - first, 1e9)
  t.equal(await one.engine.script(keysOf('p', ID), ARGS, false), 'done')
  t.equal(one.limits[2], '', 'what only reads has no limit')
})

t.test('one that is always too late was not done', async t => {
  const late = new EngineError('LATE', 'LATE a change came after its deadline')
  await t.rejects(change(stage([late])), late)
})

t.test('redirections that lead nowhere, or in a circle, are followed with pauses', async t => {
  for (const follow of [() => undefined, (_: unknown, from: Node) => from]) {
    for (const kind of ['MOVED', 'ASK']) {
      const one = stage([new EngineError(kind, `${kind} 1 ?:7000`)], { follow })
      await t.rejects(change(one))
      t.ok(one.asked.length < 40, `${kind}: ${one.asked.length} calls`)
    }
  }
})

t.test('a server that says that the cluster is down is not believed for ever', async t => {
  const one = stage([new EngineError('CLUSTERDOWN', 'CLUSTERDOWN Hash slot not served'), 'done'])
  t.equal(await change(one), 'done')
  t.strictSame(one.asked, ['call', 'refresh', 'call'])
})

t.test('what is refused until the deadline is rejected with the refusal', async t => {
  const refusal = new EngineError('NOREPLICAS', 'NOREPLICAS Not enough good replicas to write.')
  for (let n = 0; n < 5; n++) await t.rejects(change(stage([refusal])), refusal)
})

t.test('who needs a server that has been lost for long is told so at once', async t => {
  const lost = new NotSentError('connection refused')
  const began = performance.now()
  await t.rejects(change(stage([lost], { fault: 'connection refused', lostSince: -DEADLINE })), lost)
  t.ok(performance.now() - began < DEADLINE)
  const one = stage([lost], { fault: 'connection refused', lostSince: performance.now() })
  await t.rejects(change(one), { message: 'connection refused' })
  t.ok(performance.now() - began >= DEADLINE, 'and else he waits whether it comes back')
})
