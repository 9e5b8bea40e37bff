import { execFileSync } from 'node:child_process'
import t, { type Test } from 'tap'
import type { Access, RemoteStore } from '../../../src/session.js'
import { dump, ID, json, reading, sessionOf, set, START, writing } from '../../store-suite.js'
import { startCluster } from './cluster.js'
import { hashOf, openGateways, openStore, ownField, type Reply, type TestGateway } from './gateways.js'
import { outcome, put } from './load.js'
import { needs, startServer, until, type Server } from './servers.js'

// What several gateways do at once to one session is what some order of it would give.

const PLACES: Record<string, (t: Test) => Promise<string>> = {
  'a single server': async t => {
    const { host, port } = await startServer(t)
    return `valkey://${host}:${port}`
  },
  'a cluster of three': async t => `valkey://${(await startCluster(t)).seeds.join(',')}?cluster=true`,
}

for (const [place, start] of Object.entries(PLACES)) {
  t.test(`three gateways in front of ${place}`, needs(), async t => {
    const gateways = await openGateways(t, await start(t), 3)
    const of = (n: number): TestGateway => gateways[n % 3]!

    await t.test('of 100 that add one key exactly one is told that it is new', async t => {
      const tkn = await sessionOn(of(0))
      const replies = await times(100, async n => await of(n).run('KV_ADD', { tkn, keys: { k: n } }))
      const winners = replies.flatMap((reply, n) => reply?.['keys'].k === 20 ? [n] : [])
      t.equal(winners.length, 1)
      t.equal(replies.filter(reply => reply?.['keys'].k === 23).length, 99)
      for (const { run } of gateways) t.strictSame(await run('KV_GET', { tkn, keys: ['k'] }), { tkn, keys: { k: winners[0] } })
    })

    const increments = place === 'a single server' ? 200 : 1_000
    await t.test(`of ${increments} increments by If-Match none is lost`, async t => {
      const tkn = await sessionOn(of(0), { n: 0 })
      let begun = 0
      await times(3, async n => { while (begun++ < increments) await increment(of(n), tkn) })
      t.strictSame(await of(0).run('KV_GET', { tkn, keys: ['n'] }), { tkn, keys: { n: increments } })
    })

    await t.test('64 writers of one session', async t => await manyWriters(t, of))
  })
}

async function times<T> (count: number, run: (n: number) => Promise<T>): Promise<T[]> {
  return await Promise.all(Array.from({ length: count }, async (_, n) => await run(n)))
}

/** The token of a new session with these keys. */
async function sessionOn ({ run }: TestGateway, keys: object = {}, expiry: object = { duration: 0, deleteSession: false, idle: 1_000 }): Promise<string> {
  const reply = await run('SH_NEW', { name: 'hot', expiry })
  await run('KV_SET', { tkn: reply?.['tkn'], keys })
  return String(reply?.['tkn'])
}

/** Reads `n`, and writes one more unless it is another one by then; again and again until it was not. */
async function increment ({ app }: TestGateway, tkn: string): Promise<void> {
  const url = `/sessions/${tkn}/keys/n`
  for (;;) {
    const found = await app.inject({ method: 'GET', url })
    const { value } = found.json<{ value: number }>()
    const headers = { 'content-type': 'application/json', 'if-match': String(found.headers['etag']) }
    const { statusCode, payload } = await app.inject({ method: 'PUT', url, headers, payload: JSON.stringify({ value: value + 1 }) })
    if (statusCode === 204) return
    if (statusCode !== 412) throw new Error(`${statusCode} ${payload}`)
  }
}

const ROUNDS = 4
const WRITERS = 64

/** Every command has a part of its own in the session by which it can be seen what became of it. */
async function manyWriters (t: Test, of: (n: number) => TestGateway): Promise<void> {
  const tkn = await sessionOn(of(0), { list: [], object: {}, ...Object.fromEntries(Array.from({ length: ROUNDS }, (_, round) => [`gone${round}`, 1])) })
  const added: Reply[] = []
  const removed: Reply[] = []
  await times(WRITERS, async n => {
    const { run } = of(n)
    for (let round = 0; round < ROUNDS; round++) {
      const mark = n * 100 + round
      const replies = [
        await run('KV_SET', { tkn, keys: { [`own${n}`]: round, last: mark } }),
        await run('KV_APPEND', { tkn, keys: { list: mark } }),
        await run('KV_MERGE', { tkn, keys: { object: { [n]: round } } }),
        await run('SH_TOUCH', { tkn, duration: 1_000 + mark }),
      ]
      t.strictSame(replies.map(reply => reply?.['keys'] ?? reply?.['st']), [{ [`own${n}`]: round === 0 ? 20 : 21, last: replies[0]?.['keys'].last }, { list: 1 }, { object: 21 }, 1])
      added.push(await run('KV_ADD', { tkn, keys: { [`new${round}`]: mark } }))
      removed.push(await run('KV_RMV', { tkn, keys: [`gone${round}`] }))
      t.match(await run('KV_GET', { tkn, keys: [`own${n}`] }), { keys: { [`own${n}`]: round } }, 'what was written is there')
    }
  })
  const counted = (replies: Reply[]): Record<string, number> => {
    const counts: Record<string, number> = {}
    for (const reply of replies) for (const [key, st] of Object.entries(reply?.['keys'])) counts[`${key} ${st}`] = (counts[`${key} ${st}`] ?? 0) + 1
    return counts
  }
  const each = (key: string, won: number, lost: number) => Object.fromEntries(Array.from({ length: ROUNDS }, (_, round) => [[`${key}${round} ${won}`, 1], [`${key}${round} ${lost}`, WRITERS - 1]]).flat())
  t.strictSame(counted(added), each('new', 20, 23), 'each was added once')
  t.strictSame(counted(removed), each('gone', 24, 22), 'each was removed once')

  const names = (await of(1).run('KV_KEYS', { tkn }))?.['keys'] as string[]
  const { list, object, last, ...others } = (await of(2).run('KV_GET', { tkn, keys: names }))?.['keys']
  const marks = Array.from({ length: WRITERS * ROUNDS }, (_, i) => Math.floor(i / ROUNDS) * 100 + i % ROUNDS)
  t.strictSame([...list].sort((a, b) => a - b), marks, 'each element was appended once')
  for (let n = 0; n < WRITERS; n++) {
    const own = (list as number[]).filter(mark => Math.floor(mark / 100) === n)
    if (own.some((mark, round) => mark % 100 !== round)) t.fail('elements of one writer are in their order')
  }
  t.strictSame(object, Object.fromEntries(Array.from({ length: WRITERS }, (_, n) => [n, ROUNDS - 1])))
  t.equal(last % 100, ROUNDS - 1, 'the last one was set in a last round')
  t.equal(Object.keys(others).length, WRITERS + ROUNDS)
  t.match(await of(0).run('SH_INFO', { tkn }), { keyCnt: WRITERS + ROUNDS + 3, expiry: { expires: true } })
}

t.test('one who reads first gets through between two who write without reading', needs(), async t => {
  const { host, port } = await startServer(t)
  const [one, two, three] = await openGateways(t, `valkey://${host}:${port}`, 3) as [TestGateway, TestGateway, TestGateway]
  const tkn = await sessionOn(one, { k: [] })
  const done = new AbortController()
  t.teardown(() => done.abort())
  const hammering = [one, two].map(async ({ run }) => {
    let count = 0
    while (!done.signal.aborted) {
      const reply = await run('KV_SET', { tkn, keys: { k: [] } })
      t.strictSame(reply, { tkn, keys: { k: 21 } }, `write ${count++}`)
    }
    return count
  })
  for (let i = 0; i < 10; i++) t.strictSame(await three.run('KV_APPEND', { tkn, keys: { k: [i] } }), { tkn, keys: { k: 1 } })
  done.abort()
  for (const count of await Promise.all(hammering)) t.ok(count > 0)
})

/** A store with a session on a server of its own. */
async function hotSession (t: Test, answerDeadlineMs = 10_000): Promise<{ server: Server, store: RemoteStore }> {
  const server = await startServer(t)
  const store = await openStore(t, `valkey://${server.host}:${server.port}`, { answerDeadlineMs })
  await store.create(ID, sessionOf(), START)
  return { server, store }
}

/** Has the engine do something while this process does nothing else. Bytes can be written as \\xFF. */
function meanwhile ({ binary, host, port }: Server, ...args: readonly string[]): string {
  const input = args.map(arg => `"${arg}"`).join(' ')
  return execFileSync(binary.replace('-server', '-cli'), ['-h', host, '-p', String(port)], { input: `${input}\n`, encoding: 'utf8' }).trim()
}

/** Milliseconds since the Unix epoch by the clock of the engine. */
async function timeOf (server: Server): Promise<number> {
  const [seconds, micros] = (await server.command('TIME') as string[]).map(Number) as [number, number] // As the command is documented.
  return seconds * 1000 + Math.floor(micros / 1000)
}

/** An access that finds the session changed as often as it has decided so many times. */
function forestalled (server: Server, often: number, seen: string[] = []): Access<number> {
  return {
    reads: { get: ['k'] },
    mayWrite: true,
    touch: true,
    decide (view) {
      seen.push(meanwhile(server, 'HGET', hashOf(ID), '\\xFFc'))
      const n = Number(view.get('k') ?? 0)
      if (seen.length <= often) meanwhile(server, 'HSET', hashOf(ID), 'k', String(n + 1), '\\xFFv', `other${seen.length}`)
      return { reply: n, writes: new Map([['k', json(n * 10)]]) }
    },
  }
}

t.test('a decision is made again on what is there, and after some times the gateway asks for the lease', needs(), async t => {
  const { server, store } = await hotSession(t)
  const seen: string[] = []
  t.strictSame(await store.access(ID, START, forestalled(server, 5, seen)), { reply: 5 })
  t.strictSame(seen.slice(0, 5), ['', '', '', '', ''])
  t.match(seen[5], /^\S+ \d+$/, 'it has the lease')
  t.strictSame(await dump(store, ID, START), [['k', '50']], 'and the lease is no key')
  t.strictSame(await store.find(ID, START), { session: sessionOf(), size: 1 })
  t.equal(await server.command('HEXISTS', hashOf(ID), ownField('c')), 0, 'it is over with the change')
})

t.test('the other changes wait while a gateway has the lease, until it lapses; reading goes on', needs(), async t => {
  const { server, store } = await hotSession(t)
  await set(store, ID, START, { k: json(1) })
  const lapses = await timeOf(server) + 190
  await server.command('HSET', hashOf(ID), ownField('c'), `dead ${lapses}`)
  const writes = [set(store, ID, START, { k: json(2) }), store.access(ID, START, writing({ clear: true, writes: { n: json(3) } }))]
  const blind = store.access(ID, START, { reads: {}, mayWrite: true, touch: true, change: { writes: new Map([['b', json(1)]]) }, decide: view => ({ reply: view.size }) })
  const [found, entries, isOver] = [await store.find(ID, START), await dump(store, ID, START), await timeOf(server) >= lapses]
  if (!isOver) t.strictSame([found, entries], [{ session: sessionOf(), size: 1 }, [['k', '1']]])
  t.strictSame(await Promise.all([...writes, blind]), [{ reply: 1 }, { reply: 1 }, { reply: 1 }])
  t.ok(await timeOf(server) >= lapses, 'no change before its end')
  t.strictSame(await dump(store, ID, START), [['b', '1'], ['n', '3']])
})

t.test('a lease that cannot be is none', needs(), async t => {
  const { server, store } = await hotSession(t)
  for (const [index, lease] of ['dead 99999999999999', 'dead', '', 'dead 1', ' 99999999999999'].entries()) {
    await server.command('HSET', hashOf(ID), ownField('c'), lease)
    t.strictSame(await store.access(ID, START, writing({ writes: { [`k${index}`]: json(1) } })), { reply: index }, lease)
    t.equal(await server.command('HEXISTS', hashOf(ID), ownField('c')), 0)
  }
})

/** Has nothing happen in this process for so many milliseconds. */
function halt (duration: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, duration))
}

t.test('a change that is forestalled until the deadline is refused, and was not made', needs(), async t => {
  // More tries than a gateway makes without a lease, and time for them on a machine that has little.
  const [tries, deadlineMs] = [6, 4_000]
  const { server, store } = await hotSession(t, deadlineMs)
  const began = performance.now()
  const seen: string[] = []
  const { decide, ...rest } = forestalled(server, Infinity, seen)
  const halting: Access<number> = {
    ...rest,
    decide (view) {
      const decision = decide(view)
      // Of a write that is under way when the deadline passes it could not be known whether it was made.
      if (seen.length === tries) halt(began + deadlineMs + 100 - performance.now())
      return decision
    },
  }
  await t.rejects(store.access(ID, START, halting), { status: 'StoreUnavailable', message: /nothing was changed/ })
  t.equal(seen.length, tries)
  t.strictSame(await store.access(ID, START, reading({ get: ['k'] }, view => view.get('k'))), { reply: `${tries}` }, 'only the others have changed it')
})

/** Gives another one the lease, for as long as it can be, and answers for how many milliseconds more it would have had it. */
const HOLD = `local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local lapses = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '(%d+)$')
  redis.call('HSET', KEYS[1], ARGV[1], string.format('other %.0f', now + 200))
  return tonumber(lapses or 0) - now`

t.test('a change that has to wait for the lease of another until the deadline is refused, and was not made', needs(), async t => {
  const { server, store } = await hotSession(t, 300)
  const hold = async () => Number(await server.command('EVAL', HOLD, 1, hashOf(ID), ownField('c')))
  let key = 'b'
  // A machine that is away for a while has the lease lapse, or the deadline pass while a try is under way: that is another case.
  await until('it waits from its beginning to its end', async () => {
    const over = new AbortController()
    await hold()
    let left = Infinity
    const holding = (async () => { while (!over.signal.aborted) left = Math.min(left, await hold()) })()
    key += 'b'
    const answer = await outcome(store.access(ID, START, put(1, key)))
    over.abort()
    await holding
    if (left < 0 || /is not known/.test(String(answer))) return false
    t.match(answer, /^StoreUnavailable: .*nothing was changed/)
    return true
  })
  await server.command('HDEL', hashOf(ID), ownField('c'))
  t.strictSame(await store.access(ID, START, reading({ has: [key] }, view => view.has(key))), { reply: false })
})

t.test('a session that ends between reading and writing', needs(), async t => {
  const { server, store } = await hotSession(t)
  const ending: Access<string> = {
    reads: { get: ['k'] },
    mayWrite: true,
    touch: true,
    decide () {
      meanwhile(server, 'DEL', hashOf(ID))
      return { reply: 'decided', writes: new Map([['k', json(1)]]) }
    },
  }
  t.equal(await store.access(ID, START, ending), undefined)
  t.equal(await server.command('EXISTS', hashOf(ID)), 0, 'it is not made again')
})
