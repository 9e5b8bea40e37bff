// The process as an operator meets it: every test starts the real main.ts, and waits for what it prints.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { request, type ClientRequest } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { sweepRegularly } from '../src/cli.js'
import { VERSION } from '../src/version.js'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')))

interface Exit { readonly code: number | null, readonly signal: string | null, readonly stdout: string, readonly stderr: string }

/**
 * Starts main.ts in a directory of its own, as tap starts this file: its loaders are in execArgv, and what counts the
 * lines that were run is in the environment (and writes what it counted at the exit, so a SIGKILL counts nothing).
 */
function start (t: Test, args: string[], env: NodeJS.ProcessEnv = {}, cwd = t.testdir(), preload: string[] = []) {
  const argv = [...process.execArgv, ...preload, MAIN, ...args]
  const child = spawn(process.execPath, argv, { cwd, env: { ...ENV, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', text => { output.stdout += text })
  child.stderr.setEncoding('utf8').on('data', text => { output.stderr += text })
  const exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal, ...output }))

  /** Waits until the process has printed something; throws when it ends without. */
  async function printed (stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(output[stream])
      if (match !== null) return match
      const exit = await Promise.race([exited, once(child[stream], 'data')])
      if (!Array.isArray(exit)) throw new Error(`ended before it printed ${pattern}: ${JSON.stringify(exit)}`)
    }
  }
  const ready = async () => (await printed('stdout', / listening on (http:\S+), data .*\n/))[1]!
  const stop = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return await exited
  }
  return { child, cwd, exited, printed, ready, stop }
}

/** Sends one envelope, and gives the content of the reply. */
async function command (url: string, name: string, params: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/command`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ [name]: params })
  })
  const reply = await response.json() as Record<string, Record<string, unknown>> // The envelope of PROTOCOL 2.
  return reply[`${name}_RSP`]!
}

/** A POST whose headers the server has, and whose body it waits for. */
async function openRequest (url: string, body: string): Promise<ClientRequest> {
  const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
  const opened = request(`${url}/command`, { method: 'POST', headers })
  opened.flushHeaders()
  await once(opened, 'continue')
  return opened
}

// This one stands first and is waited for, because it stops a clock that the others may use.
await t.test('sweeping: a full sweep is followed by the next, no two run at once, and one that fails is only reported', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const sweeps: Array<{ now: number, limit: number, resolve: (freed: number) => void, reject: (fault: Error) => void }> = []
  const faults: unknown[] = []
  const sweep = async (now: number, limit: number) =>
    await new Promise<number>((resolve, reject) => { sweeps.push({ now, limit, resolve, reject }) })
  const stop = sweepRegularly({ store: { sweep }, now: () => 7 }, fault => faults.push(fault), 1000)

  mock.timers.tick(999)
  t.equal(sweeps.length, 0)
  mock.timers.tick(5001)
  t.equal(sweeps.length, 1, 'the first one is still under way')
  sweeps[0]!.resolve(sweeps[0]!.limit)
  while (sweeps.length < 2) await setImmediate()
  sweeps[1]!.resolve(99)
  await setImmediate()
  t.equal(sweeps.length, 2, 'nothing is left to sweep')

  mock.timers.tick(1000)
  sweeps[2]!.reject(new Error('disk full'))
  await setImmediate()
  t.match(faults, [{ message: 'disk full' }])

  mock.timers.tick(1000)
  let stopped = false
  const stopping = stop().then(() => { stopped = true })
  await setImmediate()
  t.notOk(stopped, 'it waits for the sweep under way')
  sweeps[3]!.resolve(100)
  await stopping
  mock.timers.tick(5000)
  t.strictSame(sweeps.map(({ now, limit }) => [now, limit]), [[7, 100], [7, 100], [7, 100], [7, 100]])
})

// Most of the time goes into compiling main.ts anew for every process.
t.jobs = 2

const ANY_PORT = { HOLDFAST_PORT: '0' }

t.test('with defaults: one line on stdout, data in ./data, SIGINT ends it with 0, and the data is there again', async t => {
  const first = start(t, [], ANY_PORT)
  const url = await first.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  t.match(await command(url, 'KV_SET', { tkn, keys: { a: 1 } }), { keys: { a: 20 } })
  const exit = await first.stop('SIGINT')
  t.hasStrict(exit, { code: 0, signal: null, stderr: '' })
  t.equal(exit.stdout, `holdfast ${VERSION} listening on ${url}, data in ${join(first.cwd, 'data')}\n`)
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.ok(existsSync(join(first.cwd, 'data')))

  const second = start(t, [], ANY_PORT, first.cwd)
  t.match(await command(await second.ready(), 'KV_GET', { tkn, keys: ['a'] }), { keys: { a: 1 } })
  t.hasStrict(await second.stop('SIGTERM'), { code: 0, signal: null, stderr: '' })
})

t.test('SIGKILL in the middle of writes loses nothing that was acknowledged', async t => {
  const first = start(t, ['--port', '0'])
  const url = await first.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  const acknowledged = new Map<string, number>()
  const write = async (writer: number) => {
    for (let n = 0; ; n++) {
      await command(url, 'KV_SET', { tkn, keys: { [`${writer}-${n}`]: n } })
      acknowledged.set(`${writer}-${n}`, n)
      if (acknowledged.size === 200) first.child.kill('SIGKILL')
    }
  }
  const writers = await Promise.allSettled([0, 1, 2, 3].map(write))
  t.ok(writers.every(({ status }) => status === 'rejected'), 'every writer was cut off')
  t.match(await first.exited, { code: null, signal: 'SIGKILL' })

  const second = start(t, ['--port', '0'], {}, first.cwd)
  const { keys } = await command(await second.ready(), 'KV_GET', { tkn, keys: [...acknowledged.keys()] })
  t.strictSame(keys, Object.fromEntries(acknowledged))
  t.match(await second.stop('SIGTERM'), { code: 0 })
})

t.test('a signal lets the request under way finish', async t => {
  const server = start(t, ['--port', '0', '--store', 'memory:', '--log-level', 'info'])
  const body = '{"SH_NEW":{"name":"x"}}'
  const opened = await openRequest(await server.ready(), body)
  server.child.kill('SIGTERM')
  await server.printed('stderr', /stopping because of SIGTERM/)
  opened.end(body)
  const [response] = await once(opened, 'response')
  t.equal(response.statusCode, 200)
  response.resume()
  t.match(await server.exited, { code: 0, signal: null })
})

t.test('a second signal ends it at once', async t => {
  const server = start(t, ['--port', '0', '--store', 'memory:', '--log-level', 'info'])
  const opened = await openRequest(await server.ready(), '{}')
  server.child.kill('SIGTERM')
  await server.printed('stderr', /stopping because of SIGTERM/)
  const cut = once(opened, 'error')
  t.match(await server.stop('SIGINT'), { code: 1, signal: null })
  t.match(await cut, [{ code: 'ECONNRESET' }])
})

t.test('in memory, on IPv6', async t => {
  const server = start(t, ['--port=0', '--store=memory:', '--host=::1'])
  const url = await server.ready()
  t.match(await command(url, 'SH_NEW', { name: 'x' }), { st: 1, name: 'x' })
  const exit = await server.stop('SIGTERM')
  t.hasStrict(exit, { code: 0, stderr: '' })
  t.equal(exit.stdout, `holdfast ${VERSION} listening on ${url}, data in memory only\n`)
  t.match(url, /^http:\/\/\[::1\]:\d+$/)
  t.notOk(existsSync(join(server.cwd, 'data')))
})

t.test('what cannot be started says why in one line, and exits with 1', async t => {
  const occupant = createServer().listen(0, '127.0.0.1')
  t.teardown(() => occupant.close())
  await once(occupant, 'listening')
  const { port } = occupant.address() as AddressInfo // It listens on TCP.
  const inUse = await start(t, ['--port', `${port}`, '--store', 'memory:']).exited
  const message = `holdfast: cannot listen on 127.0.0.1:${port}: address already in use\n`
  t.strictSame(inUse, { code: 1, signal: null, stdout: '', stderr: message })

  const directory = t.testdir({ file: 'not a directory' })
  const noStore = await start(t, ['--store', `lmdb:${directory}/file/data`], ANY_PORT, directory).exited
  t.hasStrict(noStore, { code: 1, signal: null, stdout: '' })
  t.match(noStore.stderr, /^holdfast: cannot open the data in \S+\/file\/data: .*\n$/)
})

t.test('a wrong configuration lists every fault, and exits with 2', async t => {
  const exit = await start(t, ['--port', 'x', '--prot', '1'], { HOLDFAST_LOG_LEVEL: 'loud' }).exited
  t.hasStrict(exit, { code: 2, signal: null, stdout: '' })
  for (const part of ['--port: "x"', '--prot:', '"1"', 'HOLDFAST_LOG_LEVEL: "loud"']) t.match(exit.stderr, part)
  t.notOk(existsSync(join(t.testdirName, 'data')))
})

t.test('--help and --version', async t => {
  const help = await start(t, ['--help']).exited
  t.hasStrict(help, { code: 0, signal: null, stderr: '' })
  t.match(help.stdout, /^Usage: holdfast .*HOLDFAST_STORE/s)
  t.strictSame(await start(t, ['-v']).exited, { code: 0, signal: null, stdout: `${VERSION}\n`, stderr: '' })
})

t.test('an error that nobody caught is logged, and ends it with 1', async t => {
  for (const fault of ['throw new Error("oops")', 'Promise.reject()']) {
    // The faulty part is loaded beside Holdfast, because Holdfast has none that a test could rely on.
    const preload = ['--import', `data:text/javascript,process.once("SIGCONT", () => { ${fault} })`]
    const server = start(t, ['--port', '0', '--store', 'memory:'], {}, t.testdir(), preload)
    await server.ready()
    const { code, signal, stderr } = await server.stop('SIGCONT')
    t.match({ code, signal }, { code: 1, signal: null }, fault)
    t.match(JSON.parse(stderr), { level: 60, msg: /nobody caught/ }, fault)
  }
})
