// How calls are sent again, or not: on servers that answer what the test says.
import t from 'tap'
import type { EngineCommand } from '../../../src/stores/valkey/client/connection.js'
import { Engine } from '../../../src/stores/valkey/client/engine.js'
import { EngineError, LostError, NotSentError } from '../../../src/stores/valkey/client/faults.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import type { ValkeyNode } from '../../../src/stores/valkey/client/node.js'
import { encodeCall, LIMIT_AT, OPERATION } from '../../../src/stores/valkey/script.js'
import type { Topology } from '../../../src/stores/valkey/client/topology.js'
import { ID } from '../../store-suite.js'
import { startFakeNode } from './fake-node.js'
import { increment, outcome, put, watchOpened } from './load.js'

const DEADLINE_MS = 300

interface Stage {
  readonly engine: Engine
  readonly node: ValkeyNode
  readonly topology: Topology
  /** What the servers were asked, in order. */
  readonly asked: string[]
  /** The limits of the changes that they were sent. */
  readonly limits: unknown[]
}

/** One server, which answers in turn, and then goes on with the last. A function may do something before. */
function stage (answers: ReadonlyArray<string | Error | (() => Promise<string>)>, { fault, lostSinceMs = Infinity, follow }: { fault?: string, lostSinceMs?: number, follow?: Topology['follow'] } = {}): Stage {
  const [asked, limits] = [[], []] as [string[], unknown[]]
  let clockMs = 0
  async function answer ({ args }: EngineCommand): Promise<unknown> {
    limits.push(args[LIMIT_AT])
    asked.push('call')
    const next = answers[Math.min(asked.filter(what => what === 'call').length, answers.length) - 1]
    if (next instanceof Error) throw next
    return typeof next === 'function' ? await next() : next
  }
  const node: ValkeyNode = {
    endpoint: { host: 'h', port: 1 },
    fault,
    lostSinceMs,
    read: answer,
    change: answer,
    clockAt: momentMs => clockMs + Math.floor(momentMs),
    askClock: async () => { clockMs = 1e9 },
    reset () {},
    close () {},
  }
  const topology: Topology = {
    fault: undefined,
    isWhole: false,
    nodeFor: () => node,
    masters: () => [node],
    follow: follow ?? (() => undefined),
    refresh () { asked.push('refresh') },
    close () {},
  }
  return { engine: new Engine(topology, DEADLINE_MS), node, topology, asked, limits }
}

const change = async ({ engine }: Stage): Promise<unknown> => await engine.script(encodeCall(keysOf('p', ID), OPERATION.remove, { now: 0 }))
const read = async ({ engine }: Stage): Promise<unknown> => await engine.script(encodeCall(keysOf('p', ID), OPERATION.look, { now: 0 }))

/** What a promise is rejected with. */
const faultOf = async (promise: Promise<unknown>): Promise<unknown> => await promise.then(() => 'nothing', (error: unknown) => error)

t.test('a change that came too late by a clock that was put right is sent again by the new one', async t => {
  const one = stage([new EngineError('LATE', 'LATE'), 'done'])
  t.equal(await change(one), 'done')
  const [first, second] = one.limits as [number, number]
  t.equal(second - first, 1e9)
  t.equal(await read(one), 'done')
  t.equal(one.limits[2], '', 'what only reads has no limit')
})

const LATE = new EngineError('LATE', 'LATE a change came after its deadline')
const REFUSAL = new EngineError('NOREPLICAS', 'NOREPLICAS Not enough good replicas to write.')

t.test('one that is always too late was not done', async t => {
  await t.rejects(change(stage([LATE])), LATE)
})

t.test('one that was refused before it came too late is rejected with the refusal, which says why', async t => {
  await t.rejects(change(stage([REFUSAL, LATE])), REFUSAL)
  // Its last answer comes when the deadline has passed, and before any timer can know that.
  const lastTry = async (): Promise<never> => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, DEADLINE_MS)
    throw LATE
  }
  await t.rejects(change(stage([REFUSAL, lastTry])), REFUSAL)
})

t.test('of what is not answered in time a change may have been made, and what only reads has changed nothing', async t => {
  const never = async (): Promise<never> => await new Promise(() => {})
  const [changing, reading] = await Promise.all([faultOf(change(stage([never]))), faultOf(read(stage([never])))])
  t.type(changing, LostError)
  t.type(reading, NotSentError)
  const lost = async (): Promise<never> => { throw new LostError('the connection was lost') }
  t.equal(await read(stage([lost, 'done'])), 'done', 'it is sent again')
  t.type(await faultOf(change(stage([lost, 'done']))), LostError)
  const lastTry = async (): Promise<never> => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, DEADLINE_MS)
    return await lost()
  }
  t.type(await faultOf(read(stage([lastTry]))), NotSentError)
})

t.test('an access is told so, too, and each that waits for it', async t => {
  const mute = await startFakeNode(t, ({ name }) => name === 'evalsha' ? 'silence' : undefined)
  const { store } = await watchOpened(t, `valkey://${mute.host}:${mute.port}`, { answerDeadlineMs: DEADLINE_MS })
  const [deciding, ...waiting] = await Promise.all([increment, increment, put(1)].map(async access => await outcome(store.access<unknown>(ID, 0, access))))
  for (const answer of [deciding, ...waiting]) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  t.match(await outcome(store.access(ID, 0, put(1))), /^StoreUnavailable: .*whether a change was made is not known/)
})

t.test('redirections that lead nowhere, or in a circle, are followed with pauses', async t => {
  for (const follow of [() => undefined, (_: unknown, from: ValkeyNode) => from]) {
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
  for (let n = 0; n < 5; n++) await t.rejects(change(stage([REFUSAL])), REFUSAL)
})

t.test('who needs a server that has been lost for long is told so at once', async t => {
  const lost = new NotSentError('connection refused')
  const long = stage([lost, 'done'], { fault: 'connection refused', lostSinceMs: -DEADLINE_MS })
  await t.rejects(change(long), lost)
  t.strictSame(long.asked, ['call'], 'and it is not tried again')
  const short = stage([lost, 'done'], { fault: 'connection refused', lostSinceMs: performance.now() })
  const waiting = change(short)
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(short.asked, ['call'])
  short.engine.topologyChanged()
  t.equal(await waiting, 'done', 'and else waits whether it comes back')
  await t.rejects(change(stage([lost], { fault: 'connection refused', lostSinceMs: performance.now() })), { message: 'connection refused' }, 'until the deadline')
})
