// What happens to gateways when the one server that they share goes, stalls, is full, or is a replica.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Access } from '../../../src/session.js'
import { dump, ID, idOf, json, reading, sessionOf, set, START, writing } from '../../store-suite.js'
import { countOf, DEADLINE_MS, following, increment, isCounted, isWritten, load, make, outcome, own, put, TIMEOUT_S, watch, watchOpened, type Watched } from './load.js'
import { claimPort } from './ports.js'
import { needs, startReplica, startServer, until, type Server } from './servers.js'
import { startMute, startRelay } from './sockets.js'

const IDS = Array.from({ length: 16 }, (_, n) => idOf(n))
const [ONE, TWO] = IDS as [typeof ID, typeof ID]
const KEPT = ['--appendonly', 'yes', '--appendfsync', 'always']

const urlOf = ({ host, port }: { readonly host: string, readonly port: number }): string => `valkey://${host}:${port}`

/** What every method of a store that cannot be reached answers. */
async function answers ({ store }: Watched): Promise<unknown[]> {
  const copies = async () => await store.copies(START)[Symbol.asyncIterator]().next()
  return await Promise.all([
    store.secret(() => Buffer.alloc(32)), store.create(ONE, sessionOf(), START), store.find(ONE, START), store.access(ONE, START, increment),
    store.access(ONE, START, put(1)), store.access(ONE, START, reading({ all: true }, view => view.size)), store.remove(ONE, START), store.clear(START),
    store.totals(START), store.sweep(START, 10), copies(), store.restore({ id: ONE, session: sessionOf(), keys: new Map() }, START),
  ].map(outcome))
}

async function startPair (t: Test): Promise<{ readonly master: Server, readonly replica: Server }> {
  const master = await startServer(t)
  const replica = await startReplica(t, master)
  await following(master)
  return { master, replica }
}

const isBack = async ({ told }: Watched): Promise<void> => await until('the store can be used', async () => told.length > 0 && told.at(-1) === undefined)
const works = async ({ store }: Watched, id = idOf(60)): Promise<void> => await until('an access succeeds', async () => !/^StoreUnavailable/.test(String(await outcome(store.access(id, START, increment)))))

t.test('a server that is not there at the start', needs(), async t => {
  const port = await claimPort()
  const watched = watch(t, `valkey://127.0.0.1:${port}`)
  const given = watch(t, `valkey://127.0.0.1:${port}`, { openTimeoutS: TIMEOUT_S })
  for (const answer of await answers(watched)) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  await t.rejects(given.store.opened!, { message: `127.0.0.1:${port}: connection refused, after ${TIMEOUT_S} s` })
  t.strictSame(watched.told, [`127.0.0.1:${port}: connection refused`])
  await startServer(t, { port })
  await t.resolves(watched.store.opened!)
  t.equal(watched.told.at(-1), undefined)
  await make(watched.store, [ONE])
  t.strictSame(await watched.store.access(ONE, START, increment), { reply: 1 })
})

t.test('killed while 64 accesses are under way, and started again', needs(), async t => {
  const server = await startServer(t, { args: KEPT })
  const watched = await watchOpened(t, urlOf(server))
  const { store, told } = watched
  await make(store, IDS)
  const going = load(t, store, IDS.slice(8), { width: 64 })
  const writing = load(t, store, IDS.slice(0, 8), { width: 64, access: own })
  await sleep(200)
  told.length = 0
  await server.kill()
  await until('it is known', async () => told.length > 0)
  // Some are given up meanwhile.
  await sleep(DEADLINE_MS + 100)
  await server.restart()
  await works(watched)
  await sleep(100)
  await Promise.all([going.stop(), writing.stop()])
  await isCounted(t, store, going)
  await isWritten(t, store, writing)
  t.ok(going.slowest < DEADLINE_MS + 600, `the slowest took ${going.slowest} ms`)
  t.ok(going.frozen < 250, `nothing else was done for ${going.frozen} ms`)
  t.equal(told.filter(reason => reason === undefined).length, 1)
  t.equal(told.findIndex(reason => reason === undefined), told.length - 1)
  t.match(told[0], /^127\.0\.0\.1:\d+: /)
  t.comment({ slowest: going.slowest, frozen: going.frozen, gap: going.gap })
})

t.test('many accesses of one session on a server that does not answer settle in time, all of them', needs(), async t => {
  const server = await startServer(t)
  const relay = await startRelay(t, server)
  const watched = await watchOpened(t, urlOf(relay))
  await make(watched.store, [ONE])
  relay.stall()
  const began = performance.now()
  const list = { ...writing({ writes: { a: json(1) } }), reads: { all: true as const } }
  const all = await Promise.all(Array.from({ length: 40 }, async (_, n) => await outcome(watched.store.access(ONE, START, n % 2 === 0 ? list : increment))))
  const took = performance.now() - began
  t.ok(took < 2 * DEADLINE_MS, `they took ${took} ms`)
  for (const answer of all) t.match(answer, /^StoreUnavailable/)
  await relay.restore()
  await works(watched)
})

t.test('a server that forgets the script while it is in use: nobody notices, and writes of a session stay in order', needs(), async t => {
  const server = await startServer(t)
  const { store } = await watchOpened(t, urlOf(server))
  await make(store, IDS)
  const going = load(t, store, IDS, { width: 64 })
  for (let round = 0; round < 10; round++) {
    await server.command('script', 'flush')
    const all = Array.from({ length: 20 }, async (_, n) => await store.access(idOf(100), START, put(n)).then(() => n))
    await Promise.all([store.create(idOf(100), sessionOf(), START), ...all])
    t.equal(await countOf(store, idOf(100)), 19)
  }
  await going.stop()
  await isCounted(t, store, going)
  for (const { unknown, refused } of going.tallies.values()) t.strictSame([unknown, refused], [0, 0])
})

t.test('a server that accepts connections and never answers', needs(), async t => {
  const mute = await startMute(t)
  const watched = watch(t, urlOf(mute), { openTimeoutS: TIMEOUT_S })
  for (const answer of await answers(watched)) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  await t.rejects(watched.store.opened!, new RegExp(`^127\\.0\\.0\\.1:${mute.port}: .*, after ${TIMEOUT_S} s$`))
  t.equal(watched.told.length, 1, 'it is told once')
  t.ok(mute.connections <= 2, `${mute.connections} connections`)
  for (const answer of await answers(watched)) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
})

for (const direction of ['to server', 'to client', undefined] as const) {
  t.test(`a network that stalls, ${direction ?? 'both ways'}`, needs(), async t => {
    const server = await startServer(t)
    const relay = await startRelay(t, server)
    const watched = await watchOpened(t, urlOf(relay))
    const { store, told } = watched
    await make(store, IDS)
    const going = load(t, store, IDS.slice(8), { width: 32 })
    const writing = load(t, store, IDS.slice(0, 8), { width: 32, access: own })
    await sleep(50)
    told.length = 0
    relay.stall(direction)
    await until('it is known', async () => told.length > 0)
    await sleep(DEADLINE_MS + 200)
    await relay.restore()
    await works(watched)
    await Promise.all([going.stop(), writing.stop()])
    await isBack(watched)
    await isCounted(t, store, going)
    await isWritten(t, store, writing)
    t.ok(going.slowest < DEADLINE_MS + 600, `the slowest took ${going.slowest} ms`)
    t.ok(relay.connections <= 2, `${relay.connections} connections`)
  })
}

t.test('a change that a network delivers when its request was given up, and a later one was answered', needs(), async t => {
  const server = await startServer(t)
  const relay = await startRelay(t, server)
  const watched = await watchOpened(t, urlOf(relay))
  const { store } = watched
  await make(store, [ONE])
  await store.access(ONE, START, put('first'))
  const deliver = relay.detain()
  t.match(await outcome(store.access(ONE, START, put('late'))), /^StoreUnavailable: .*is not known/)
  await works(watched)
  t.strictSame(await outcome(store.access(ONE, START, put('last'))), { reply: true })
  t.ok(await deliver() > 0)
  t.strictSame(await dump(store, ONE, START), [['n', '"last"']])
})

t.test('a server that is out of memory: what needs none goes on although it waits together with what does', needs(), async t => {
  const server = await startServer(t)
  const { store } = await watchOpened(t, urlOf(server))
  await make(store, [ONE])
  await set(store, ONE, START, { a: json(1), b: json(2), c: json(3) })
  await server.command('config', 'set', 'maxmemory', '1')
  const remove = (key: string): Access<boolean> => ({ ...put(0), change: { writes: new Map([[key, null]]) } })
  const all = [put(1), put(2), remove('a'), put(3), remove('b')].map(async access => await outcome(store.access(ONE, START, access)))
  t.match(await Promise.all(all), [/^LimitExceeded/, /^LimitExceeded/, { reply: true }, /^LimitExceeded/, { reply: true }])
  await server.command('config', 'set', 'maxmemory', '0')
  t.strictSame(await dump(store, ONE, START), [['c', '3']])
})

t.test('a server that is out of memory', needs(), async t => {
  const server = await startServer(t, { args: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] })
  const { store, told } = await watchOpened(t, urlOf(server))
  told.length = 0
  await store.create(ONE, sessionOf({ idle: 1_000 }), START)
  await set(store, ONE, START, { a: json(1), b: json(2) })
  await store.create(TWO, sessionOf({ idle: 1_000, deleteSession: false }), START)
  await set(store, TWO, START, { a: json(1) })
  await store.create(idOf(50), sessionOf(), START)
  await store.create(idOf(51), sessionOf(), START)
  let count = 0
  await until('it is full', async () => /^LimitExceeded: /.test(String(await outcome(store.access(idOf(50), START, put('x'.repeat(50_000), `k${count++}`))))))
  // So that there is not a little left for what is small.
  await server.command('config', 'set', 'maxmemory', '1mb')
  const before = await dump(store, ONE, START)
  const later = START + 5_000
  for (const access of [increment, put(5), writing({ session: sessionOf() })] as ReadonlyArray<Access<unknown>>) {
    t.match(await outcome(store.access(ONE, later, access)), /^LimitExceeded: .*nothing was changed/)
  }
  t.match(await outcome(store.create(idOf(99), sessionOf(), START)), /^LimitExceeded: /)
  t.strictSame(await dump(store, ONE, START), before)
  const clearing = writing({ clear: true, writes: { z: json(1) } })
  const cleared = await outcome(store.access(idOf(51), later, clearing))
  t.match(cleared, /^LimitExceeded: .*nothing was changed/)
  t.strictSame(await dump(store, idOf(51), START), [])
  for (const id of [ONE, TWO]) {
    t.strictSame(await outcome(store.access(id, later, reading({ get: ['a'] }, view => view.get('a'), true))), { reply: '1' }, 'although it renews the idle deadline')
    t.equal((await store.find(id, later))?.session.usedAt, later)
  }
  t.match(await store.totals(START), { sessions: 4 })
  t.strictSame(await store.access(ONE, START, writing({ writes: { b: null } })), { reply: 2 }, 'removing a key')
  t.strictSame(await store.access(TWO, START, writing({ clear: true })), { reply: 1 }, 'removing all of them')
  t.strictSame([await dump(store, ONE, START), await dump(store, TWO, START)], [[['a', '1']], []])
  t.equal(await store.remove(idOf(50), START), true)
  await server.command('config', 'set', 'maxmemory', '8mb')
  // What is removed is freed a little later.
  let counted: unknown
  await until('there is memory again', async () => !/^LimitExceeded: /.test(String(counted = await outcome(store.access(ONE, later, increment)))))
  t.strictSame(counted, { reply: 1 })
  t.strictSame(told, [])
})

t.test('a replica in place of the master', needs(), async t => {
  const { master, replica } = await startPair(t)
  const given = watch(t, urlOf(replica), { openTimeoutS: TIMEOUT_S })
  t.match(await outcome(given.store.create(ONE, sessionOf(), START)), /^StoreUnavailable: .*nothing was changed/)
  await t.rejects(given.store.opened!, { message: `127.0.0.1:${replica.port}: it is a replica, which takes no changes, after ${TIMEOUT_S} s` })

  const watched = await watchOpened(t, urlOf(master))
  await make(watched.store, IDS)
  watched.told.length = 0
  const going = load(t, watched.store, IDS, { access: own })
  await sleep(50)
  await replica.command('replicaof', 'no', 'one')
  await master.command('replicaof', replica.host, replica.port)
  await until('it is known', async () => watched.told.length > 0)
  t.match(await outcome(watched.store.access(ONE, START, increment)), /^StoreUnavailable: .*nothing was changed/)
  t.match(watched.told, [/it is a replica/])
  t.equal(watched.told.length, 1)
  await master.command('replicaof', 'no', 'one')
  await works(watched)
  await going.stop()
  t.strictSame(going.strange, [])
  t.equal(watched.told.at(-1), undefined)
})

t.test('what an answer promises', needs(), async t => {
  await t.test('that a replica has the change, when that was asked for', async t => {
    const { master, replica } = await startPair(t)
    const watched = await watchOpened(t, urlOf(master), { waitReplicas: 1, answerDeadlineMs: 2 * DEADLINE_MS })
    const { store } = watched
    await make(store, [ONE])
    const client = await replica.connect()
    const key = `holdfast:{${ONE}}`
    for (let n = 0; n < 50; n++) {
      await store.access(ONE, START, (n % 2 === 0 ? put(n) : increment) as Access<unknown>)
      t.equal(await client.send('hget', key, 'n'), `${n}`)
    }
    replica.pause()
    t.match(await outcome(store.access(ONE, START, put(50))), /^StoreUnavailable: .*may be lost/)
    t.strictSame(await dump(store, ONE, START), [['n', '50']], 'reading goes on')
    const going = load(t, store, IDS.slice(1, 10), { access: put(1), width: 16 })
    await sleep(1_000)
    await going.stop()
    t.strictSame(going.strange, [])
    for (const { done } of going.tallies.values()) t.equal(done, 0)
    replica.resume()
    await until('an access succeeds', async () => !/^StoreUnavailable/.test(String(await outcome(store.access(ONE, START, put(51))))))
    await master.kill()
    await replica.command('replicaof', 'no', 'one')
    t.equal(await client.send('hget', key, 'n'), '51')
  })

  await t.test('that it may be made, when the wait for a replica ends otherwise', async t => {
    const { master, replica } = await startPair(t)
    const { store } = await watchOpened(t, urlOf(master), { waitReplicas: 1, answerDeadlineMs: 2 * DEADLINE_MS })
    await make(store, [ONE])
    replica.pause()
    const all = [store.access(ONE, START, put(1)), store.access(ONE, START, increment), store.create(TWO, sessionOf(), START)]
    await until('the change is made', async () => await master.command('hget', `holdfast:{${ONE}}`, 'n') === '1')
    await master.command('replicaof', '127.0.0.1', 1)
    const [first] = await Promise.all(all.map(outcome))
    t.match(first, /^StoreUnavailable: .*is not known/, 'and it is not made once more')
    await master.command('replicaof', 'no', 'one')
    replica.resume()
  })

  await t.test('and without that only that the master has it', async t => {
    const master = await startServer(t)
    const relay = await startRelay(t, master)
    const replica = await startReplica(t, { ...master, port: relay.port })
    const read = async () => await replica.command('hget', `holdfast:{${ONE}}`, 'n')
    const { store } = await watchOpened(t, urlOf(master))
    await make(store, [ONE])
    await store.access(ONE, START, put(1))
    await until('the replica has it', async () => await read() === '1')
    relay.stall()
    t.strictSame(await store.access(ONE, START, put(2)), { reply: true })
    await master.kill()
    await replica.command('replicaof', 'no', 'one')
    t.equal(await read(), '1', 'it was acknowledged, and is lost')
  })
})

t.test('closing', needs(), async t => {
  const server = await startServer(t)
  const handles = () => process.getActiveResourcesInfo().filter(name => /Timeout|TCPSocketWrap|TCPWRAP|ConnectWrap/.test(name)).length
  // Until the stores before have taken leave.
  await sleep(300)
  const before = handles()

  await t.test('while accesses are under way', async t => {
    const { store } = await watchOpened(t, urlOf(server))
    await make(store, IDS)
    const all = [
      ...IDS.map(async id => await store.access(id, START, increment)), ...IDS.map(async id => await store.access(id, START, put(1, 'p'))),
      ...IDS.map(async id => await store.find(id, START)), store.totals(START), store.create(idOf(77), sessionOf(), START),
    ].map(outcome)
    await store.close()
    t.notMatch(JSON.stringify(await Promise.all(all)), /StoreUnavailable/)
  })

  await t.test('while the server is down', async t => {
    const watched = await watchOpened(t, urlOf(server))
    const mute = await startMute(t)
    const others = [watch(t, urlOf(mute)), watch(t, `valkey://127.0.0.1:${await claimPort()}`)]
    await server.kill()
    for (const { store } of [watched, ...others]) {
      const all = [store.access(ONE, START, increment), store.find(ONE, START), store.create(ONE, sessionOf(), START)].map(outcome)
      await store.close()
      for (const answer of await Promise.all(all)) t.match(answer, /^StoreUnavailable/)
    }
    await mute.close()
  })

  // Looks, and no deadline: time in which this process does not run is none in which anything could end.
  for (let looks = 0; handles() > before && looks < 30; looks++) await sleep(20)
  t.ok(handles() <= before, 'nothing is left that keeps the process alive')
})
