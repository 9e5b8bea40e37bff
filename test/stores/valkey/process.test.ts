// The program on a real server of Valkey or Redis, as an operator meets both.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { MAIN, uncountedNode } from '../../crash/server.js'
import { command, start, startCounted } from '../../process/processes.js'
import { claimPort } from './ports.js'
import { needs, startServer, until } from './servers.js'

const PASSWORD = 'hunter2/&'

t.test('down at the start, there, killed in use, back: no request hangs, and nobody has to help', needs(), async t => {
  const port = await claimPort()
  const away = await startServer(t, { password: PASSWORD })
  await away.kill()
  const env = { HOLDFAST_STORE: `valkey://:${encodeURIComponent(PASSWORD)}@${away.host}:${away.port}/1` }
  const server = startCounted(t, ['--port', `${port}`, '--store-deadline', '2000'], { env })
  const url = `http://127.0.0.1:${port}`
  await server.printed('stderr', /waiting for the data on valkey at 127\.0\.0\.1:\d+\/1: 127\.0\.0\.1:\d+: connection refused/)
  await until('it listens', async () => await fetch(`${url}/ready`).then(({ status }) => status === 503, () => false))

  await away.restart()
  t.equal(await server.ready(), url)
  t.equal((await fetch(`${url}/ready`)).status, 200)
  const { tkn } = await command(url, 'SH_NEW', { name: 'log-in', shared: true })
  t.strictSame(await command(url, 'KV_SET', { tkn, keys: { a: 1 } }), { tkn, keys: { a: 20 } })
  const set = async () => await fetch(`${url}/sessions/${tkn}/keys`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"keys":{"a":2}}' })

  await away.kill()
  const refused = await Promise.all(Array.from({ length: 20 }, set))
  for (const reply of refused) {
    t.strictSame([reply.status, reply.headers.get('retry-after')], [503, '1'])
    t.match(await reply.json(), { title: 'StoreUnavailable', st: 201, detail: /nothing was changed|is not known/ })
  }
  t.equal((await fetch(`${url}/ready`)).status, 503)
  t.equal((await fetch(`${url}/server`)).status, 200, 'what needs no store goes on')

  // Nothing of it is on a disk.
  await away.restart()
  await until('it is used again', async () => (await set()).status === 404)
  t.equal((await fetch(`${url}/ready`)).status, 200)
  t.strictSame(await command(url, 'SH_NEW', { name: 'log-in', shared: true }), { st: 1, name: 'log-in', tkn }, 'with the secret that it knows')
  await server.printed('stderr', /the secret of shared sessions was missing in the store, and was put back/)
  const { code, stderr } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.notMatch(stderr, /hunter2/)
  t.notMatch(stderr, tkn as string)
})

t.test('it does not come in time: one line, and 1', needs(), async t => {
  const port = await claimPort()
  const { code, stdout, stderr } = await start(t, ['--port', '0', '--store', `redis://u:hunter2@127.0.0.1:${port}`, '--store-timeout', '3', '--log-level', 'silent']).exited
  t.strictSame([code, stdout], [1, ''])
  t.equal(stderr, `holdfast: cannot open the data on valkey at 127.0.0.1:${port}/0: 127.0.0.1:${port}: connection refused, after 3 s\n`)
})

t.test('workers on one machine and servers on several share their sessions', needs(), async t => {
  const { host, port } = await startServer(t)
  const args = ['--port', '0', '--store', `valkey://${host}:${port}`]
  const cwd = t.testdir()
  const started = [start(t, [...args, '--workers', '2'], { cwd }), start(t, args, { cwd })]
  const servers = await Promise.all(started.map(async server => await server.ready()))
  const made = await Promise.all(Array.from({ length: 10 }, async (_, n) => await command(servers[n % 2]!, 'SH_NEW', { name: 'settings', shared: true })))
  const tkns = new Set(made.map(({ tkn }) => tkn))
  t.equal(tkns.size, 1)
  const [tkn] = tkns
  const added = await Promise.all(Array.from({ length: 30 }, async (_, n) => await command(servers[n % 2]!, 'KV_ADD', { tkn, keys: { lock: n } })))
  t.equal(added.filter(({ keys }) => (keys as Record<string, number>).lock === 20).length, 1)
  t.strictSame(await command(servers[1]!, 'SH_INFO_ALL', {}), { totalSessions: 1, totalKeys: 1 })
})

t.test('export and import take sessions from one kind of store to another', needs(), async t => {
  const { host, port, command: engine } = await startServer(t)
  const store = `valkey://${host}:${port}`
  const server = start(t, ['--port', '0', '--store', store])
  const url = await server.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  await fetch(`${url}/sessions/${tkn}/keys`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"keys":{"n":18446744073709551615,"r":1.10}}' })
  const run = (...args: string[]) => spawnSync(...uncountedNode(MAIN, ...args), { cwd: server.cwd, encoding: 'utf8' })
  const exported = run('export', 'out.ndjson', '--store', store)
  t.strictSame([exported.status, exported.stdout], [0, ''], exported.stderr)
  t.equal(run('import', 'out.ndjson', '--store', 'lmdb:./data').status, 0)
  t.equal(run('export', 'back.ndjson', '--store', 'lmdb:./data').status, 0)
  await engine('flushall')
  t.equal(run('import', 'back.ndjson', '--store', store).status, 0)
  t.equal(await (await fetch(`${url}/sessions/${tkn}/keys?key=n&key=r`)).text(), `{"tkn":"${tkn}","keys":{"n":18446744073709551615,"r":1.10}}`)
  for (const args of [['backup', 'copy'], ['inspect']]) {
    const { status, stderr } = run(...args, '--store', store)
    t.equal(status, 2)
    t.match(stderr, /valkey-cli|redis-cli/)
  }
})
