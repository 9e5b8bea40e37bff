// Several processes on one port and one store.
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, get, type ClientRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import t, { type Test } from 'tap'
import { StartError } from '../../src/process/lifecycle.js'
import { describe, Supervisor, waits, type End, type Worker } from '../../src/process/supervisor.js'
import { BEAT_MS, listen, SILENT_LOOKS } from '../../src/process/heartbeat.js'
import { openWriterLock } from '../../src/stores/lmdb/writer-lock.js'
import { PRELOAD } from '../stores/valkey/fake-valkey.js'
import { command, connection, logLines, openRequest, start, startCounted, type Connection, type LogLine, type Started } from './processes.js'
import { claimPort } from '../stores/valkey/ports.js'

const FAILED: End = { code: 1, signal: null }

t.test('the first replacement of a worker comes at once, others later and later, until it was quiet for a while', async t => {
  let now = 5e6
  const next = waits(() => now)
  const after = (elapsed: number) => {
    now += elapsed
    return next()
  }
  t.strictSame([0, 10, 2000, 60_000, 10, 10, 10, 10, 10].map(after), [0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
  t.strictSame([60_001, 1].map(after), [0, 500])
})

t.test('how a process ended, in words', async t => {
  t.equal(describe({ code: 3, signal: null }), 'ended with code 3')
  t.equal(describe({ code: null, signal: 'SIGKILL' }), 'died of SIGKILL')
  for (const signal of ['SIGSEGV', 'SIGBUS'] as const) t.match(describe({ code: null, signal }), /the data file may be damaged or truncated/)
})

/** A worker that does what a test says. */
function fakeWorker (pid: number) {
  const said: string[] = []
  let listen = (_address: AddressInfo): void => {}
  let refuse = (_error: Error): void => {}
  let open = (): void => {}
  let giveUp = (_error: Error): void => {}
  let end = (_end: End): void => {}
  const worker: Worker = {
    pid,
    listening: new Promise((resolve, reject) => { [listen, refuse] = [resolve, reject] }),
    opened: new Promise((resolve, reject) => { [open, giveUp] = [resolve, reject] }),
    ended: new Promise(resolve => { end = resolve }),
    sweep: () => said.push('sweep'),
    reload: () => said.push('reload'),
    stop: () => said.push('stop'),
    kill: () => {
      said.push('kill')
      end({ code: null, signal: 'SIGKILL' })
    },
  }
  const fail = (error: Error): void => {
    refuse(error)
    giveUp(error)
  }
  // With a store that has to be waited for.
  const hear = (): void => listen({ address: '::1', port: pid, family: 'IPv6' })
  const serve = (): void => {
    hear()
    open()
  }
  return { worker, said, hear, open: () => open(), listen: serve, fail, end }
}

/** A supervisor of two workers that do what a test says. */
function fakeSupervisor () {
  const workers: Array<ReturnType<typeof fakeWorker>> = []
  const delays: number[] = []
  const state = { gaveUp: 0, log: '', replacements: 0 }
  const launch = (isReplacement: boolean) => {
    if (isReplacement) state.replacements++
    const made = fakeWorker(workers.length)
    workers.push(made)
    return made.worker
  }
  const log = pino({ level: 'trace' }, { write: line => { state.log += line } })
  const wake = { isHeld: false, up: () => {} }
  const waitFor = async (delayMs: number): Promise<void> => {
    delays.push(delayMs)
    if (wake.isHeld) await new Promise<void>(resolve => { wake.up = resolve })
  }
  const it = new Supervisor({ count: 2, launch, log, giveUp: () => state.gaveUp++, waitFor })
  const supervisor = { started: it.started, stop: async () => await it.stop(), kill: () => it.kill() }
  return { supervisor, workers, delays, state, wake }
}

t.test('one worker sweeps, and another when it is gone; those that end are replaced until all are stopped', async t => {
  const { supervisor, workers, delays, state } = fakeSupervisor()
  workers[0]!.listen()
  workers[1]!.listen()
  const { started, stop, kill } = supervisor
  t.equal((await started).port, 0, 'what the first one says')
  await setImmediate()
  t.strictSame(workers.map(({ said }) => said), [['sweep'], []])

  workers[0]!.end({ code: null, signal: 'SIGSEGV' })
  await setImmediate()
  t.strictSame(workers.map(({ said }) => said), [['sweep'], ['sweep'], []])
  t.match(logLines(state.log).at(-1), { level: 50, worker: 0, code: null, signal: 'SIGSEGV', msg: /^worker 0 died of SIGSEGV/ })
  workers[2]!.fail(new StartError('no memory'))
  workers[2]!.end({ code: 1, signal: null })
  await setImmediate()
  t.match(logLines(state.log).at(-1), { level: 50, worker: 2, err: { message: 'no memory' } })
  workers[3]!.listen()
  await setImmediate()
  workers[1]!.end({ code: 0, signal: null })
  await setImmediate()
  t.match(logLines(state.log).at(-1), { level: 30, msg: 'worker 1 ended with code 0' })
  t.strictSame(workers.map(({ said }) => said), [['sweep'], ['sweep'], [], ['sweep'], []])
  t.strictSame(delays, [0, 500, 0], 'each has its own delays')

  const stopping = stop()
  workers[3]!.end({ code: 0, signal: null })
  t.strictSame(await stopping, { endedWell: true, isSound: false })
  t.strictSame(workers.slice(3).map(({ said }) => said), [['sweep', 'stop'], ['kill']], 'one that does not serve yet has nothing to finish')
  await setImmediate()
  t.equal(workers.length, 5)
  kill()
  t.strictSame([workers[3]!.said.length, workers[4]!.said.length, state.gaveUp], [2, 1, 0], 'nobody is left')
})

t.test('a worker that does not end well when it is stopped', async t => {
  const { supervisor, workers } = fakeSupervisor()
  for (const { listen } of workers) listen()
  const { started, stop } = supervisor
  await started
  await setImmediate()
  const stopping = stop()
  workers[0]!.end({ code: 1, signal: null })
  workers[1]!.end({ code: 0, signal: null })
  t.strictSame(await stopping, { endedWell: false, isSound: false })
})

t.test('a place whose worker is to be replaced later is left empty when all are stopped meanwhile', async t => {
  const { workers, supervisor, wake } = fakeSupervisor()
  for (const { listen } of workers) listen()
  const { started, stop } = supervisor
  await started
  await setImmediate()
  wake.isHeld = true
  workers[0]!.end(FAILED)
  await setImmediate()
  const stopping = stop()
  workers[1]!.end({ code: 0, signal: null })
  t.strictSame(await stopping, { endedWell: true, isSound: false })
  wake.up()
  await setImmediate()
  t.equal(workers.length, 2)
})

t.test('while nobody serves, nobody waits long', async t => {
  const { workers, supervisor, delays } = fakeSupervisor()
  for (const { listen } of workers) listen()
  await supervisor.started
  await setImmediate()
  for (let times = 0; times < 6; times++) {
    const last = workers.at(-1)!
    last.listen()
    await setImmediate()
    last.end(FAILED)
    await setImmediate()
  }
  t.strictSame(delays, [0, 500, 1000, 2000, 4000, 8000], 'the other one serves')
  const second = workers.at(-1)!
  second.listen()
  await setImmediate()
  workers[0]!.end(FAILED)
  await setImmediate()
  second.end(FAILED)
  await setImmediate()
  t.strictSame(delays.slice(6), [0, 1000])
})

t.test('at the start, one worker that fails ends the others', async t => {
  const { supervisor, workers } = fakeSupervisor()
  workers[0]!.listen()
  workers[1]!.fail(new StartError('cannot listen'))
  await t.rejects(supervisor.started, new StartError('cannot listen'))
  t.strictSame(workers.map(({ said }) => said), [['kill'], ['kill']])
})

/** Whether a promise has settled by now. */
async function isSettled (promise: Promise<unknown>): Promise<boolean> {
  await setImmediate()
  return await Promise.race([promise.then(() => true, () => true), false])
}

t.test('it has started once every worker has its store', async t => {
  const { supervisor, workers, state } = fakeSupervisor()
  for (const { hear } of workers) hear()
  workers[0]!.open()
  t.notOk(await isSettled(supervisor.started))
  t.strictSame(workers.map(({ said }) => said), [[], []], 'nobody sweeps yet')
  workers[1]!.open()
  t.match(await supervisor.started, { port: 0 })
  await setImmediate()
  t.strictSame(workers.map(({ said }) => said), [['sweep'], []])
  t.equal(state.replacements, 0)
  workers[0]!.end(FAILED)
  await setImmediate()
  t.equal(state.replacements, 1)
  workers[2]!.hear()
  workers[1]!.end(FAILED)
  await setImmediate()
  t.strictSame(workers[2]!.said, ['sweep'], 'one that waits for its store serves: it says so to its clients')
})

t.test('a worker that gives its store up at the start ends the others, without a word in the log', async t => {
  const { supervisor, workers, state } = fakeSupervisor()
  for (const { hear } of workers) hear()
  await setImmediate()
  for (const { fail } of workers) fail(new StartError('cannot open the data'))
  await t.rejects(supervisor.started, new StartError('cannot open the data'))
  t.strictSame(workers.map(({ said }) => said), [['kill'], ['kill']])
  t.strictSame(state, { gaveUp: 0, log: '', replacements: 0 })
})

t.test('stopped while its workers wait for their store: those that listen end by themselves, and nothing is reported', async t => {
  const { supervisor, workers, state } = fakeSupervisor()
  workers[0]!.hear()
  await setImmediate()
  const stopping = supervisor.stop()
  t.strictSame(workers.map(({ said }) => said), [['stop'], ['kill']])
  workers[0]!.end({ code: 0, signal: null })
  for (const { fail } of workers) fail(new StartError('it ended'))
  t.strictSame(await stopping, { endedWell: true, isSound: false })
  t.notOk(await isSettled(supervisor.started))
  t.equal(state.log, '')
})

t.test('it gives up when a worker cannot be started three times in a row, and nobody serves', async t => {
  const { supervisor, workers, state } = fakeSupervisor()
  const [one, other] = workers
  one!.listen()
  other!.listen()
  await supervisor.started
  await setImmediate()
  one!.end(FAILED)
  await setImmediate()
  const failNext = async () => {
    workers.at(-1)!.fail(new StartError('no'))
    workers.at(-1)!.end(FAILED)
    await setImmediate()
  }
  for (let times = 0; times < 5; times++) await failNext()
  t.equal(state.gaveUp, 0, 'one still serves')
  const last = workers.at(-1)!
  other!.end(FAILED)
  await setImmediate()
  last.fail(new StartError('no'))
  last.end(FAILED)
  await setImmediate()
  t.equal(state.gaveUp, 1)
  t.match(logLines(state.log).at(-1), { level: 60, msg: 'ending because no worker is left and none can be started' })
})

// Starting takes most of the time.
t.jobs = 2

const arguments_ = (workers: number | string) => ['--port', '0', '--log-level', 'info', '--workers', `${workers}`]

/** The pids of workers that the log said to serve, once there are so many. */
async function serving (server: Started, count: number): Promise<number[]> {
  return await server.until('stderr', () => {
    const pids = server.log().filter(({ msg }) => / serves$/.test(msg)).map(({ worker }) => worker!)
    return pids.length >= count ? pids : undefined
  })
}

/** The pids of the two workers that serve now, the older one first, once there are two. */
async function alive (server: Started): Promise<number[]> {
  return await server.until('stderr', () => {
    const pids = server.log().filter(({ msg }) => / serves$/.test(msg)).map(({ worker }) => worker!)
    const left = pids.filter(pid => !server.log().some(({ worker, msg }) => worker === pid && / (died|ended) /.test(msg)))
    return left.length === 2 ? left : undefined
  })
}

/** What the log says of the end of a worker, once it does. */
async function endOf (server: Started, pid: number): Promise<LogLine> {
  return await server.until('stderr', () => server.log().find(({ worker, msg }) => worker === pid && / (died|ended) /.test(msg)))
}

async function connections (t: Test, url: string, count: number): Promise<Connection[]> {
  const opened: Connection[] = []
  // One after the other, so that each worker gets its share of them.
  while (opened.length < count) opened.push(await connection(t, url))
  return opened
}

/** Of many that add one key at the same time, one succeeds. */
async function raceToAdd (t: Test, connections: readonly Connection[], tkn: unknown): Promise<void> {
  for (let round = 0; round < 100; round++) {
    const key = `add ${round}`
    const replies = await Promise.all(connections.map(async ({ command }, index) => await command('KV_ADD', { tkn, keys: { [key]: index } })))
    const winners = replies.flatMap(({ keys }, index) => JSON.stringify(keys) === `{"${key}":20}` ? [index] : [])
    const { keys } = await connections[0]!.command('KV_GET', { tkn, keys: [key] })
    if (winners.length !== 1 || JSON.stringify(keys) !== `{"${key}":${winners[0]}}`) t.fail(`${key}: the winners are ${winners.join()}, there is ${JSON.stringify(keys)}`)
  }
}

/** Increments a counter that others increment, too, and loses nothing of it. */
async function increment ({ send }: Connection, tkn: unknown, times: number): Promise<void> {
  const path = `/sessions/${tkn}/keys/counter`
  for (let done = 0; done < times;) {
    const { body, headers } = await send('GET', path)
    const { status } = await send('PUT', path, { value: JSON.parse(body).value + 1 }, { 'if-match': headers.etag! })
    if (status === 204) done++
  }
}

/** Two write three keys at once while the others look at them. */
async function setsOfSeveral (t: Test, [one, other, ...readers]: readonly Connection[], tkn: unknown): Promise<void> {
  const state = { isOver: false }
  t.teardown(() => { state.isOver = true })
  const reading = readers.map(async ({ command }) => {
    while (!state.isOver) {
      const { keys } = await command('KV_GET', { tkn, keys: ['a', 'b', 'c'] })
      if (new Set(Object.values(keys as object)).size !== 1) t.fail(`half of a set was seen: ${JSON.stringify(keys)}`)
    }
  })
  await Promise.all([one, other].map(async (writer, index) => {
    for (let n = index; n < 100; n += 2) await writer!.command('KV_SET', { tkn, keys: { a: n, b: n, c: n } })
  }))
  state.isOver = true
  await Promise.all(reading)
}

/** Writes one key after the other while it shall, and keeps those that were acknowledged. @param pauseMs after each */
async function writeOn ({ command }: Connection, tkn: unknown, name: string, acknowledged: Map<string, number>, goesOn: () => boolean, pauseMs = () => 0): Promise<void> {
  for (let n = 0; goesOn(); n++) {
    if (pauseMs() > 0) await sleep(pauseMs())
    const reply = await command('KV_SET', { tkn, keys: { [`${name}-${n}`]: n } }).catch(() => undefined)
    if (reply !== undefined) acknowledged.set(`${name}-${n}`, n)
  }
}

/** Milliseconds between two writes of one that nobody waits for. */
const AT_EASE_MS = 10

/** Kills a worker while all connections write, until another has taken its place and has served, too. */
async function killUnderLoad (t: Test, server: Started, count: number, all: readonly Connection[], tkn: unknown): Promise<void> {
  const acknowledged = new Map<string, number>()
  let isOver = false
  let pauseMs = 0
  // When this fails, the next tests have the machine to themselves.
  t.teardown(() => { isOver = true })
  const writers = all.map(async (one, index) => await writeOn(one, tkn, `${index}`, acknowledged, () => !isOver, () => pauseMs))
  const more = async () => {
    for (const least = acknowledged.size + 100; acknowledged.size < least;) await sleep(1)
  }
  await more()
  const [first] = await serving(server, count)
  process.kill(first!, 'SIGKILL')
  // So that the processor is left to the one that takes its place.
  pauseMs = AT_EASE_MS
  t.match(await endOf(server, first!), { level: 50, msg: `worker ${first} died of SIGKILL` })
  await more()
  await serving(server, count + 1)
  await more()
  isOver = true
  await Promise.all(writers)
  const broken = all.filter(connection => connection.isBroken())
  t.ok(broken.length > 0 && broken.length < all.length, `one process answered on ${broken.length} of ${all.length} connections, others on the rest`)
  t.match(await all[0]!.command('KV_GET', { tkn, keys: [...acknowledged.keys()] }), { keys: Object.fromEntries(acknowledged) })
}

for (const count of [2, 3]) {
  t.test(`what is atomic is so between ${count} processes, and what was acknowledged survives the death of one`, async t => {
    const server = start(t, arguments_(count))
    const url = await server.ready()
    const all = await connections(t, url, 3 * count)
    const { tkn } = await all[0]!.command('SH_NEW', { name: 'x' })
    await raceToAdd(t, all, tkn)

    await all[0]!.command('KV_SET', { tkn, keys: { counter: 0, list: [], a: 0, b: 0, c: 0 } })
    const TIMES = 5
    await Promise.all(all.map(async (one, index) => {
      await increment(one, tkn, TIMES)
      for (let n = 0; n < TIMES; n++) await one.command('KV_APPEND', { tkn, keys: { list: `${index}-${n}` } })
    }))
    await setsOfSeveral(t, all, tkn)
    const { keys } = await all[0]!.command('KV_GET', { tkn, keys: ['counter', 'list'] })
    const { counter, list } = keys as { counter: number, list: string[] } // As they were set.
    t.equal(counter, all.length * TIMES)
    t.strictSame(new Set(list), new Set(all.flatMap((_, index) => Array.from({ length: TIMES }, (_, n) => `${index}-${n}`))))
    t.equal(list.length, all.length * TIMES)

    t.notOk(all.some(connection => connection.isBroken()))
    await killUnderLoad(t, server, count, all, tkn)
    const { code, stdout } = await server.stop('SIGTERM')
    t.equal(code, 0)
    t.equal(stdout.split('\n').length, 2, 'one line on stdout')
  })
}

t.test('a primary that is killed takes its workers along, and a new server has everything', async t => {
  const first = start(t, arguments_('auto'))
  const all = await connections(t, await first.ready(), 4)
  if (availableParallelism() > 1) await serving(first, availableParallelism())
  const { tkn } = await all[0]!.command('SH_NEW', { name: 'x' })
  const acknowledged = new Map<string, number>()
  const writers = all.map(async (one, index) => await writeOn(one, tkn, `${index}`, acknowledged, () => {
    if (acknowledged.size === 100) first.child.kill('SIGKILL')
    return !one.isBroken()
  }))
  await Promise.all(writers)
  // That is when nobody has its output open any more.
  t.match(await first.exited, { code: null, signal: 'SIGKILL' })
  const second = start(t, arguments_(1), { cwd: first.cwd })
  t.match(await command(await second.ready(), 'KV_GET', { tkn, keys: [...acknowledged.keys()] }), { keys: Object.fromEntries(acknowledged) })
  t.match(await second.stop('SIGTERM'), { code: 0, signal: null })
})

const NEW_SESSION = '{"SH_NEW":{"name":"x"}}'

/** Finishes a request. */
async function finish (opened: ClientRequest): Promise<number | undefined> {
  opened.end(NEW_SESSION)
  const [response] = await once(opened, 'response') as [IncomingMessage] // As the event is documented.
  response.resume()
  return response.statusCode
}

t.test('signals to all processes, as from Ctrl-C and some supervisors: requests under way are answered, and it ends with 0', async t => {
  const server = start(t, arguments_(2), { detached: true })
  const url = await server.ready()
  const workers = await serving(server, 2)
  const opened = await Promise.all([1, 2, 3, 4].map(async () => await openRequest(url, NEW_SESSION)))
  process.kill(-server.child.pid!, 'SIGINT')
  await server.printed('stderr', /stopping because of SIGINT/)
  for (const worker of workers) {
    await server.until('stderr', () => server.log().find(({ pid, msg }) => pid === worker && msg.startsWith('stopping')))
    process.kill(worker, 'SIGTERM')
  }
  for (const one of opened) t.equal(await finish(one), 200)
  t.match(await server.exited, { code: 0, signal: null })
})

t.test('who gives no sign of life after there were some is silent, once', async t => {
  const beats = new PassThrough()
  const state = { silent: 0 }
  const end = listen(beats, () => state.silent++, 5)
  const pause = async (count: number) => await sleep(5 * count)
  await pause(2 * SILENT_LOOKS)
  t.equal(state.silent, 0, 'it was never heard of')
  for (let beat = 0; beat < SILENT_LOOKS; beat++) {
    beats.write('.')
    await pause(1)
  }
  t.equal(state.silent, 0)
  // How long looks take is the machine's business.
  while (state.silent === 0) await pause(1)
  await pause(3 * SILENT_LOOKS)
  t.equal(state.silent, 1)
  beats.destroy(new Error('it died'))
  end()
})

t.test('a worker that is stopped while it writes is killed, and the others go on', async t => {
  const server = startCounted(t, arguments_(2))
  const url = await server.ready()
  const [first] = await serving(server, 2)
  const all = await connections(t, url, 6)
  const { tkn } = await all[0]!.command('SH_NEW', { name: 'x' })
  const acknowledged = new Map<string, number>()
  const state = { isOver: false, pauseMs: 0 }
  t.teardown(() => { state.isOver = true })
  const writers = all.map(async (one, index) => await writeOn(one, tkn, `${index}`, acknowledged, () => !state.isOver, () => state.pauseMs))
  await sleep(300)
  process.kill(first!, 'SIGSTOP')
  state.pauseMs = AT_EASE_MS
  t.match(await endOf(server, first!), { level: 50, msg: `worker ${first} died of SIGKILL` })
  t.match(server.log().find(({ msg }) => /sign of life/.test(msg)), { level: 50, worker: first })
  const before = acknowledged.size
  while (acknowledged.size < before + 100) await sleep(1)
  state.isOver = true
  await Promise.all(writers)
  t.match(await all[0]!.command('KV_GET', { tkn, keys: [...acknowledged.keys()] }), { keys: Object.fromEntries(acknowledged) })
  t.strictSame(server.log().filter(({ msg }) => /died|ended/.test(msg)).map(({ worker }) => worker), [first], 'no other')
  t.match(await server.stop('SIGTERM'), { code: 0, signal: null })
  t.notOk(existsSync(join(server.cwd, 'data', 'closed.json')), 'the data is checked before it is opened again')
})

t.test('a server of two workers, of which one is ended after the other', async t => {
  const server = start(t, arguments_(2))
  const url = await server.ready()
  await serving(server, 2)

  await t.test('workers that wait for another process to write give signs of life: they go on when it has written', async t => {
    const all = await connections(t, url, 4)
    const { tkn } = await all[0]!.command('SH_NEW', { name: 'x' })
    const lock = openWriterLock(join(server.cwd, 'data'))
    lock.take()
    const writes = all.map(async ({ command }, index) => await command('KV_SET', { tkn, keys: { [`k${index}`]: 1 } }))
    // Longer than a primary waits for a sign of life.
    await sleep((SILENT_LOOKS + 3) * BEAT_MS)
    lock.close()
    for (const reply of await Promise.all(writes)) t.match(reply, { keys: {} })
    t.strictSame(server.log().filter(({ level }) => level > 30), [])
  })

  await t.test('SIGTERM to one worker: it answers what is under way, and is replaced', async t => {
    const [first, second] = await alive(server)
    const opened = await Promise.all([1, 2, 3, 4].map(async () => await openRequest(url, NEW_SESSION)))
    process.kill(first!, 'SIGTERM')
    await server.until('stderr', () => server.log().find(({ pid, msg }) => pid === first && /^stopping/.test(msg)))
    t.match(await command(url, 'SV_INFO', {}), { st: 1 }, 'the other serves')
    for (const one of opened) t.equal(await finish(one), 200)
    t.match(await endOf(server, first!), { level: 30, msg: `worker ${first} ended with code 0` })
    const [, third] = await alive(server)
    t.notOk([first, second].includes(third))
  })

  await t.test('a connection that was on its way to a worker when it died is closed: nobody waits for ever', async t => {
    const [first] = await alive(server)
    process.kill(first!, 'SIGSTOP')
    let answered = 0
    const requests = Array.from({ length: 8 }, async () => {
      const sent = get(`${url}/ready`, { agent: new Agent() })
      const [response] = await once(sent, 'response') as [IncomingMessage] // As the event is documented.
      response.resume()
      if (++answered === 7) process.kill(first!, 'SIGKILL')
    })
    const lost = (await Promise.allSettled(requests)).filter(({ status }) => status === 'rejected')
    t.match(lost, [{ reason: { code: 'ECONNRESET' } }])
    t.equal(lost.length, 1)
    await endOf(server, first!)
  })

  t.match(await server.stop('SIGTERM'), { code: 0, signal: null })
})

t.test('a data file that was removed under its workers is not made anew', async t => {
  const server = start(t, arguments_(2))
  await server.ready()
  const [first] = await serving(server, 2)
  rmSync(join(server.cwd, 'data', 'data.mdb'))
  process.kill(first!, 'SIGKILL')
  t.match(await server.exited, { code: 1, signal: null })
  t.match(server.log().find(({ msg }) => /could not be started/.test(msg)), { err: { message: /data\.mdb in .* was removed or replaced while it was in use/ } })
  t.notOk(existsSync(join(server.cwd, 'data', 'data.mdb')))
})

t.test('a second signal ends everything at once, even a worker that hangs', async t => {
  const server = start(t, arguments_(2))
  await server.ready()
  const [first] = await serving(server, 2)
  process.kill(first!, 'SIGSTOP')
  server.child.kill('SIGTERM')
  await server.printed('stderr', /stopping because of SIGTERM/)
  t.match(await server.stop('SIGTERM'), { code: 1, signal: null })
})

/** Workers that end as soon as there is a file with this name. */
const BREAKABLE = 'import cluster from "node:cluster"; import { existsSync } from "node:fs"; if (cluster.isWorker && existsSync("broken")) process.exit(3)'

t.test('without any worker: the port is kept for their replacements; when none can be started it ends with 1', async t => {
  const server = start(t, arguments_(2), { preload: BREAKABLE })
  const url = await server.ready()
  for (const pid of await serving(server, 2)) process.kill(pid, 'SIGKILL')
  const pids = await serving(server, 4)
  t.match(await command(url, 'SV_INFO', {}), { st: 1 })
  writeFileSync(join(server.cwd, 'broken'), '')
  for (const pid of pids.slice(2)) process.kill(pid, 'SIGKILL')
  t.match(await server.exited, { code: 1, signal: null })
  t.match(server.log().at(-1), { level: 60, msg: 'ending because no worker is left and none can be started' })
})

t.test('workers that cannot be started at all: one line says why, and it ends with 1', async t => {
  const broken = t.testdir({ broken: '' })
  const died = await start(t, arguments_(2), { preload: BREAKABLE, cwd: broken }).exited
  t.strictSame(died, { code: 1, signal: null, stdout: '', stderr: 'holdfast: cannot start a worker: it ended with code 3\n' })

  // As if somebody else took the port in the meantime.
  const preload = `import cluster from "node:cluster"; import { Server } from "node:net"
    if (cluster.isWorker) Server.prototype.listen = function () { process.nextTick(() => this.emit("error", Object.assign(new Error("in use"), { errno: -98 }))) }`
  const failed = await startCounted(t, arguments_(2), { preload }).exited
  t.match(failed, { code: 1, signal: null, stdout: '' })
  t.match(failed.stderr, /^holdfast: cannot listen on 127\.0\.0\.1:\d+: address already in use\n$/)
})

/** Workers whose stores are there while there is a file `up`. They wait for them. */
async function startWaiting (t: Test, args: string[] = []) {
  const port = await claimPort()
  const server = start(t, [...arguments_(2), '--port', `${port}`, '--store', 'valkey://u:hunter2@h', ...args], { preload: PRELOAD })
  await server.until('stderr', () => server.log().filter(({ msg }) => /^waiting for the data on valkey at h:6379\/0: /.test(msg)).length === 2 || undefined)
  return { server, url: `http://127.0.0.1:${port}` }
}

const readyAt = async (url: string) => (await fetch(`${url}/ready`)).status

t.test('a store that has to be waited for: an outage of it ends nothing, not even what is started meanwhile', async t => {
  const { server, url } = await startWaiting(t, ['--store-timeout', '8'])
  while (await readyAt(url).catch(() => sleep(20)) !== 503);
  writeFileSync(join(server.cwd, 'up'), '')
  t.equal(await server.ready(), url)
  const [first] = await serving(server, 2)
  t.equal(await readyAt(url), 200)

  rmSync(join(server.cwd, 'up'))
  await server.until('stderr', () => server.log().filter(({ msg }) => /cannot be used/.test(msg)).length === 2 || undefined)
  process.kill(first!, 'SIGKILL')
  const [, , third] = await serving(server, 3)
  // Longer than the first ones would have waited.
  await sleep(9_000)
  for (let times = 0; times < 4; times++) t.equal(await readyAt(url), 503)
  writeFileSync(join(server.cwd, 'up'), '')
  await server.until('stderr', () => server.log().find(({ pid, msg }) => pid === third && /can be used now/.test(msg)))
  while (await readyAt(url) !== 200) await sleep(20)
  const { code, stderr } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.notMatch(stderr, 'hunter2')
})

t.test('a worker that is stopped is killed whatever its store is', async t => {
  const { server } = await startWaiting(t)
  writeFileSync(join(server.cwd, 'up'), '')
  await server.ready()
  const [first] = await serving(server, 2)
  process.kill(first!, 'SIGSTOP')
  t.match(await endOf(server, first!), { level: 50, msg: `worker ${first} died of SIGKILL` })
  t.match(server.log().find(({ msg }) => /sign of life/.test(msg)), { level: 50, worker: first })
  await serving(server, 3)
  t.match(await server.stop('SIGTERM'), { code: 0, signal: null })
})

t.test('workers whose store does not come in time: one line says so, and it ends with 1', async t => {
  const { server } = await startWaiting(t, ['--store-timeout', '4'])
  const { code, stdout, stderr } = await server.exited
  t.strictSame({ code, stdout }, { code: 1, stdout: '' })
  t.strictSame(stderr.split('\n').filter(line => !line.startsWith('{')), ['holdfast: cannot open the data on valkey at h:6379/0: nothing listens there after 4 s', ''])
  t.strictSame(server.log().filter(({ level }) => level > 40), [])
})

t.test('a signal while workers wait for their store ends them gracefully', async t => {
  const { server, url } = await startWaiting(t)
  while (await readyAt(url).catch(() => sleep(20)) !== 503);
  t.match(await server.stop('SIGTERM'), { code: 0, signal: null, stdout: '' })
  t.strictSame(server.log().filter(({ level }) => level > 40), [])
})
