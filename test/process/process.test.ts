// The process as an operator meets it: every test starts the real program, and waits for what it prints.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import fs, { existsSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { mock } from 'node:test'
import timers from 'node:timers'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import threads from 'node:worker_threads'
import pino from 'pino'
import t, { type Test } from 'tap'
import { availability } from '../../src/process/availability.js'
import { StartError, sweepRegularly } from '../../src/process/lifecycle.js'
import { thisMoment } from '../../src/clock.js'
import { readConfig } from '../../src/cli/config.js'
import { shown } from '../../src/process/log.js'
import { startServer } from '../../src/process/server.js'
import type { StoreOptions } from '../../src/stores/table.js'
import { VERSION } from '../../src/version.js'
import { BEAT_FD } from '../../src/process/heartbeat.js'
import { CELLS, commitsIn, GIVEN_UP, LIMITS, watch } from '../../src/process/watchdog.js'
import { COUNTED, MAIN, uncountedNode } from '../crash/server.js'
import { PRELOAD } from '../stores/valkey/fake-valkey.js'
import { inject, notInjectable } from '../faults/processes.js'
import { command, openRequest, start, startCounted, type StartOptions } from './processes.js'
import { claimPort } from '../stores/valkey/ports.js'
import { waitingStore, type WaitingStore } from './waiting-store.js'

// These stand first and are waited for, because they change what the others may use.
await t.test('sweeping: steps with short pauses while there is work, a long one else, and one that fails is only reported', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const sweeps: Array<{ now: number, limit: number, resolve: (freed: number) => void, reject: (fault: Error) => void }> = []
  const faults: unknown[] = []
  let elapsed = 0
  const sweep = async (now: number, limit: number) =>
    await new Promise<number>((resolve, reject) => { sweeps.push({ now, limit, resolve, reject }) })
  const stop = sweepRegularly({ store: { sweep }, now: () => 7 }, fault => faults.push(fault), () => elapsed)
  /** How many sweeps were begun after so many milliseconds more. */
  const after = async (delay: number) => {
    await setImmediate()
    mock.timers.tick(delay)
    return sweeps.length
  }

  t.equal(await after(999), 0)
  t.equal(await after(1), 1)
  t.equal(await after(5000), 1, 'the first one is still under way')
  sweeps[0]!.resolve(sweeps[0]!.limit)
  t.equal(await after(9), 1, 'requests have their turn')
  t.equal(await after(1), 2)
  sweeps[1]!.resolve(1)
  t.equal(await after(10), 3, 'a step that was cut short is followed by another, too')
  elapsed += 50
  sweeps[2]!.resolve(1)
  t.equal(await after(199), 3, 'a step that took long is followed by a longer pause')
  t.equal(await after(1), 4)
  elapsed += 300_000
  sweeps[3]!.resolve(1)
  t.equal(await after(299_999), 4, 'but not by one so long after minutes of work')
  t.equal(await after(1), 5)
  sweeps[4]!.resolve(0)
  t.equal(await after(999), 5, 'nothing is left to sweep')
  t.equal(await after(1), 6)
  sweeps[5]!.reject(new Error('disk full'))
  t.equal(await after(999), 6)
  t.match(faults, [{ message: 'disk full' }])
  t.equal(faults.length, 1)
  t.equal(await after(1), 7)

  let stopped = false
  const stopping = stop().then(() => { stopped = true })
  await setImmediate()
  t.notOk(stopped, 'it waits for the sweep under way')
  sweeps[6]!.resolve(100)
  await stopping
  t.equal(await after(5000), 7)
  t.strictSame(new Set(sweeps.map(({ now, limit }) => `${now} ${limit}`)), new Set(['7 50']))
})

t.test('the watchdog counts looks at one and the same transaction, longer while that waits for others', async t => {
  const cells = new Int32Array(CELLS)
  let exits = 0
  const alarms: string[] = []
  const { wait, begin, end } = commitsIn(cells, () => exits++)
  const look = watch(cells, { open: 3, waiting: 5 }, phase => alarms.push(phase))
  const looks = (times: number) => {
    for (let time = 0; time < times; time++) look()
    return alarms.splice(0)
  }
  t.strictSame(looks(10), [], 'there is none')
  wait()
  t.strictSame(looks(5), [])
  begin()
  t.strictSame(looks(3), [], 'that has begun')
  end()
  wait()
  begin()
  t.strictSame(looks(3), [], 'that is another one')
  end()
  t.strictSame(looks(1), [])
  wait()
  t.strictSame(looks(5), [])
  wait()
  t.strictSame(looks(5), [], 'that is another one')
  t.strictSame(looks(10), ['waiting'], 'once')
  begin()
  t.strictSame(looks(3), [])
  t.strictSame(looks(10), ['open'], 'once')
  end()
  t.equal(exits, 0)
  begin()
  cells[GIVEN_UP] = 1
  end()
  t.equal(exits, 1, 'a process that could not be ended ends by itself afterwards')
})

/**
 * Loads the program of a thread, once, into this process: what it has called every so often, and what it writes. Its lines would
 * not be counted where they run.
 */
async function loadThread (t: Test, file: 'watchdog-thread' | 'heartbeat-thread', workerData: object | null = null) {
  const regularly: Array<() => void> = []
  const written: Array<[number, string]> = []
  const state = { isBroken: false }
  const before = { workerData: threads.workerData as unknown, setInterval: timers.setInterval, writeSync: fs.writeSync }
  const put = (parts: typeof before): void => {
    Object.assign(threads, { workerData: parts.workerData })
    Object.assign(timers, { setInterval: parts.setInterval })
    Object.assign(fs, { writeSync: parts.writeSync })
    syncBuiltinESMExports()
  }
  t.teardown(() => put(before))
  put({
    workerData,
    // Only what such a program asks of them.
    setInterval: ((call: () => void) => regularly.push(call)) as unknown as typeof setInterval,
    writeSync: ((fd: number, text: string) => {
      if (state.isBroken) throw new Error('EPIPE')
      written.push([fd, text])
    }) as unknown as typeof fs.writeSync,
  })
  await import(`../../src/process/${file}.js`)
  return { regularly, written, state }
}

await t.test('the thread of the watchdog says why, and kills its process', async t => {
  const killed = t.capture(process, 'kill', () => true)
  const cells = new Int32Array(CELLS)
  const { regularly: [look], written } = await loadThread(t, 'watchdog-thread', { cells, log: true, hostname: 'h' })
  commitsIn(cells, () => {}).begin()
  for (let looks = 0; looks <= LIMITS.open; looks++) {
    t.equal(cells[GIVEN_UP], 0)
    look!()
  }
  t.match(killed(), [{ args: [process.pid, 'SIGKILL'] }])
  t.equal(cells[GIVEN_UP], 1)
  t.match(written.map(([fd, line]) => [fd, JSON.parse(line) as unknown]), [[2, { level: 60, pid: process.pid, hostname: 'h', msg: /^ending because a transaction did not end in 5 s: / }]])
  t.equal(written.length, 1)
})

await t.test('the thread that gives signs of life does so at once, and again and again, whoever hears it', async t => {
  const { regularly: [beat], written, state } = await loadThread(t, 'heartbeat-thread')
  t.strictSame(written, [[BEAT_FD, '.']])
  beat!()
  t.equal(written.length, 2)
  state.isBroken = true
  t.doesNotThrow(beat!)
})

t.test('what a server is not ready for, and what it logs of it', async t => {
  const warnings: string[] = []
  const readiness = availability({ warn: (message: string) => { warnings.push(message) } }, 'on valkey at h:1/0')
  const now = () => [readiness.reason, readiness.hasStore, warnings.splice(0).join()]
  const lost = 'The store cannot be used at the moment, and the log says why.'
  t.strictSame(now(), ['The store is not open yet.', false, ''])
  readiness.tell('Refused.')
  t.strictSame(now(), [lost, false, 'waiting for the data on valkey at h:1/0: Refused.'])
  readiness.tell('It loads.')
  t.strictSame(now(), [lost, false, 'waiting for the data on valkey at h:1/0: It loads.'])
  for (const reason of ['Refused.', 'It loads.']) readiness.tell(reason)
  t.strictSame(now(), [lost, false, ''], 'each reason once')
  for (let n = 0; n < 9; n++) readiness.tell(`${n}`)
  t.equal(warnings.splice(0).length, 3, 'and not too many of them')
  readiness.tell(undefined)
  t.strictSame(now(), ['The store is not open yet.', false, 'the data on valkey at h:1/0 can be used now'])
  readiness.opened()
  t.strictSame(now(), [undefined, true, ''])
  readiness.tell(undefined)
  t.strictSame(now(), [undefined, true, ''])
  readiness.tell('Refused.')
  t.strictSame(now(), [lost, false, 'the data on valkey at h:1/0 cannot be used: Refused.'])
  readiness.end('Failed.')
  readiness.end('Stopping.')
  readiness.tell(undefined)
  t.strictSame(now(), ['Failed.', true, ''])
})

t.test('of an error the log has no more than what it is for', async t => {
  const refused = Object.assign(new Error('refused', { cause: new Error('no such user') }), { code: 'X', command: { args: ['hunter2'] } })
  const logged = JSON.stringify(shown(refused))
  t.match(JSON.parse(logged), { type: 'Error', message: 'refused: no such user', stack: /^Error: refused\n.*caused by: Error: no such user\n/s, code: 'X' })
  t.notMatch(logged, 'hunter2')
  t.equal(shown('text'), 'text')
})

/** A server in this process, on a store that a test opens when it likes. */
async function serverOn (t: Test, lines: string[] = []) {
  const reading = readConfig(['--port', '0', '--store', 'valkey://h', '--store-timeout', '7', '--store-deadline', '70', '--wait-replicas', '1'], {})
  if (reading.kind !== 'config') throw new Error('this is a configuration')
  const given: { options: StoreOptions, waiting?: WaitingStore } = { options: {} }
  const server = await startServer(reading.config, pino({}, { write: line => { lines.push(line) } }), thisMoment(), { waitsForStore: true }, async (_location, options = {}) => {
    given.options = options
    return (given.waiting = waitingStore(options)).store
  })
  t.teardown(server.close)
  const ready = async () => (await fetch(`http://127.0.0.1:${server.address.port}/ready`)).status
  return { server, ready, options: given.options, waiting: given.waiting! } // It is opened before anything else.
}

t.test('a server on a store that has to be waited for', async t => {
  const { server, ready, options, waiting } = await serverOn(t)
  t.match(options.valkey, { openTimeoutS: Infinity, answerDeadlineMs: 70, waitReplicas: 1 })
  t.equal(options.lmdb?.commits, undefined, 'nothing keeps its process from everything else')
  t.equal(await ready(), 503)
  waiting.tell(undefined)
  await server.opened
  t.equal(await ready(), 200)
  waiting.tell('Gone.')
  t.equal(await ready(), 503)
  await Promise.all([server.close(), server.close()])

  const lost = await serverOn(t)
  lost.waiting.giveUp(new Error('nobody answers'))
  await t.rejects(lost.server.opened, new StartError('cannot open the data on valkey at h:6379/0: nobody answers'))
  t.equal(await lost.ready(), 503)

  const stopped = await serverOn(t)
  const closed = stopped.server.close()
  stopped.waiting.giveUp(new Error('closed'))
  await closed
  t.equal(await Promise.race([stopped.server.opened.catch(() => 'rejected'), 'pending']), 'pending')
})

t.test('a sweep that fails is reported, but not while the store cannot be used anyway', async t => {
  const lines: string[] = []
  const { server, waiting } = await serverOn(t, lines)
  const faults = () => lines.filter(line => line.includes('a sweep failed')).length
  server.sweep()
  await sleep(1_500)
  t.equal(faults(), 0)
  waiting.tell(undefined)
  await server.opened
  waiting.refuse('DataDamaged')
  while (faults() === 0) await sleep(50)
})

const INJECTS = { skip: await notInjectable() ?? false }

// Starting takes most of the time.
t.jobs = 2

const ANY_PORT = { HOLDFAST_PORT: '0' }
const NEW_SESSION = '{"SH_NEW":{"name":"x"}}'

t.test('with defaults: one line on stdout, data in ./data, SIGINT ends it with 0, and the data is there again', async t => {
  const first = start(t, [], { env: ANY_PORT })
  const url = await first.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  t.match(await command(url, 'KV_SET', { tkn, keys: { a: 1 } }), { keys: { a: 20 } })
  t.match(await (await fetch(`${url}/ready`)).json(), { ready: true })
  const exit = await first.stop('SIGINT')
  t.hasStrict(exit, { code: 0, signal: null, stderr: '' })
  t.equal(exit.stdout, `holdfast ${VERSION} listening on ${url}, data in ${join(first.cwd, 'data')}\n`)
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.ok(existsSync(join(first.cwd, 'data')))

  const second = start(t, [], { env: ANY_PORT, cwd: first.cwd })
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

  const second = start(t, ['--port', '0'], { cwd: first.cwd })
  const { keys } = await command(await second.ready(), 'KV_GET', { tkn, keys: [...acknowledged.keys()] })
  t.strictSame(keys, Object.fromEntries(acknowledged))
  t.match(await second.stop('SIGTERM'), { code: 0 })
})

t.test('a signal lets the requests under way finish, and then it is not ready any more', async t => {
  const server = start(t, ['--port', '0', '--store', 'memory:', '--log-level', 'info'])
  const url = await server.ready()
  const opened = await openRequest(url, NEW_SESSION)
  // A request that has begun to arrive: its connection is not idle.
  const probe = connect(Number(new URL(url).port), '127.0.0.1')
  probe.write('GET /ready HTTP/1.1\r\nHost: x\r\n')
  await once(probe, 'connect')
  await fetch(`${url}/ready`)
  server.child.kill('SIGTERM')
  await server.printed('stderr', /stopping because of SIGTERM/)
  probe.write('\r\n')
  const unready = await text(probe)
  t.match(unready, /^HTTP\/1\.1 503 /)
  t.match(unready, /^retry-after: 1\r$/m)
  t.match(unready, '"detail":"The server is stopping."')
  opened.end(NEW_SESSION)
  const [response] = await once(opened, 'response')
  t.equal(response.statusCode, 200)
  response.resume()
  t.match(await server.exited, { code: 0, signal: null })
})

t.test('a request that never ends keeps the server from ending for ten seconds, and does not make it fail', async t => {
  const server = startCounted(t, ['--port', '0'])
  const opened = await openRequest(await server.ready(), NEW_SESSION)
  opened.on('error', () => {})
  const { code, stderr } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.match(server.log(), [{ level: 40, msg: 'closing the connections whose requests have not ended in 10 s' }], stderr)
  t.equal(server.log().length, 1, stderr)
  t.ok(existsSync(join(server.cwd, 'data', 'closed.json')))
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
  const inUse = await startCounted(t, ['--port', `${port}`, '--store', 'memory:']).exited
  const message = `holdfast: cannot listen on 127.0.0.1:${port}: address already in use\n`
  t.strictSame(inUse, { code: 1, signal: null, stdout: '', stderr: message })

  const cwd = t.testdir({ file: 'not a directory' })
  const noStore = await start(t, ['--store', `lmdb:${cwd}/file/data`], { env: ANY_PORT, cwd }).exited
  t.hasStrict(noStore, { code: 1, signal: null, stdout: '' })
  t.match(noStore.stderr, /^holdfast: cannot open the data in \S+\/file\/data: .*\n$/)
})

t.test('a wrong configuration lists every fault, and exits with 2', async t => {
  const exit = await start(t, ['--port', 'x', '--prot', '1'], { env: { HOLDFAST_LOG_LEVEL: 'loud' } }).exited
  t.hasStrict(exit, { code: 2, signal: null, stdout: '' })
  for (const part of ['--port: "x"', '--prot:', '"1"', 'HOLDFAST_LOG_LEVEL: "loud"']) t.match(exit.stderr, part)
  t.notOk(existsSync(join(t.testdirName, 'data')))
})

t.test('--help and --version', async t => {
  const help = await startCounted(t, ['--help']).exited
  t.hasStrict(help, { code: 0, signal: null, stderr: '' })
  t.match(help.stdout, /^Usage: holdfast .*HOLDFAST_STORE/s)
  t.strictSame(await startCounted(t, ['-v']).exited, { code: 0, signal: null, stdout: `${VERSION}\n`, stderr: '' })
})

t.test('an error that nobody caught is logged, and ends it with 1', async t => {
  for (const fault of ['throw new Error("oops")', 'Promise.reject()']) {
    const server = startCounted(t, ['--port', '0', '--store', 'memory:'], { preload: `process.once("SIGCONT", () => { ${fault} })` })
    await server.ready()
    const { code, signal, stderr } = await server.stop('SIGCONT')
    t.match({ code, signal }, { code: 1, signal: null }, fault)
    t.match(JSON.parse(stderr), { level: 60, msg: /nobody caught/ }, fault)
  }
})

t.test('a signal that stands for a fault of the process is not taken for a wish to stop', async t => {
  const server = start(t, ['--port', '0', '--store', 'memory:'])
  await server.ready()
  t.match(await server.stop('SIGBUS'), { code: null, signal: 'SIGBUS' })
})

t.test('a store that cannot go on: it says why, and ends with 1', INJECTS, async t => {
  const server = startCounted(t, ['--port', '0'])
  const url = await server.ready()
  const data = join(server.cwd, 'data', 'data.mdb')
  const post = async () => await fetch(`${url}/command`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: NEW_SESSION })
  t.equal((await post()).status, 200)
  // The last of the writes of a transaction is that of the meta page: the first that fails is each time one later.
  for (let write = 1; server.child.exitCode === null; write++) {
    const end = await inject(server.child.pid!, data, `pwrite64:retval=0:when=${write}`)
    t.match(await post().then(async response => await response.json()), { SH_NEW_RSP: { st: 201 } })
    // It has a second for its last words.
    const ready = await fetch(`${url}/ready`).catch(() => undefined)
    if (ready?.status !== 200) await server.exited
    await end()
  }
  t.match(await server.exited, { code: 1, signal: null })
  t.match(server.log().find(({ level }) => level === 60), { msg: 'ending because the store cannot go on', err: { message: /meta page/ } })
})

/** Why system calls cannot be delayed here; undefined when they can. */
function notDelayable (): string | undefined {
  const { error, status, stderr } = spawnSync('strace', ['-f', '--seccomp-bpf', '-e', 'inject=fdatasync:delay_enter=1', '-o', '/dev/null', 'true'], { encoding: 'utf8' })
  if (error !== undefined) return `strace is needed: ${error.message}`
  return status === 0 ? undefined : `strace cannot delay here: ${stderr}`
}

/** Calls of fdatasync() before the one that takes long: more than a start makes. */
const SYNCS = 30

t.test('a disk that hangs: it says why, ends, and the next has all that was acknowledged', { skip: notDelayable() ?? false }, async t => {
  const through = ['strace', '-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', `inject=fdatasync:delay_enter=30s:when=${SYNCS}`]
  const first = start(t, ['--port', '0'], { through })
  const url = await first.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  const acknowledged: Record<string, number> = {}
  const write = async () => {
    for (let n = 0; n <= SYNCS; n++) {
      await command(url, 'KV_SET', { tkn, keys: { [`k${n}`]: n } })
      acknowledged[`k${n}`] = n
    }
  }
  await t.rejects(write(), 'it is cut off')
  t.match(await first.exited, { code: null, signal: 'SIGKILL' })
  t.match(first.log(), [{ level: 60, msg: /^ending because a transaction did not end in 5 s/ }])
  t.equal(first.log().length, 1)
  const second = start(t, ['--port', '0'], { cwd: first.cwd })
  t.match(await command(await second.ready(), 'KV_GET', { tkn, keys: Object.keys(acknowledged) }), { keys: acknowledged })
  t.match(await second.stop('SIGTERM'), { code: 0, stderr: '' })
})

/** Starts a process that keeps all others from writing to a directory, and is stopped meanwhile. */
async function stoppedWriter (t: Test, directory: string): Promise<ChildProcess> {
  const source = `import { openWriterLock } from ${JSON.stringify(new URL('../../src/stores/lmdb/writer-lock.js', import.meta.url).href)}
    openWriterLock(${JSON.stringify(directory)}).take()
    console.log('taken')
    process.kill(process.pid, 'SIGSTOP')
    setInterval(() => {}, 1000)`
  const child = spawn(...uncountedNode('--input-type=module', '-e', source), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

t.test('another process keeps it from writing and is stopped: it says so, ends, and the next starts when that is gone', async t => {
  const first = start(t, ['--port', '0'])
  const url = await first.ready()
  const { tkn } = await command(url, 'SH_NEW', { name: 'x' })
  await command(url, 'KV_SET', { tkn, keys: { a: 1 } })
  const writer = await stoppedWriter(t, join(first.cwd, 'data'))
  await t.rejects(command(url, 'KV_SET', { tkn, keys: { b: 1 } }), 'it is cut off')
  t.match(await first.exited, { code: null, signal: 'SIGKILL' })
  t.match(first.log(), [{ level: 60, msg: /^ending because another process has kept this one from writing for 20 s: / }])
  t.equal(first.log().length, 1)
  const second = start(t, ['--port', '0'], { cwd: first.cwd })
  await sleep(1_000)
  t.equal(second.child.exitCode, null, 'it waits')
  writer.kill('SIGKILL')
  t.match(await command(await second.ready(), 'KV_GET', { tkn, keys: ['a', 'b'] }), { keys: { a: 1 } })
  t.match(await second.stop('SIGTERM'), { code: 0, stderr: '' })
})

t.test('a process that is stopped in the middle of a transaction goes on with it', INJECTS, async t => {
  const server = start(t, ['--port', '0'])
  const url = await server.ready()
  const { pid } = server.child
  const end = await inject(pid!, join(server.cwd, 'data', 'data.mdb'), 'fdatasync:delay_enter=3s:when=1')
  const reply = command(url, 'SH_NEW', { name: 'x' })
  await sleep(500)
  process.kill(pid!, 'SIGSTOP')
  await sleep(7000)
  process.kill(pid!, 'SIGCONT')
  t.match(await reply, { st: 1 })
  await end()
  t.match(await server.stop('SIGTERM'), { code: 0, stderr: '' })
})

t.test('processes cannot share what one has in memory: exit code 2', async t => {
  const { code, stdout, stderr } = await startCounted(t, ['--workers', '2', '--store', 'memory:'], { env: ANY_PORT }).exited
  t.strictSame({ code, stdout }, { code: 2, stdout: '' })
  t.match(stderr, /--workers: 2 processes cannot share/)
})

t.test('the commands that look after the data', async t => {
  const first = start(t, ['--port', '0'])
  await command(await first.ready(), 'SH_NEW', { name: 'x' })
  const { cwd } = first
  const live = await start(t, ['inspect', '--verify'], { cwd }).exited
  t.hasStrict(live, { code: 0, signal: null, stderr: '' })
  t.match(live.stdout, /sessions +1\n.*none is damaged\n$/s)
  t.match(await first.stop('SIGTERM'), { code: 0 })
  t.match(await start(t, ['inspect'], { cwd: t.testdir() }).exited, { code: 2, stdout: '', stderr: /^holdfast inspect: there is no directory .*\n$/ })
})

t.test('a command whose terminal is gone ends as one that is interrupted', async t => {
  const [program, ...args] = [...COUNTED, process.execPath, MAIN, 'import', '-']
  const importing = spawn(program!, args, { cwd: t.testdir(), stdio: ['pipe', 'ignore', 'pipe'] })
  t.teardown(() => importing.kill('SIGKILL'))
  importing.stdin.on('error', () => {})
  // More than there is room for before somebody reads.
  await new Promise(resolve => { importing.stdin.write('x'.repeat(2 ** 20), resolve) })
  importing.kill('SIGHUP')
  const [said, exit] = await Promise.all([text(importing.stderr), once(importing, 'close')])
  t.strictSame([said, ...exit], ['holdfast import: interrupted by SIGHUP\n', 1, null])
})

t.test('a secret that is damaged: the start says so, and ends with 1', async t => {
  const cwd = t.testdir({ data: { secret: 'x' } })
  const { code, stdout, stderr } = await startCounted(t, [], { cwd, env: ANY_PORT }).exited
  t.strictSame({ code, stdout }, { code: 1, stdout: '' })
  t.match(stderr, /^holdfast: cannot use the data in .*: the file secret is damaged: .*\n$/)
})

const STORE = 'valkey://u:hunter2@h:1/2'

/** A server whose store is there while there is a file `up`, and which listens by now. */
async function startWaiting (t: Test, args: string[] = [], options: StartOptions = {}) {
  const port = await claimPort()
  const server = start(t, ['--port', `${port}`, '--store', STORE, ...args], { preload: PRELOAD, ...options })
  await server.printed('stderr', /waiting for the data on valkey at h:1\/2: Nothing listens there\./)
  const url = `http://127.0.0.1:${port}`
  for (;;) {
    const reply = await fetch(`${url}/ready`).catch(() => undefined)
    if (reply !== undefined) return { server, url, reply }
    if (server.child.exitCode !== null) throw new Error(`it has ended: ${JSON.stringify(await server.exited)}`)
    await sleep(20)
  }
}

t.test('a store that has to be waited for: requests are answered meanwhile, and when it is gone again', async t => {
  const { server, url, reply } = await startWaiting(t)
  t.match([reply.status, reply.headers.get('retry-after')], [503, '1'])
  t.match(await reply.json(), { detail: /^The store cannot be used/ })
  t.match(await command(url, 'SH_NEW', { name: 'x' }), { st: 201 })
  const refused = await fetch(`${url}/sessions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"x","shared":true}' })
  t.match([refused.status, refused.headers.get('retry-after')], [503, '1'])
  t.match(await refused.json(), { title: 'StoreUnavailable' })

  writeFileSync(join(server.cwd, 'up'), '')
  t.equal(await server.ready(), url)
  t.equal((await fetch(`${url}/ready`)).status, 200)
  const { tkn } = await command(url, 'SH_NEW', { name: 'x', shared: true })
  t.match(await command(url, 'SH_OPEN', { name: 'x' }), { tkn }, 'with the secret that could not be had before')

  rmSync(join(server.cwd, 'up'))
  await server.printed('stderr', /the data on valkey at h:1\/2 cannot be used: Nothing listens there\./)
  t.match(await (await fetch(`${url}/ready`)).json(), { status: 503, detail: /^The store cannot be used/ })
  // Longer than between two sweeps.
  await sleep(2_500)
  writeFileSync(join(server.cwd, 'up'), '')
  await server.printed('stderr', /can be used now\b.*can be used now/s)
  t.match(await command(url, 'SH_OPEN', { name: 'x' }), { tkn })
  const { code, stdout, stderr } = await server.stop('SIGTERM')
  t.equal(code, 0)
  t.equal(stdout, `holdfast ${VERSION} listening on ${url}, data on valkey at h:1/2\n`)
  t.strictSame(server.log().map(({ level }) => level), [40, 40, 40, 40], stderr)
  t.notMatch(stderr, 'hunter2')
})

t.test('a store that does not come in time: it says why, and ends with 1', async t => {
  const { server } = await startWaiting(t, ['--store-timeout', '4'], { isCounted: true })
  const { code, stdout, stderr } = await server.exited
  t.strictSame({ code, stdout }, { code: 1, stdout: '' })
  t.match(stderr, /^\{.*\}\nholdfast: cannot open the data on valkey at h:1\/2: nothing listens there after 4 s\n$/)
})

t.test('a signal while it waits for its store ends it gracefully', async t => {
  const { server, url } = await startWaiting(t, ['--log-level', 'info'])
  const opened = await openRequest(url, NEW_SESSION)
  server.child.kill('SIGINT')
  await server.printed('stderr', /stopping because of SIGINT/)
  opened.end(NEW_SESSION)
  const [response] = await once(opened, 'response')
  t.match(JSON.parse(await text(response)), { SH_NEW_RSP: { st: 201 } })
  t.match(await server.exited, { code: 0, signal: null, stdout: '' })
})
