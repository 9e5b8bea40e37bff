import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { start, startCounted, type Started } from './processes.js'

/** Makes a key by the program itself. */
async function keygen (t: Test, cwd: string, ...args: string[]): Promise<{ key: string, line: string }> {
  const { code, stdout, stderr } = await start(t, ['keygen', ...args], { cwd }).exited
  const [key = '', line = '', rest] = stdout.split('\n')
  t.strictSame([code, stderr, rest], [0, '', ''])
  return { key, line }
}

async function statusOf (url: string, key: string | undefined, path = '/server'): Promise<number> {
  const response = await fetch(url + path, { headers: { connection: 'close', ...key !== undefined && { authorization: `Bearer ${key}` } } })
  await response.arrayBuffer()
  return response.status
}

/** Waits until as many requests in a row as there could be workers have a status. */
async function settles (url: string, key: string, status: number): Promise<void> {
  for (let count = 0; count < 6; await sleep(20)) count = await statusOf(url, key) === status ? count + 1 : 0
}

const readiness = async (url: string): Promise<unknown> => await (await fetch(`${url}/ready`)).json()

async function stopsWell (t: Test, server: Started): Promise<string> {
  const { code, stderr } = await server.stop('SIGTERM')
  t.equal(code, 0)
  return stderr
}

t.test('keys of a file: taken on upon SIGHUP and by themselves, which stops no server', async t => {
  const cwd = t.testdir()
  const path = join(cwd, 'keys')
  const [first, second] = [await keygen(t, cwd, 'first', '--role', 'admin'), await keygen(t, cwd, 'second', '--role', 'client', '--prefix', 'shop:')]
  t.match(second.line, /^second client [0-9a-f]{64} prefix=shop:$/)
  writeFileSync(path, first.line)
  const server = startCounted(t, ['--port', '0', '--store', 'memory:', '--api-keys-file', path, '--log-level', 'info'], { cwd })
  const url = await server.ready()
  t.strictSame([await statusOf(url, undefined), await statusOf(url, second.key), await statusOf(url, first.key)], [401, 401, 200])
  t.strictSame(await readiness(url), { ready: true })

  writeFileSync(path, `${first.line}\n${second.line}\n`)
  server.child.kill('SIGHUP')
  await settles(url, second.key, 200)
  writeFileSync(path, `${second.line}\n${first.key}`)
  await server.printed('stderr', /line 2: a line is NAME ROLE/)
  t.strictSame(await readiness(url), { ready: true, warnings: ['The file of API keys cannot be used, and the keys that it had before still count: line 2: a line is NAME ROLE SHA256 [prefix=TEXT]'] })
  t.equal(await statusOf(url, first.key), 200)
  writeFileSync(path, second.line)
  await settles(url, first.key, 401)
  t.strictSame([await statusOf(url, second.key), await readiness(url)], [200, { ready: true }])
  const log = await stopsWell(t, server)
  for (const { key } of [first, second]) t.notMatch(log, key)
})

t.test('keys of a file with workers', async t => {
  const cwd = t.testdir()
  const path = join(cwd, 'keys')
  const [first, second] = [await keygen(t, cwd, 'first', '--role', 'read'), await keygen(t, cwd, 'second', '--role', 'read')]
  writeFileSync(path, first.line)
  const server = startCounted(t, ['--port', '0', '--workers', '2', '--api-keys-file', path], { cwd })
  const url = await server.ready()
  t.strictSame([await statusOf(url, second.key), await statusOf(url, first.key)], [401, 200])
  writeFileSync(path, second.line)
  server.child.kill('SIGHUP')
  await settles(url, second.key, 200)
  await settles(url, first.key, 401)
  t.equal(await stopsWell(t, server), '')
})

t.test('a file that cannot be used stops the start', async t => {
  const cwd = t.testdir()
  const path = join(cwd, 'keys')
  writeFileSync(path, 'x')
  for (const workers of ['1', '2']) {
    const { code, stderr } = await start(t, ['--port', '0', '--workers', workers, '--api-keys-file', path], { cwd }).exited
    t.strictSame([code, stderr], [1, `holdfast: cannot use the API keys in ${path}: line 1: a line is NAME ROLE SHA256 [prefix=TEXT]\n`])
  }
  const { code, stderr } = await start(t, ['--port', '0', '--store', 'memory:', '--api-keys-file', `${path}.not`], { cwd }).exited
  t.strictSame([code, stderr], [1, `holdfast: cannot use the API keys in ${path}.not: no such file or directory\n`])
})

t.test('without keys: everything on loopback, and elsewhere only what is said at the start', async t => {
  const here = start(t, ['--port', '0', '--store', 'memory:', '--allow-anonymous'])
  t.equal(await statusOf(await here.ready(), undefined, '/sessions'), 200)
  t.equal(await stopsWell(t, here), '')

  const refused = await start(t, ['--port', '0', '--host', '0.0.0.0', '--store', 'memory:']).exited
  t.match(refused, { code: 2, stdout: '', stderr: /--host: without API keys the server listens on loopback only/ })

  for (const more of [['--store', 'memory:'], ['--workers', '2']]) {
    const server = startCounted(t, ['--port', '0', '--host', '0.0.0.0', '--allow-anonymous', ...more])
    const url = (await server.ready()).replace('0.0.0.0', '127.0.0.1')
    t.strictSame([await statusOf(url, undefined), await statusOf(url, undefined, '/sessions')], [200, 403])
    await stopsWell(t, server)
    t.strictSame(server.log().map(({ msg }) => msg), ['without API keys whoever reaches 0.0.0.0 can make sessions, and read, change and end those whose token or name is known; SH_INFO_ALL and SH_END_ALL are forbidden there'])
  }
})
