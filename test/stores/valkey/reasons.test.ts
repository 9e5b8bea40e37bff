// The five reasons that stand at the head of src/stores/valkey/client/engine.ts, each shown on nodes that answer what the test says.
import slotOf from 'cluster-key-slot'
import t, { type Test } from 'tap'
import { ClusterTopology } from '../../../src/stores/valkey/client/cluster.js'
import { Connection } from '../../../src/stores/valkey/client/connection.js'
import { Engine } from '../../../src/stores/valkey/client/engine.js'
import { LostError, NotSentError } from '../../../src/stores/valkey/client/faults.js'
import { SingleServer, type TopologyOptions } from '../../../src/stores/valkey/client/topology.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import { encodeCall, LIMIT_AT, OPERATION } from '../../../src/stores/valkey/script.js'
import { parseValkeyUrl, type ValkeyTarget } from '../../../src/stores/valkey/url.js'
import { ID } from '../../store-suite.js'
import { startFakeNode, type Answer, type FakeNode, type Received } from './fake-node.js'
import { until } from './servers.js'

const DEADLINE_MS = 1_000
const DAY_MS = 86_400_000
const NOW_MS = 1_700_000_000_000

const [HASH, COMPANION] = keysOf('p', ID)
const CHANGE = encodeCall([HASH, COMPANION], OPERATION.remove, { now: 0 })

const targetOf = (nodes: readonly FakeNode[], query = ''): ValkeyTarget => parseValkeyUrl(`valkey://${nodes.map(({ host, port }) => `${host}:${port}`).join(',')}${query}`)

/** What a promise is rejected with. */
const faultOf = async (promise: Promise<unknown>): Promise<unknown> => await promise.then(() => 'nothing', (error: unknown) => error)

/** An engine on a target, once all of it can be used. */
async function engineOn (t: Test, target: ValkeyTarget, waitReplicas = 0): Promise<Engine> {
  const options: TopologyOptions = { answerDeadlineMs: DEADLINE_MS, waitReplicas, report () {}, onChange: () => engine.topologyChanged() }
  const topology = target.isCluster ? new ClusterTopology(target, options) : new SingleServer(target, options)
  t.teardown(() => topology.close())
  const engine = new Engine(topology, DEADLINE_MS)
  await until('it can be used', async () => topology.isWhole)
  return engine
}

/** Two nodes of a cluster, of which the first one has all slots, and an engine on them. What is asked of their slots they answer by themselves. */
async function startTwo (t: Test, answers: readonly [first: Answerer, second: Answerer]): Promise<{ engine: Engine, first: FakeNode, second: FakeNode }> {
  const clocks = [NOW_MS, NOW_MS + DAY_MS]
  const [first, second] = await Promise.all(answers.map(async (answer, n) => await startFakeNode(t, received => {
    return received.name === 'cluster' ? [[0, 16_383, [first.host, first.port]]] : answer(received, second)
  }, { isCluster: true, clockMs: clocks[n] }))) as [FakeNode, FakeNode]
  return { engine: await engineOn(t, targetOf([first, second], '?cluster=true')), first, second }
}

type Answerer = (received: Received, second: FakeNode) => Answer | undefined

t.test('1. a change carries its limit by the clock of the node that it is sent to', async t => {
  const { engine, first, second } = await startTwo(t, [
    ({ name }, { host, port }) => name === 'evalsha' ? new Error(`MOVED ${slotOf(HASH)} ${host}:${port}`) : undefined,
    ({ name }) => name === 'evalsha' ? 'done' : undefined,
  ])
  t.equal(await engine.script(CHANGE), 'done')
  const limitOf = ({ received }: FakeNode): number => Number(received.find(({ name }) => name === 'evalsha')?.args[LIMIT_AT])
  t.ok(limitOf(first) >= NOW_MS && limitOf(first) < NOW_MS + DAY_MS / 2, 'by that of the first')
  t.ok(limitOf(second) >= NOW_MS + DAY_MS, 'by that of the second, a day ahead')
})

t.test('2. WAIT has a connection of its own, so that reading goes on', async t => {
  const node = await startFakeNode(t, ({ name }) => name === 'wait' ? 'silence' : name === 'get' ? 'v' : undefined)
  const engine = await engineOn(t, targetOf([node]), 1)
  const changed = faultOf(engine.command('k', { name: 'set', args: ['k', 'v'] }, true))
  await until('it waits for a replica', async () => node.received.some(({ name }) => name === 'wait'))
  t.equal(await engine.command('k', { name: 'get', args: ['k'] }, false), 'v')
  t.strictSame(node.names().sort(), [['get'], ['set', 'wait']])
  t.type(await changed, LostError, 'nobody knows whether a replica has it')
})

t.test('3. there is no offline queue, so that "not sent" and "lost" differ', async t => {
  const node = await startFakeNode(t, ({ name, args: [, value] }) => name === 'set' && value === 'lost' ? 'hang up' : undefined)
  const connection = new Connection(node, targetOf([node]), { answerDeadlineMs: DEADLINE_MS, onChange () {} })
  t.teardown(() => connection.close())
  const isUp = async (): Promise<void> => await until('it is connected', async () => connection.fault === undefined)
  const isDown = async (): Promise<void> => await until('it is known', async () => connection.fault !== undefined)
  const set = async (value: string): Promise<unknown> => await connection.send({ name: 'set', args: ['k', value] })

  t.type(await faultOf(set('early')), NotSentError)
  await isUp()
  t.type(await faultOf(set('lost')), LostError)
  await isUp()
  await node.stop()
  await isDown()
  t.type(await faultOf(set('not sent')), NotSentError)
  await node.start()
  await isUp()
  t.equal(await set('last'), 'OK')
  t.strictSame(node.received.filter(({ name }) => name === 'set').map(({ args: [, value] }) => value), ['lost', 'last'], 'nothing came later, and nothing twice')
})

t.test('4. faults are told in words, and of each node', async t => {
  const loading = await startFakeNode(t, ({ name }) => name === 'info' ? 'redis_version:7.0.0\r\nredis_mode:cluster\r\nloading:1\r\nrole:master\r\n' : undefined)
  const closed = await startFakeNode(t, ({ name }) => name === 'info' ? new Error('NOAUTH Authentication required.') : undefined)
  const gone = await startFakeNode(t, () => undefined)
  await gone.stop()
  const nodes = [loading, closed, gone]
  const topology = new ClusterTopology(targetOf(nodes, '?cluster=true'), { answerDeadlineMs: DEADLINE_MS, waitReplicas: 0, report () {}, onChange () {} })
  t.teardown(() => topology.close())
  const [first, second, third] = nodes.map(({ host, port }) => `${host}:${port}`)
  const words = `${first}: it is loading its data; ${second}: NOAUTH Authentication required.; ${third}: connection refused`
  await until('it says so', async () => topology.fault === words)
  t.equal(topology.fault, words)
})

t.test('5. ASK is followed only once the companion key has moved, too', async t => {
  let looks = 0
  const { engine, first, second } = await startTwo(t, [
    ({ name }, { host, port }) => name === 'evalsha' ? new Error(`ASK ${slotOf(HASH)} ${host}:${port}`) : name === 'exists' ? Number(++looks < 3) : undefined,
    ({ name }) => name === 'evalsha' ? 'done' : undefined,
  ])
  t.equal(await engine.script(CHANGE), 'done')
  t.strictSame(first.names().flat(), ['evalsha', 'exists', 'evalsha', 'exists', 'evalsha', 'exists'])
  t.strictSame(first.received.filter(({ name }) => name === 'exists').map(({ args }) => args), Array(3).fill([COMPANION]))
  t.strictSame(second.names().flat(), ['asking', 'evalsha'], 'it is asked for once')
})
