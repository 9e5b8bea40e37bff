// Servers that refuse: passwords, certificates, the wrong kind of server, and data that somebody else has written.
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { dispatch } from '../../../src/dispatch.js'
import { exportSessions } from '../../../src/data/export.js'
import { createGateway, sessionId } from '../../../src/protocol/gateway.js'
import { valkeyStore } from '../../../src/stores/valkey/store.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import { parseValkeyUrl } from '../../../src/stores/valkey/url.js'
import { dump, idOf, json, reading, sessionOf, set, START } from '../../store-suite.js'
import { makeCertificates, type Certificates } from './certificates.js'
import { startFakeNode } from './fake-node.js'
import { increment, make, outcome, put, refusedOutcome, TIMEOUT_S, watch, watchOpened, type Watched } from './load.js'
import { needs, startServer, until, type Server } from './servers.js'
import { ADMIN } from '../../callers.js'

const [ONE, TWO, THREE] = [idOf(1), idOf(2), idOf(3)] as const

/** The end of what is said of a store that could not be opened. */
const LATE = `, after ${TIMEOUT_S} s`

/** Opens a store that cannot be opened, and answers why. @param secrets that nothing may repeat */
async function refusal (t: Test, url: string, secrets: readonly string[] = []): Promise<string> {
  const { store, told, reports } = watch(t, url, { openTimeoutS: TIMEOUT_S })
  const answer = await outcome(store.create(ONE, sessionOf(), START))
  t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  const error: unknown = await store.opened!.then(() => 'it was opened', (error: unknown) => error)
  const cause = await store.find(ONE, START).catch((error: unknown) => error)
  const said = JSON.stringify([told, reports, answer, String(error), error, String(cause), (cause as Error).stack, String((cause as Error).cause), (cause as Error).cause])
  for (const secret of secrets) t.notOk(said.includes(secret), 'no secret is repeated')
  t.notMatch(said, /"?auth"?,/i)
  return (error as Error).message
}

/** Fails unless a store cannot be opened for this reason. Several can be tried at once: each takes its time. */
async function refused (t: Test, url: string, secrets: readonly string[], reason: string | RegExp): Promise<void> {
  t.match(await refusal(t, url, secrets), reason)
}

t.test('a server that needs a password', needs(), async t => {
  const password = 'pa:ss@w/ö?rd#%'
  const server = await startServer(t, { password })
  const at = `127.0.0.1:${server.port}`
  await server.command('acl', 'setuser', 'gate', 'on', '>other€', '~*', '+@all')
  await server.command('acl', 'setuser', 'poor', 'on', '>poor-one', '~*', '+info', '+auth', '+time')

  await Promise.all([
    refused(t, `valkey://${at}`, [], `${at}: NOAUTH Authentication required.${LATE}`),
    refused(t, `valkey://:wrong-one@${at}`, ['wrong-one'], `${at}: WRONGPASS`),
    refused(t, `valkey://gate:${encodeURIComponent(password)}@${at}/3`, [password], `${at}: WRONGPASS`),
    refused(t, `valkey://nobody:other@${at}`, ['other'], `${at}: WRONGPASS`),
  ])

  for (const credentials of [`:${encodeURIComponent(password)}`, `default:${encodeURIComponent(password)}`, `gate:${encodeURIComponent('other€')}`]) {
    const watched = await watchOpened(t, `valkey://${credentials}@${at}/3`)
    await make(watched.store, [ONE])
    watched.told.length = 0
    await server.restart()
    await server.command('acl', 'setuser', 'gate', 'on', '>other€', '~*', '+@all')
    await server.command('acl', 'setuser', 'poor', 'on', '>poor-one', '~*', '+info', '+auth', '+time')
    await until('it is back', async () => watched.told.at(-1) === undefined && watched.told.length > 0)
    t.equal(await watched.store.find(ONE, START), undefined)
    t.notMatch(JSON.stringify([watched.told, watched.reports]), /other€|w\/ö/)
  }
  const poor = await watchOpened(t, `valkey://poor:poor-one@${at}`)
  t.match(await outcome(poor.store.create(ONE, sessionOf(), START)), /^StoreUnavailable: .*the log says why: nothing was changed/)
  t.match(poor.reports, [/NOPERM/])
  t.equal(poor.reports.length, 1)
  t.notMatch(JSON.stringify(poor.reports), /poor-one/)
})

t.test('a server that does not know a command repeats its arguments: they are not told', needs(), async t => {
  const server = await startServer(t, { args: ['--rename-command', 'AUTH', ''] })
  const at = `127.0.0.1:${server.port}`
  t.match(await refusal(t, `valkey://holdfast:s3cretPW@${at}`, ['s3cretPW']), /ERR unknown command .?auth[^,]*, after/i)
})

t.test('a server that needs no password is given one', needs(), async t => {
  const { port } = await startServer(t)
  t.match(await refusal(t, `valkey://:secret-one@127.0.0.1:${port}`, ['secret-one']), /ERR AUTH <password> called without any password configured/)
})

t.test('a server that speaks TLS', needs(), async t => {
  const other = await makeCertificates(t)
  await t.test('with certificates of its own', async t => await secured(t, other))
})

/** @param other certificates of an authority that nobody trusts */
async function secured (t: Test, other: Certificates): Promise<void> {
  const tls = await makeCertificates(t)
  const { authority, client } = tls
  const { port } = await startServer(t, { tls, password: 'secret-one' })
  const url = (query: Record<string, string>, scheme = 'valkeys') => `${scheme}://:secret-one@localhost:${port}${scheme === 'valkeys' ? `?${new URLSearchParams(query).toString()}` : ''}`
  const pair = { cert: client.certificate, key: client.key }
  const { store } = await watchOpened(t, url({ ca: authority, ...pair }))
  await make(store, [ONE])
  t.strictSame(await store.access(ONE, START, increment), { reply: 1 })

  const secrets = ['secret-one']
  const plain = await startServer(t)
  const isUntrusted = new RegExp(`^localhost:\\d+: self-signed certificate in certificate chain${LATE}$`)
  // Whether the server's reason comes through before its end is a matter of luck.
  const isRefused = (alert: string) => new RegExp(`^localhost:\\d+: (?:TLS: [\\w ]*alert ${alert}|connection reset by peer|broken pipe|the connection was lost)${LATE}$`)
  await Promise.all([
    refused(t, url({ ca: other.authority, ...pair }), secrets, isUntrusted),
    refused(t, url(pair), secrets, isUntrusted),
    refused(t, url({ ca: authority }), secrets, isRefused('certificate required')),
    refused(t, url({ ca: authority, cert: other.client.certificate, key: other.client.key }), secrets, isRefused('unknown ca')),
    refused(t, url({}, 'valkey'), secrets, new RegExp(`^localhost:\\d+: .*${LATE}$`)),
    refused(t, `valkeys://127.0.0.1:${plain.port}?ca=${authority}`, [], new RegExp(`^127\\.0\\.0\\.1:\\d+: .*${LATE}$`)),
  ])
}

t.test('a server of another kind', needs(), async t => {
  const single = await startServer(t)
  const node = await startServer(t, { args: ['--cluster-enabled', 'yes'] })
  const at = ({ port }: Server): string => `127.0.0.1:${port}`
  const reasons: Record<string, string> = {
    [`valkey://${at(single)}?cluster=true`]: `${at(single)}: it is not a node of a cluster: leave out ?cluster=true`,
    [`valkey://${at(node)}`]: `${at(node)}: it is a node of a cluster: add ?cluster=true`,
    [`valkey://${at(node)}?cluster=true`]: 'no node of the cluster knows of any slots',
    [`valkey://${at(single)}/99`]: `${at(single)}: ERR DB index is out of range`,
  }
  await Promise.all(Object.entries(reasons).map(async ([url, reason]) => t.equal(await refusal(t, url), `${reason}${LATE}`)))
  await node.command('acl', 'setuser', 'poor', 'on', '>poor-one', '~*', '+info', '+time')
  const { store, reports } = watch(t, `valkey://poor:poor-one@${at(node)}?cluster=true`, { openTimeoutS: TIMEOUT_S })
  await t.rejects(store.opened!)
  t.match(reports, [/^a node of the cluster did not say who has what: NOPERM /])
  t.equal(reports.length, 1, 'once')
})

t.test('sessions that somebody else has written to: they are damaged, and others are not', needs(), async t => {
  const server = await startServer(t)
  const { store } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  const key = (n: number) => `holdfast:{${idOf(n)}}`
  const field = (letter: string) => Buffer.from([0xff, letter.charCodeAt(0)])
  const damage: ReadonlyArray<readonly [what: string, ...commands: ReadonlyArray<ReadonlyArray<string | Buffer>>]> = [
    ['a string', ['set', key(10), 'x']],
    ['a list', ['rpush', key(11), 'x']],
    ['times that are garbage', ['hset', key(12), field('t'), 'garbage']],
    ['times of which the end is garbage', ['hset', key(13), field('t'), '0 5 0 1 0 x y']],
    ['no name', ['hset', key(14), field('t'), '0 0 0 1 0 1700000000000 1700000000000']],
    ['times that are due, and garbage', ['hset', key(15), field('t'), '1 garbage', field('n'), 'x']],
  ]
  await make(store, [ONE, TWO])
  await store.create(THREE, sessionOf({ duration: 1 }), START)
  await set(store, ONE, START, { a: json(1) })
  for (const [index, [what, ...commands]] of damage.entries()) {
    for (const [name = '', ...args] of commands) await server.command(name, ...args)
    const id = idOf(10 + index)
    await t.test(what, async t => {
      for (const access of [increment, put(1), reading({ all: true }, view => view.size, true)]) t.match(await outcome(store.access(id, START, access as typeof increment)), /^DataDamaged/)
      t.match(await outcome(store.find(id, START)), /^DataDamaged/)
      t.match(await outcome(store.create(id, sessionOf(), START)), /^DataDamaged/)
    })
  }
  t.strictSame(await dump(store, ONE, START), [['a', '1']])
  t.match(await outcome(store.totals(START)), { sessions: 3, keys: 1 })
  await until('a sweep meets the one that is due', async () => await store.sweep(START + 5_000, 10) > 0)
  t.match(await outcome(store.totals(START + 5_000)), { sessions: 2, keys: 1 })
  t.match(await outcome(store.clear(START)), 2)
  t.equal(await server.command('dbsize'), 0, 'what is damaged can be ended')
})

t.test('a server that is too old', async t => {
  for (const [version, expected] of [['5.0.14', 'it is version 5.0.14, and 6.0 is the oldest that will do, after 0.5 s'], ['6.0.0', 'it was opened']] as const) {
    const { host, port } = await startFakeNode(t, ({ name }) => name === 'info' ? `# Server\r\nredis_version:${version}\r\nredis_mode:standalone\r\nloading:0\r\nrole:master\r\n` : undefined)
    const { store } = watch(t, `valkey://${host}:${port}`, { openTimeoutS: 0.5 })
    const answer: unknown = await store.opened!.then(() => 'it was opened', (error: Error) => error.message.replace(`${host}:${port}: `, ''))
    t.equal(answer, expected)
  }
})

/** Has a script of somebody else keep the server busy. */
async function keepBusy (server: Server): Promise<{ end (): Promise<unknown> }> {
  await server.command('config', 'set', 'lua-time-limit', 50)
  const client = await server.connect()
  const busy = client.send('eval', 'while true do end', 0).catch((error: unknown) => error)
  await until('it is busy', async () => String(await server.command('ping').catch((error: unknown) => error)).includes('BUSY'))
  return { async end () { await server.command('script', 'kill'); return await busy } }
}

t.test('a server that is busy with a script of somebody else', needs(), async t => {
  const server = await startServer(t)
  const watched: Watched = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  const { store } = watched
  await make(store, [ONE])
  const busy = await keepBusy(server)
  const attempts = [async () => await store.access(ONE, START, increment), async () => await store.access(ONE, START, put(1)), async () => await store.find(ONE, START)]
  for (const answer of await Promise.all(attempts.map(refusedOutcome))) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  const late = store.access(ONE, START, increment)
  await sleep(100)
  await busy.end()
  t.strictSame(await outcome(late), { reply: 1 }, 'it is done as soon as it can be')
  const again = await keepBusy(server)
  const fresh = watch(t, `valkey://127.0.0.1:${server.port}`)
  await until('it is known', async () => fresh.told.length > 0)
  t.match(fresh.told, [/BUSY/])
  await again.end()
  await t.resolves(fresh.store.opened!)
})

t.test('a server that is loading its data', needs(), async t => {
  const server = await startServer(t, { args: ['--key-load-delay', '5000', '--loading-process-events-interval-bytes', '1024'] })
  const { store, told } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  await make(store, Array.from({ length: 300 }, (_, n) => idOf(n)))
  // While it loads a snapshot it answers every 1024 bytes, as told; with an append-only file only every 1024 commands.
  await server.command('save')
  told.length = 0
  const restarted = server.restart()
  await until('it is known', async () => told.some(reason => reason?.includes('it is loading its data')))
  for (const answer of await Promise.all([store.access(ONE, START, increment), store.find(ONE, START)].map(outcome))) t.match(answer, /^StoreUnavailable: .*nothing was changed/)
  await restarted
  await until('it can be used', async () => told.at(-1) === undefined)
  t.strictSame(await outcome(store.access(ONE, START, increment)), { reply: 1 })
})

t.test('what the engine refuses for a while is answered in time, and the log says why', needs(), async t => {
  const server = await startServer(t, { args: ['--min-replicas-to-write', '1'] })
  const { store, told, reports } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  t.match(await refusedOutcome(async () => await store.create(ONE, sessionOf(), START)), /^StoreUnavailable: .*the log says why: nothing was changed/)
  t.match(reports, [/^NOREPLICAS /])
  t.equal(reports.length, 1)
  t.equal(told.at(-1), undefined, 'it can be read')
  await server.command('config', 'set', 'min-replicas-to-write', '0')
  t.ok(await store.create(ONE, sessionOf(), START))
  const patient = await watchOpened(t, `valkey://127.0.0.1:${server.port}`, { waitReplicas: 1 })
  t.match(await refusedOutcome(async () => await patient.store.access(ONE, START, put(1))), /^StoreUnavailable: The change was made, but of 1 replicas that must have it only 0 answered in time/)
  t.match(patient.reports, [/of 1 replicas that must have a change only 0 answered in time/])
  t.equal(patient.reports.length, 1)
})

t.test('a password that is set later is named as the reason', needs(), async t => {
  const server = await startServer(t)
  const { told } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  const operator = await server.connect()
  await operator.send('config', 'set', 'requirepass', 'hunter2')
  await operator.send('client', 'kill', 'type', 'normal')
  operator.close()
  await until('it is known', async () => told.some(reason => reason?.includes('NOAUTH')))
  t.notMatch(told.join(), 'hunter2')
})

t.test('a secret that is none', needs(), async t => {
  const server = await startServer(t)
  await server.command('set', 'holdfast:secret', 'foo')
  const { store, reports } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  t.match(await outcome(store.secret(() => Buffer.alloc(32))), /^DataDamaged: /)
  t.match(reports, [/^holdfast:secret is not a secret as Holdfast makes it$/])
  t.equal(reports.length, 1)
  await server.command('del', 'holdfast:secret')
  await store.secret(() => Buffer.alloc(32, 1))
  await server.command('set', 'holdfast:secret', Buffer.alloc(32, 2).toString('base64url'))
  for (let sweeps = 0; sweeps < 2; sweeps++) await store.sweep(START, 1)
  t.match(reports.slice(1), [/^the secret of shared sessions in the store is another one by now: restart this server/])
  t.equal(reports.length, 2, 'once')
})

t.test('files of certificates that are none', async t => {
  const directory = t.testdir({ 'no.pem': 'x' })
  t.throws(() => valkeyStore(parseValkeyUrl(`valkeys://h?ca=${directory}/no.pem`)), { message: `ca=${directory}/no.pem: not a PEM file` })
  t.throws(() => valkeyStore(parseValkeyUrl(`valkeys://h?cluster=true&ca=${directory}/gone`)), { message: `ca=${directory}/gone: no such file or directory` })
  t.throws(() => valkeyStore(parseValkeyUrl(`valkeys://h?cert=${directory}/gone&key=${directory}/no.pem`)), { message: `cert=${directory}/gone: no such file or directory` })
})

t.test('a value that somebody else has made no JSON is damaged, and shown to nobody', needs(), async t => {
  const server = await startServer(t)
  const { store } = await watchOpened(t, `valkey://127.0.0.1:${server.port}`)
  const gateway = await createGateway(store)
  const tkn = 'token'
  await store.create(sessionId(tkn), sessionOf(), gateway.now())
  await server.command('hset', keysOf('holdfast', sessionId(tkn))[0], 'card', '{"card":"SECRET", broken')
  for (const [name, params] of [['KV_FIND', { path: '$..id', rsp: 'kv' }], ['KV_APPEND', { keys: new Map([['card', '{}']]) }]] as const) {
    const given = new Map<string, unknown>([['tkn', tkn], ...Object.entries(params)])
    const failure = await dispatch(gateway, { command: name, caller: ADMIN, given, report: t.threw })
    t.match(failure, { status: 'DataDamaged', detail: /^((?!SECRET).)*$/ }, name)
  }
  const output = new PassThrough().resume()
  await t.rejects(exportSessions(store, gateway.now(), output), { message: `session ${sessionId(tkn)}: the value of key "card" is not JSON` })
})
