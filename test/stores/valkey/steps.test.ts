import t, { type Test } from 'tap'
import { COMMAND_NAMES, type CommandName } from '../../../src/commands/index.js'
import type { JsonText } from '../../../src/json/text.js'
import type { Access, RemoteStore } from '../../../src/session.js'
import { dump, ID, json, reading, sessionOf, set, START, writing } from '../../store-suite.js'
import { batchLength } from '../../../src/stores/valkey/batch.js'
import { freshStores, openGateways, openStore, type TestGateway } from './gateways.js'
import { monitor, type Monitor } from './monitor.js'
import { needs, startServer } from './servers.js'

// How many steps of the engine a command is, and what becomes of several that share one.

/** Commands with parameters, and how many calls of the engine each is: one unless what it writes depends on what it reads. */
const CALLS: Record<CommandName, readonly [params: object, calls: number]> = {
  SH_NEW: [{ name: 'x' }, 1],
  SH_OPEN: [{ name: 'shared' }, 1],
  SH_INFO: [{}, 1],
  SH_INFO_ALL: [{}, 0],
  SH_EXISTS: [{ tkns: ['nobody'] }, 1],
  SH_TOUCH: [{ duration: 100 }, 2],
  KV_SET: [{ keys: { a: 1, b: 2 } }, 1],
  KV_SETQ: [{ keys: { a: 1, b: 2 } }, 1],
  KV_ADD: [{ keys: { [`new${Math.random()}`]: 1, b: 2 } }, 2],
  KV_ADDQ: [{ keys: { [`new${Math.random()}`]: 1, b: 2 } }, 2],
  KV_GET: [{ keys: ['a', 'b', 'none'] }, 1],
  KV_RMV: [{ keys: ['b', 'none'] }, 1],
  KV_CONTAINS: [{ keys: ['a', 'none'] }, 1],
  KV_COUNT: [{}, 1],
  KV_KEYS: [{ prefix: 'a', limit: 10 }, 1],
  KV_APPEND: [{ keys: { text: 'x', none: 'x' } }, 2],
  KV_UPDATE: [{ key: 'object', path: '/a', value: 2 }, 2],
  KV_MERGE: [{ keys: { object: { b: 1 } } }, 2],
  KV_FIND: [{ path: '/a', '==': 1 }, 1],
  KV_CLEAR_SET: [{ keys: { a: 1 } }, 1],
  KV_CLEAR: [{}, 1],
  SV_INFO: [{}, 0],
  SH_END: [{}, 1],
  SH_END_ALL: [{ all: true }, 0],
}

/** The calls when there is nothing to write. */
const VAIN_CALLS: ReadonlyArray<readonly [CommandName, object, number]> = [
  ['KV_ADD', { keys: { a: 1 } }, 1],
  ['KV_APPEND', { keys: { none: 1 } }, 1],
  ['KV_UPDATE', { key: 'none', path: '/a', value: 2 }, 1],
  ['SH_TOUCH', {}, 1],
  ['KV_SET', { keys: { a: 1 } }, 1],
]

async function withMonitor (t: Test): Promise<{ gateway: TestGateway, watch: Monitor }> {
  const server = await startServer(t)
  const watch = await monitor(t, server)
  const [gateway] = await openGateways(t, `valkey://${server.host}:${server.port}`, 1, { now: () => START }) as [TestGateway]
  await gateway.run('SH_NEW', { name: 'shared', shared: true })
  return { gateway, watch }
}

/** The token of a session with keys of every kind. */
async function sessionOn ({ run }: TestGateway, idle: number): Promise<string> {
  const tkn = String((await run('SH_NEW', { name: 'counted', expiry: { duration: 0, deleteSession: false, idle } }))?.['tkn'])
  await run('KV_SET', { tkn, keys: { a: 1, b: 2, text: 't', object: { a: 1 } } })
  return tkn
}

for (const idle of [0, 1_000]) {
  t.test(`calls of the engine per command, idle ${idle}`, needs(), async t => {
    const { gateway, watch } = await withMonitor(t)
    const without: readonly CommandName[] = ['SH_NEW', 'SH_OPEN', 'SH_EXISTS', 'SH_INFO_ALL', 'SH_END_ALL', 'SV_INFO']
    for (const name of COMMAND_NAMES.filter(name => name !== 'SH_END_ALL')) {
      const [params, calls] = CALLS[name]
      const tkn = await sessionOn(gateway, idle)
      await watch.taken()
      const reply = await gateway.run(name, without.includes(name) ? params : { tkn, ...params })
      t.notMatch(reply, { m: /./ }, name)
      const sent = (await watch.taken()).map(([name]) => name)
      // Sessions that stay have a second key, which may be all that is left of one.
      if (name === 'SH_INFO_ALL') t.strictSame(sent, ['scan', ...idle > 0 ? ['exists'] : [], 'evalsha', 'evalsha', 'evalsha'], name)
      else t.strictSame(sent, Array(calls).fill('evalsha'), name)
      await gateway.run('SH_END', { tkn })
    }
    if (idle > 0) return
    const tkn = await sessionOn(gateway, 0)
    await watch.taken()
    for (const [name, params, calls] of VAIN_CALLS) {
      await gateway.run(name, { tkn, ...params })
      t.equal((await watch.taken()).length, calls, `${name} with nothing to do`)
    }
    await gateway.run('SH_END_ALL', { all: true })
    t.strictSame((await watch.taken()).map(([name]) => name), ['scan', 'evalsha', 'evalsha', 'evalsha'], 'one for each session')
  })
}

t.test('calls of the engine per request on a single key', needs(), async t => {
  const { gateway, watch } = await withMonitor(t)
  const tkn = await sessionOn(gateway, 0)
  const requests = [
    ['GET', 'a', {}, 200, 1], ['GET', 'none', {}, 404, 1], ['PUT', 'a', {}, 200, 1], ['PUT', 'new', {}, 201, 1], ['DELETE', 'a', {}, 200, 1], ['DELETE', 'a', {}, 404, 1],
    // What depends on the value that is there has to read it.
    ['PUT', 'b', { 'if-match': '*' }, 200, 2], ['PUT', 'c', { 'if-none-match': '*' }, 201, 2], ['DELETE', 'b', { 'if-match': '"x"' }, 412, 1],
  ] as const
  for (const [method, key, headers, status, calls] of requests) {
    await watch.taken()
    const { statusCode } = await gateway.app.inject({ method, url: `/sessions/${tkn}/keys/${key}`, headers, ...method === 'PUT' && { payload: { value: 1 } } })
    const sent = await watch.taken()
    t.strictSame([Math.floor(statusCode / 100), sent.length], [Math.floor(status / 100), calls], `${method} ${key}: ${statusCode}`)
  }
})

t.test('a renewal is not taken back when something was written in the same millisecond', needs(), async t => {
  const { gateway, watch } = await withMonitor(t)
  const { store } = gateway
  await store.create(ID, sessionOf({ idle: 1_000 }), START)
  const later = START + 5_000
  const failing: Access<unknown> = { reads: {}, mayWrite: false, touch: true, decide () { throw new Error('failed') } }
  // As another gateway's would be, the write is sent in between: what only reads does not wait for it.
  const other = await Promise.allSettled([store.access(ID, later, failing), store.access(ID, later, knownWrite({ writes: { k: 1 } }))])
  t.strictSame(other.map(({ status }) => status), ['rejected', 'fulfilled'])
  t.equal((await watch.taken()).filter(([, , , , operation]) => operation === 'u').length, 1, 'it was tried')
  t.equal((await store.find(ID, later))?.session.usedAt, later)
})

t.test('commands of one session that come together share their calls', needs(), async t => {
  const { gateway, watch } = await withMonitor(t)
  const batches: ReadonlyArray<readonly [CommandName, (n: number) => object, number]> = [
    ['KV_SETQ', n => ({ keys: { [`k${n}`]: n } }), 2],
    ['KV_SET', n => ({ keys: { a: n } }), 2],
    ['KV_RMV', n => ({ keys: [`k${n}`] }), 2],
    ['KV_ADD', n => ({ keys: { a: n, [`n${n}`]: n } }), 4],
    ['KV_APPEND', n => ({ keys: { text: `${n},` } }), 4],
    ['KV_MERGE', n => ({ keys: { object: { [n]: n } } }), 4],
    ['SH_TOUCH', () => ({ duration: 1_000 }), 4],
  ]
  const tkn = await sessionOn(gateway, 100)
  for (const [name, params, calls] of batches) {
    await watch.taken()
    await Promise.all(Array.from({ length: 100 }, async (_, n) => await gateway.run(name, { tkn, ...params(n) })))
    t.strictSame((await watch.taken()).map(([name]) => name), Array(calls).fill('evalsha'), `${name}: the first, and then all others`)
  }
  const { text, object } = (await gateway.run('KV_GET', { tkn, keys: ['text', 'object'] }))?.['keys']
  const numbers = Array.from({ length: 100 }, (_, n) => n)
  t.equal(text, `t${numbers.map(n => `${n},`).join('')}`)
  t.strictSame(object, Object.fromEntries([['a', 1], ...numbers.map(n => [n, n])]))
})

/** Calls accesses one right after the other, so that all but the first wait for it and then share a step. */
async function together (store: RemoteStore, accesses: ReadonlyArray<Access<unknown>>): Promise<unknown[]> {
  const [, ...answers] = await Promise.all([writing({}), ...accesses].map(async access => (await store.access(ID, START, access).catch((error: Error) => ({ reply: error.message })))?.reply))
  return answers
}

/** An access whose change is known beforehand; it answers the number of keys that it sees, and which of its keys are there. */
function knownWrite (change: { clear?: true, writes?: Record<string, number | null> }, has: readonly string[] = []): Access<unknown> {
  const writes = new Map(Object.entries(change.writes ?? {}).map(([key, value]) => [key, value === null ? null : json(value)]))
  return {
    reads: { has },
    mayWrite: true,
    touch: true,
    change: { ...change.clear === true && { clear: true }, writes },
    decide: view => ({ reply: [view.size, ...has.map(key => view.has(key))] }),
  }
}

/** An access that answers what it sees of some keys, and writes. */
function readAndWrite (get: readonly string[], change: { clear?: true, writes?: Record<string, number | null> } = {}): Access<unknown> {
  const { change: foreseen, ...rest } = knownWrite(change)
  return { ...rest, reads: { get }, decide: view => ({ ...foreseen, reply: [view.size, ...get.map(key => view.get(key))] }) }
}

t.test('accesses that share a step see what the ones before have done', needs(), async t => {
  const fresh = freshStores(t)
  const cases: Array<readonly [string, ReadonlyArray<Access<unknown>>, readonly unknown[], Record<string, number>]> = [
    ['known: written, then cleared and counted', [knownWrite({ writes: { old: 1 } }), knownWrite({ clear: true }), knownWrite({ writes: { b: 1 } })], [[2], [2], [0]], { b: 1 }],
    ['known: new, then cleared and counted', [knownWrite({ writes: { a: 1 } }), knownWrite({ clear: true }), knownWrite({ writes: { old: 1 } }, ['old', 'a'])], [[2], [3], [0, false, false]], { old: 1 }],
    ['known: removed, then cleared and counted', [knownWrite({ writes: { old: null, none: null } }), knownWrite({ clear: true, writes: { a: 1 } }), knownWrite({}, ['a', 'old'])], [[2], [1], [1, true, false]], { a: 1 }],
    ['known: written twice and removed', [knownWrite({ writes: { a: 1 } }, ['a']), knownWrite({ writes: { a: 2, old: null } }, ['a', 'old']), knownWrite({ writes: { a: null } }, ['a', 'old']), knownWrite({ writes: { old: 3 } }, ['old', 'a'])], [[2, false], [3, true, true], [2, true, false], [1, false, false]], { old: 3, other: 0 }],
    ['decided: values that were written, removed, cleared', [readAndWrite(['old'], { writes: { old: 5 } }), readAndWrite(['old', 'a'], { writes: { old: null, a: 1 } }), readAndWrite(['old', 'a'], { clear: true }), readAndWrite(['a', 'other'], { writes: { c: 1 } }), readAndWrite(['c', 'old'])],
      [[2, '0'], [2, '5', undefined], [2, undefined, '1'], [0, undefined, undefined], [1, '1', undefined]], { c: 1 }],
    ['decided and known mixed', [knownWrite({ writes: { a: 1 } }), readAndWrite(['a'], { writes: { b: 1 } }), knownWrite({ clear: true }), readAndWrite(['a', 'b', 'old'], { writes: { z: 1 } }), knownWrite({ writes: { z: null } }, ['z'])],
      [[2], [3, '1'], [4], [0, undefined, undefined, undefined], [1, true]], {}],
    ['decided: a key that nobody asked for', [readAndWrite([], { writes: { a: 1 } }), readAndWrite([], { writes: { old: 2 } }), readAndWrite(['a', 'old']), readAndWrite([], { writes: { old: null } }), readAndWrite([])],
      [[2], [3], [3, '1', '2'], [3], [2]], { a: 1, other: 0 }],
    ['one that fails among them', [readAndWrite(['a'], { writes: { a: 1 } }), { ...readAndWrite(['a']), decide () { throw new Error('refused') } }, readAndWrite(['a'])], [[2, undefined], 'refused', [3, '1']], { a: 1, old: 0, other: 0 }],
    ['all keys, and names, between writes', [readAndWrite([], { writes: { a: 1 } }), { ...writing({}), reads: { all: true }, decide: view => ({ reply: [...view.entries()].flat(), writes: new Map([['b', json(2)]]) }) },
      { ...writing({}), reads: { list: { prefix: '', after: 'a', limit: 2 }, has: ['a'] }, decide: view => ({ reply: [view.has('a'), ...view.names()] }) }, readAndWrite(['b'], { clear: true })],
    [[2], ['a', '1', 'old', '0', 'other', '0'], [true, 'b', 'old'], [4, '2']], {}],
  ]
  for (const [name, accesses, replies, left] of cases) {
    const store = await fresh()
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, { old: json(0), other: json(0) })
    t.strictSame(await together(store, accesses), replies, name)
    t.strictSame(await dump(store, ID, START), Object.entries(left).map(([key, value]) => [key, json(value)]), name)
    await store.close()
  }
})

t.test('accesses that share a step are at one moment, and as many as a step takes', needs(), async t => {
  const { host, port } = await startServer(t)
  const store = await openStore(t, `valkey://${host}:${port}`)
  await store.create(ID, sessionOf({ idle: 10, deleteSession: false }), START)
  const later = [0, 50, 20, 151, 9_999, 19_998, 30_000].map(async (ms, n) => (await store.access(ID, START + ms, readAndWrite(['n'], { writes: { n } })))?.reply)
  t.strictSame(await Promise.all(later), [[0, undefined], [1, '0'], [1, '1'], [1, '2'], [1, '3'], [1, '4'], [0, undefined]], 'the last one comes when the session is over')
  t.match(await store.find(ID, START + 30_000), { session: { usedAt: START + 30_000 }, size: 1 })
  const many = await Promise.all(Array.from({ length: 250 }, async (_, n) => (await store.access(ID, START + 30_000, knownWrite({ writes: { [`k${n}`]: n } })))?.reply))
  t.strictSame(many, Array.from({ length: 250 }, (_, n) => [n + 1]))
  await store.remove(ID, START + 30_000)
  const none = [knownWrite({}), knownWrite({}), readAndWrite([]), readAndWrite([])].map(async access => await store.access(ID, START + 30_000, access))
  t.strictSame(await Promise.all(none), [undefined, undefined, undefined, undefined])
})

t.test('a step is of no more keys than the engine does quickly', async t => {
  const waiting = (access: Access<unknown>) => ({ access, now: START, untilMs: Infinity, resolve () {}, reject () {} })
  const names = Array.from({ length: 4_000 }, (_, n) => `k${n}`)
  const [few, some] = [waiting(knownWrite({ writes: { a: 1 } }, ['a'])), waiting({ ...knownWrite({}, names) })]
  const many = waiting({ ...knownWrite({}), reads: { get: new Set([...names, ...names.map(name => `${name}+`), ...names.map(name => `${name}-`)]) } })
  t.equal(batchLength(Array(200).fill(few)), 100)
  t.equal(batchLength([few, some, some, few, some, few]), 4)
  t.equal(batchLength([some, many, few]), 1)
  t.equal(batchLength([many, few]), 1, 'one alone may have more')
  t.equal(batchLength([few, waiting({ ...knownWrite({}), reads: { all: true } }), few]), 1)
})

t.test('a session that is over when several share a step', needs(), async t => {
  const fresh = freshStores(t)
  for (const deleteSession of [true, false]) {
    for (const access of [knownWrite({ writes: { a: 1 } }, ['a', 'old']), readAndWrite(['old'], { writes: { a: 1 } })]) {
      const store = await fresh()
      await store.create(ID, sessionOf({ duration: 10, deleteSession }), START)
      await set(store, ID, START, { old: json(1) })
      const answers = await Promise.all([access, access, access].map(async access => await store.access(ID, START + 10_000, access)))
      if (deleteSession) t.strictSame(answers, [undefined, undefined, undefined])
      else t.strictSame(answers.map(answer => (answer?.reply as unknown[])[0]), [0, 1, 1])
      t.strictSame(await dump(store, ID, START + 10_000), deleteSession ? undefined : [['a', '1']])
      await store.close()
    }
  }
})

t.test('much at once: 100,000 keys, values of some MiB, names that only look alike', needs(), async t => {
  const { host, port } = await startServer(t)
  const store = await openStore(t, `valkey://${host}:${port}`)
  await store.create(ID, sessionOf({ deleteSession: false, duration: 100 }), START)
  const many = new Map(Array.from({ length: 100_000 }, (_, n) => [`key${n}`, json(n)]))
  const all: Access<number> = { reads: { has: new Set(many.keys()) }, mayWrite: true, touch: true, change: { writes: many }, decide: view => ({ reply: [...many.keys()].filter(key => view.has(key)).length }) }
  t.strictSame(await store.access(ID, START, all), { reply: 0 })
  t.strictSame(await store.access(ID, START, all), { reply: 100_000 })
  t.strictSame(await store.access(ID, START, reading({ get: new Set(many.keys()) }, view => [...many].every(([key, value]) => view.get(key) === value))), { reply: true })
  t.equal((await store.access(ID, START, reading({ list: { prefix: 'key9', after: undefined, limit: Infinity } }, view => view.names())))?.reply.length, 11_111)
  t.equal((await dump(store, ID, START))?.length, 100_000)
  const none = new Map([...many.keys()].map(key => [key, null]))
  t.strictSame(await store.access(ID, START, { ...all, change: { writes: none } }), { reply: 100_000 })
  t.strictSame(await store.find(ID, START), { session: sessionOf({ deleteSession: false, duration: 100 }), size: 0 })

  const big = json('ü'.repeat(2 ** 22))
  const odd = new Map<string, JsonText>([['big', big], ['\ufffd', json(1)], ['\u00ff', json(2)], ['\u00fft', json(3)], ['\ufffdt', json(4)], ['', json(5)]])
  await set(store, ID, START, odd)
  const asked = ['big', '\ufffd', '\ud800', '\ud800t', '\u00ff', '\u00fft', '\ufffdt', '', 'k'.repeat(1025)]
  const look = reading({ get: asked }, view => asked.map(key => [view.has(key), view.get(key)]))
  const expected = asked.map(key => [odd.has(key), odd.get(key)])
  t.strictSame(await store.access(ID, START, look), { reply: expected })
  t.strictSame(await store.access(ID, START, { ...look, mayWrite: true }), { reply: expected }, 'also where it is read before')
  const names = (prefix: string) => reading({ list: { prefix, after: undefined, limit: Infinity } }, view => view.names())
  t.strictSame(await store.access(ID, START, names('\ufffd')), { reply: ['\ufffd', '\ufffdt'] })
  t.strictSame(await store.access(ID, START, names('\ud800')), { reply: [] })
  t.strictSame(await store.access(ID, START, names('\u00ff')), { reply: ['\u00ff', '\u00fft'] })
})

t.test('reads of one session that wait share a step, and none that failed counts as its use', needs(), async t => {
  const server = await startServer(t)
  const store = await openStore(t, `valkey://${server.host}:${server.port}`)
  await store.create(ID, sessionOf({ idle: 100 }), START)
  await set(store, ID, START, { a: json(1), b: json(2) })
  const usedAt = async () => (await store.find(ID, START + 1))?.session.usedAt
  const fault = new Error('of our own')
  const failing: Access<never> = { ...reading({ get: ['a'] }, () => { throw fault }), touch: true }
  for (const count of [1, 3]) {
    const failed = await Promise.allSettled(Array.from({ length: count }, () => store.access(ID, START + 1, failing)))
    for (const result of failed) t.equal(result.status === 'rejected' && result.reason, fault)
    t.equal(await usedAt(), START, 'the idle deadline stays')
  }
  await server.command('config', 'resetstat')
  const keys = Array.from({ length: 60 }, (_, n) => n % 2 === 0 ? 'a' : 'b')
  const [answers, failed] = await Promise.all([
    Promise.all(keys.map(async key => await store.access(ID, START + 1, reading({ get: [key] }, view => view.get(key), true)))),
    Promise.allSettled([store.access(ID, START + 1, failing)]),
  ])
  t.strictSame(answers.map(answer => answer?.reply), keys.map(key => key === 'a' ? '1' : '2'))
  t.equal(failed[0].status, 'rejected')
  t.match(await server.command('info', 'commandstats'), /cmdstat_evalsha:calls=[123],/)
  t.equal(await usedAt(), START + 1, 'the others were')
})
