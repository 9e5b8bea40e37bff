import { execFileSync } from 'node:child_process'
import t, { type Test } from 'tap'
import { sessionId } from '../../../src/protocol/gateway.js'
import { deadline, type Session, type RemoteStore } from '../../../src/session.js'
import { ENGINE_GRACE_MS, timesOf } from '../../../src/stores/valkey/layout.js'
import { dump, ID, idOf, json, reading, sessionOf, set, START, writing } from '../../store-suite.js'
import { startCluster } from './cluster.js'
import { hashOf, openGateways, openStore, ownField, type TestGateway } from './gateways.js'
import { monitor } from './monitor.js'
import { needs, startServer, until, type Server } from './servers.js'
import type { Node } from './view.js'

// What lies in the engine, as src/stores/valkey/layout.ts says it, and how long.

const STAY = `${hashOf(ID)}:stay`

async function open (t: Test): Promise<{ server: Server, store: RemoteStore }> {
  const server = await startServer(t)
  return { server, store: await openStore(t, `valkey://${server.host}:${server.port}`) }
}

/** What the engine's own command line prints. Bytes in arguments can be written as \\xFF. */
function cli ({ binary, host, port }: Server, ...args: readonly string[]): Buffer {
  const input = args.map(arg => `"${arg}"`).join(' ')
  return execFileSync(binary.replace('-server', '-cli'), ['-h', host, '-p', String(port), '--raw'], { input: `${input}\n` }).subarray(0, -1)
}

/** Texts that other programs have to find as they were sent. */
const VALUES: Record<string, string> = {
  huge: '18446744073709551615',
  decimal: '1.10',
  infinite: '1e400',
  surrogate: '"\\ud800"',
  escaped: '"\\u00e9\\/\\n"',
  other: '"é🥔"',
  object: '{"b":1,"a":-0.0,"b":2,"__proto__":null}',
  '': '"empty"',
  ' ': '[1,null]',
  é: 'true',
  ÿ: '"not a byte FF"',
  '\ufffd': '3',
}

t.test('another program can read a session', needs(), async t => {
  const server = await startServer(t)
  const [{ app, run }] = await openGateways(t, `valkey://${server.host}:${server.port}`, 1) as [TestGateway]
  const tkn = String((await run('SH_NEW', { name: 'zwölf\n', expiry: { duration: 100, deleteSession: false, idle: 50 } }))?.['tkn'])
  const body = `{${Object.entries({ ...VALUES, ['__proto__']: '"prototype"' }).map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')},"__proto__":"prototype"}`
  const { payload } = await app.inject({ method: 'POST', url: '/command', headers: { 'content-type': 'application/json' }, payload: `{"KV_SET":{"tkn":"${tkn}","keys":${body}}}` })
  t.notMatch(payload, /"m":/)

  const hash = `holdfast:{${sessionId(tkn)}}`
  t.strictSame(`${await server.command('TYPE', hash)} ${await server.command('TYPE', `${hash}:stay`)}`, 'hash string')
  for (const [key, text] of [...Object.entries(VALUES), ['__proto__', '"prototype"'] as const]) {
    t.strictSame(cli(server, 'HGET', hash, key).toString(), text, key)
  }
  t.equal(await server.command('HLEN', hash), Object.keys(VALUES).length + 1 + 3)
  const info = await run('SH_INFO', { tkn })
  const times = cli(server, 'HGET', hash, '\\xFFt').toString()
  const [due, idle, duration, deletes, shared, startedAt, usedAt] = times.split(' ').map(Number) as number[]
  t.strictSame([idle, duration, deletes, shared], [50, 100, 0, 0])
  t.equal(due, usedAt! + 50_000)
  t.ok(startedAt! <= usedAt!)
  t.equal(info?.['expiry'].time, Math.ceil(due! / 1000))
  t.equal(cli(server, 'HGET', hash, '\\xFFn').toString(), 'zwölf\n')
  t.equal(cli(server, 'GET', `${hash}:stay`).toString(), `${times} zwölf\n`)

  const version = cli(server, 'HGET', hash, '\\xFFv').toString()
  await run('KV_GET', { tkn, keys: ['huge'] })
  t.equal(cli(server, 'HGET', hash, '\\xFFv').toString(), version, 'reading leaves the version')
  await run('KV_SET', { tkn, keys: { huge: 1 } })
  t.not(cli(server, 'HGET', hash, '\\xFFv').toString(), version)
  t.equal(await server.command('PTTL', `${hash}:stay`), -1)
})

t.test('no token is ever sent to the engine', needs(), async t => {
  const server = await startServer(t)
  const watch = await monitor(t, server)
  const [{ run }] = await openGateways(t, `valkey://${server.host}:${server.port}`, 1) as [TestGateway]
  const tkns: string[] = []
  for (const shared of [false, true]) {
    const tkn = String((await run('SH_NEW', { name: 'x', shared, expiry: { duration: 100, deleteSession: false } }))?.['tkn'])
    tkns.push(tkn)
    await run('KV_SET', { tkn, keys: { a: 1 } })
    await run('KV_APPEND', { tkn, keys: { a: 1 } })
    await run('SH_EXISTS', { tkns: [tkn] })
    await run('SH_TOUCH', { tkn })
    await run('KV_FIND', { tkn, path: '', '==': 1 })
  }
  await run('SH_OPEN', { name: 'x' })
  await run('SH_INFO_ALL', {})
  const keys = await server.command('KEYS', '*') as string[] // As the command is documented.
  t.strictSame(keys.sort(), ['holdfast:secret', ...tkns.flatMap(tkn => [hashOf(sessionId(tkn)), `${hashOf(sessionId(tkn))}:stay`])].sort())
  for (const tkn of tkns) await run('SH_END', { tkn })
  const sent = (await watch.taken()).flat().join('\n')
  t.match(sent, sessionId(tkns[0]!))
  for (const tkn of tkns) t.notOk(sent.includes(tkn))
  t.strictSame(await server.command('KEYS', '*'), ['holdfast:secret'])
})

t.test('all keys of a session are in one slot, and sessions in all of a cluster', needs(), async t => {
  const { masters } = await startCluster(t)
  const [master] = masters as readonly [Node, ...Node[]]
  const store = await openStore(t, `valkey://${master.host}:${master.port}?cluster=true`)
  for (let n = 0; n < 60; n++) await store.create(idOf(n), sessionOf({ duration: 100, deleteSession: false }), START)
  for (let n = 0; n < 60; n++) {
    const slots = await Promise.all([hashOf(idOf(n)), `${hashOf(idOf(n))}:stay`].map(async key => await master.command('CLUSTER', 'KEYSLOT', key)))
    t.equal(slots[0], slots[1])
  }
  const sizes = await Promise.all(masters.map(async ({ command }) => Number(await command('DBSIZE'))))
  t.ok(sizes.every(size => size > 0))
  t.equal(sizes.reduce((sum, size) => sum + size, 0), 120)
})

/** The engine's expiry of a key, as a deadline by the clock of the tests: nobody knows how late it is asked for. */
function assertKeptUntil (t: Test, ttl: unknown, due: number, now: number, what: string): void {
  const expected = due - now + ENGINE_GRACE_MS
  t.ok(Number(ttl) <= expected && Number(ttl) > expected - 60_000, `${what}: ${ttl} of ${expected} ms`)
}

t.test('the engine keeps a session until its deadline and a little longer', needs(), async t => {
  const { server, store } = await open(t)
  const [H, DAY] = [3_600_000, 86_400]
  const ttl = async (): Promise<unknown> => await server.command('PTTL', hashOf(ID))
  const moves = async (what: string, session: Session, now: number): Promise<void> => {
    assertKeptUntil(t, await ttl(), deadline(session), now, what)
    t.equal(cli(server, 'HGET', hashOf(ID), '\\xFFt').toString(), timesOf(session), what)
    t.equal(cli(server, 'GET', STAY).toString(), session.deleteSession ? '' : `${timesOf(session)} cart`, what)
  }
  for (const deleteSession of [true, false]) {
    const session = sessionOf({ duration: 10 * DAY, idle: DAY, deleteSession })
    await store.create(ID, session, START)
    await moves('create', session, START)
    await set(store, ID, START + H, { a: json(1) })
    await moves('a write', { ...session, usedAt: START + H }, START + H)
    await store.access(ID, START + 2 * H, reading({}, () => 0, true))
    await moves('a read', { ...session, usedAt: START + 2 * H }, START + 2 * H)
    await store.access(ID, START + 3 * H, { reads: {}, mayWrite: true, touch: true, change: { clear: true }, decide: () => ({ reply: 0 }) })
    await moves('a clear', { ...session, usedAt: START + 3 * H }, START + 3 * H)
    await t.rejects(store.access(ID, START + 4 * H, reading({}, () => { throw new Error('no') }, true)))
    await moves('a read that failed', { ...session, usedAt: START + 3 * H }, START + 4 * H)
    const longer = { ...session, duration: 30 * DAY, idle: 20 * DAY }
    await store.access(ID, START + 5 * H, writing({ session: longer }, false))
    await moves('another expiry', longer, START + 5 * H)
    const never = { ...session, duration: 0, idle: 0 }
    await store.access(ID, START + 5 * H, writing({ session: never, writes: { a: json(1) } }, false))
    t.equal(await ttl(), -1, 'no deadline')
    t.equal(await server.command('EXISTS', STAY), 0)
    await store.access(ID, START + 5 * H, writing({ clear: true, writes: { b: json(1) } }, true))
    t.equal(await ttl(), -1, 'no deadline, all keys new')
    await store.access(ID, START + 6 * H, writing({ session }, false))
    await moves('a deadline again', session, START + 6 * H)
    await store.remove(ID, START + 6 * H)
    t.equal(await server.command('DBSIZE'), 0)
    await store.restore({ id: ID, session, keys: new Map([['a', json(1)]]) }, START + 7 * H)
    await moves('restore', session, START + 7 * H)
    if (!deleteSession) {
      await store.find(ID, START + 30 * H)
      await moves('restart', { ...session, startedAt: START + DAY * 1000, usedAt: START + DAY * 1000 }, START + 30 * H)
    }
    await store.remove(ID, START + 7 * H)
  }
  const longest = sessionOf({ duration: 10_000_000_000, deleteSession: false })
  await store.create(ID, longest, START)
  await moves('the longest duration', longest, START)
})

t.test('a session that stays, and whose hash is gone', needs(), async t => {
  const { server, store } = await open(t)
  const session = sessionOf({ idle: 10, deleteSession: false, name: 'a name\nof two lines' })
  const uses: Record<string, () => Promise<unknown>> = {
    find: async () => (await store.find(ID, START + 25_000))?.size,
    'a read': async () => (await store.access(ID, START + 25_000, reading({ get: ['a'] }, view => view.has('a') ? -1 : view.size, true)))?.reply,
    'a write': async () => (await store.access(ID, START + 25_000, { ...writing({}), change: { writes: new Map([['b', json(2)]]) }, decide: view => ({ reply: view.size }) }))?.reply,
    'a decision': async () => (await set(store, ID, START + 25_000, { b: json(2) }))?.reply,
    create: async () => (await store.create(ID, sessionOf(), START + 25_000)).name === session.name ? 0 : -1,
    sweep: async () => await store.sweep(START + 25_000, 10),
    totals: async () => (await store.totals(START + 25_000)).keys,
  }
  for (const [name, use] of Object.entries(uses)) {
    await store.create(ID, session, START)
    await set(store, ID, START, { a: json(1) })
    await server.command('UNLINK', hashOf(ID))
    t.equal(await use(), 0, name)
    t.strictSame(await store.totals(START + 25_000), { sessions: 1, keys: name.startsWith('a write') || name === 'a decision' ? 1 : 0 }, name)
    const restarted = { ...session, startedAt: START + 20_000, usedAt: /^a /.test(name) ? START + 25_000 : START + 20_000 }
    t.strictSame((await store.find(ID, START + 25_000))?.session, restarted, `${name}: its time has started again`)
    await set(store, ID, START + 25_000, { c: json(3) })
    t.match(await dump(store, ID, START + 25_000), [['c', '3']].slice(0, name.startsWith('a ') && name !== 'a read' ? 0 : 1), name)
    t.equal((await store.find(ID, START + 25_000))?.size, (await dump(store, ID, START + 25_000))?.length, name)
    t.equal(await store.remove(ID, START + 25_000), true)
    t.equal(await server.command('DBSIZE'), 0, name)
  }

  await store.create(ID, session, START)
  await server.command('UNLINK', hashOf(ID))
  t.equal(await store.remove(ID, START + 1), true, 'it can be ended')
  t.equal(await server.command('DBSIZE'), 0)
  await store.create(ID, session, START)
  await server.command('UNLINK', hashOf(ID))
  t.strictSame(await store.totals(START + 1), { sessions: 1, keys: 0 })
  t.equal(await store.clear(START + 1), 1)
  t.equal(await server.command('DBSIZE'), 0)
})

t.test('a session whose hash is gone before its time is one without keys', needs(), async t => {
  const { server, store } = await open(t)
  const session = sessionOf({ idle: 10, deleteSession: false })
  for (const renewing of [true, false]) {
    await store.create(ID, session, START)
    await set(store, ID, START, { a: json(1) })
    await server.command('UNLINK', hashOf(ID))
    t.strictSame(await store.access(ID, START + 1, reading({ get: ['a'] }, view => [view.size, view.get('a')], renewing)), { reply: [0, undefined] })
    t.strictSame(await store.find(ID, START + 1), { session: { ...session, usedAt: START + Number(renewing) }, size: 0 })
    t.strictSame(await set(store, ID, START + 2, { b: json(2) }), { reply: 0 })
    t.strictSame(await store.find(ID, START + 2), { session: { ...session, usedAt: START + 2 }, size: 1 })
    await store.remove(ID, START + 2)
  }
})

t.test('without any gateway the engine frees what is over by itself', needs(), async t => {
  const { server, store } = await open(t)
  for (let n = 0; n < 90; n++) await store.restore({ id: idOf(n), session: sessionOf({ duration: n % 3 === 0 ? 0 : 100, deleteSession: n % 3 === 1 }), keys: new Map([['a', json(n)]]) }, START)
  t.equal(await server.command('DBSIZE'), 120)
  // Its time flies: what would be gone then is gone now.
  for (let n = 0; n < 90; n++) if (Number(await server.command('PTTL', hashOf(idOf(n)))) > 0) await server.command('PEXPIRE', hashOf(idOf(n)), 1)
  await until('what is over is gone', async () => await server.command('DBSIZE') === 60)
  t.strictSame(await store.totals(START + 100_000), { sessions: 60, keys: 30 })
  t.strictSame(await store.totals(START + 100_000), { sessions: 60, keys: 30 }, 'asking changes nothing')
  const copies: Array<readonly [number, number]> = []
  for await (const copy of store.copies(START + 150_000)) copies.push([copy.session.startedAt, copy.keys.size])
  t.strictSame(copies.sort(([a], [b]) => a - b), [...Array(30).fill([START, 1]), ...Array(30).fill([START + 100_000, 0])])
})

t.test('two prefixes in one database do not see each other', needs(), async t => {
  const server = await startServer(t)
  const [a, b] = await Promise.all(['x', 'x:y'].map(async prefix => await openStore(t, `valkey://${server.host}:${server.port}?prefix=${prefix}`))) as [RemoteStore, RemoteStore]
  const session = sessionOf({ duration: 10, deleteSession: false })
  for (const [index, store] of [a, b].entries()) await store.restore({ id: ID, session, keys: new Map([['k', json(index)]]) }, START)
  t.strictSame([await dump(a, ID, START), await dump(b, ID, START)], [[['k', '0']], [['k', '1']]])
  const secrets = await Promise.all([a, b].map(async (store, index) => await store.secret(() => Buffer.alloc(32, index))))
  t.strictSame(secrets, [Buffer.alloc(32, 0), Buffer.alloc(32, 1)])
  for (const store of [a, b]) {
    t.strictSame(await store.totals(START), { sessions: 1, keys: 1 })
    const copies = []
    for await (const { keys } of store.copies(START)) copies.push([...keys])
    t.equal(copies.length, 1)
  }
  t.equal(await a.sweep(START + 10_000, 10), 1)
  t.equal(await b.sweep(START + 9_999, 10), 0)
  t.equal(await a.clear(START), 1)
  t.strictSame(await dump(b, ID, START + 9_999), [['k', '1']])
  t.strictSame((await server.command('KEYS', '*') as string[]).sort(), ['x:secret', `x:y:{${ID}}`, `x:y:{${ID}}:stay`, 'x:y:secret'].sort())
})

t.test('what somebody else has written in place of a session', needs(), async t => {
  const { server, store } = await open(t)
  const damages: Array<() => Promise<unknown>> = [
    async () => await server.command('HSET', hashOf(ID), ownField('t'), 'garbage'),
    async () => await server.command('HSET', hashOf(ID), ownField('t'), '0 0 0 1'),
    async () => await server.command('HDEL', hashOf(ID), ownField('n')),
    async () => await server.command('SET', hashOf(ID), 'a string'),
  ]
  for (const [index, damage] of damages.entries()) {
    await store.create(ID, sessionOf(), START)
    await store.restore({ id: idOf(2), session: sessionOf({ duration: 1 }), keys: new Map([['a', json(1)]]) }, START)
    await damage()
    const damaged = { message: 'What is stored there is damaged.' }
    await t.rejects(store.find(ID, START), damaged, `damage ${index}`)
    await t.rejects(store.access(ID, START, reading({ has: ['a'] }, view => view.has('a'), true)), damaged)
    await t.rejects(set(store, ID, START, { a: json(1) }), damaged)
    await t.rejects(store.create(ID, sessionOf(), START), damaged)
    await t.rejects(async () => { for await (const { id } of store.copies(START)) t.not(id, ID) }, damaged, 'a copy without it would be no copy')
    t.strictSame(await store.totals(START), { sessions: 1, keys: 1 }, 'the others are counted')
    t.equal(await store.sweep(START + 1_000, 10), 1, 'and swept')
    t.equal(await store.clear(START), 0)
    t.equal(await server.command('DBSIZE'), 0, 'it can be ended')
  }
})
