// What a store on Valkey or Redis takes and gives, on a server that this starts itself: bytes of a session and of a key,
// processor time of the engine and of a gateway for each request, and the throughput of one hot session that 64 clients write
// to through three gateways. Run it with: npm run bench:valkey [-- seconds]   (ENGINE=valkey-server for another binary)
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import autocannon from 'autocannon'
import { Redis } from 'iovalkey'
import { openStore } from '../../dist/src/stores/table.js'

const SECONDS = Number(process.argv[2] ?? 5)
const ENGINE = process.env.ENGINE ?? 'redis-server'
const ROUNDS = 3
const CONNECTIONS = 64
const JSON_HEADERS = { 'content-type': 'application/json' }
/** Clock ticks of the kernel in a second, of which /proc tells. */
const TICKS = 100

const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

async function startEngine (...args) {
  const port = await freePort()
  const child = spawn(ENGINE, ['--port', port, '--save', '', '--appendonly', 'no', ...args], { stdio: 'ignore', cwd: '/tmp' })
  const client = new Redis(port)
  client.on('error', () => {})
  await client.ping()
  return {
    port,
    child,
    client,
    async stop () {
      client.disconnect()
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

async function startGateway (port) {
  const child = spawn(process.execPath, ['dist/src/main.js', '--port', '0', '--store', `valkey://127.0.0.1:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, url: /http:\/\/[^,]*/.exec(line.toString())[0] }
}

/** Microseconds of processor time that a process has had. */
function processorTime ({ pid }) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 1e6 / TICKS
}

const idOf = number => createHash('sha256').update(`session ${number}`).digest('hex')
const session = parts => ({ name: 'login', shared: false, duration: 3600, idle: 0, deleteSession: true, startedAt: Date.now(), usedAt: Date.now(), ...parts })

/** Bytes that a session takes with so many keys of so many bytes. */
async function sizeOf ({ sessions, keys, length, parts = {}, args = [] }) {
  const engine = await startEngine(...args)
  const used = async () => Number(/used_memory:(\d+)/.exec(await engine.client.info('memory'))[1])
  const store = await openStore(`valkey://127.0.0.1:${engine.port}`, { valkey: { answerDeadlineMs: 60_000 } })
  await store.opened
  const before = await used()
  const value = JSON.stringify('x'.repeat(Math.max(0, length - 2)))
  const entries = new Map(Array.from({ length: keys }, (_, index) => [`key${String(index).padStart(7, '0')}`, value]))
  for (let start = 0; start < sessions; start += 1000) {
    const some = Array.from({ length: Math.min(1000, sessions - start) }, (_, index) => start + index)
    await Promise.all(some.map(number => store.restore({ id: idOf(number), session: session(parts), keys: entries }, Date.now())))
  }
  const bytes = await used() - before
  await store.close()
  await engine.stop()
  return Math.round(bytes / sessions)
}

async function sizes () {
  const packed = ['--hash-max-listpack-value', '1024']
  const cases = {
    'no key': { sessions: 200_000, keys: 0, length: 0 },
    'no key, with idle': { sessions: 200_000, keys: 0, length: 0, parts: { idle: 1800 } },
    'no key, stays when it expires': { sessions: 200_000, keys: 0, length: 0, parts: { deleteSession: false } },
    '5 keys of 40 bytes': { sessions: 200_000, keys: 5, length: 40 },
    '1 key of 100 bytes': { sessions: 200_000, keys: 1, length: 100 },
    '5 keys of 100 bytes (a million keys)': { sessions: 200_000, keys: 5, length: 100 },
    '5 keys of 100 bytes, packed': { sessions: 200_000, keys: 5, length: 100, args: packed },
    '1 key of 1,000 bytes': { sessions: 100_000, keys: 1, length: 1000 },
    '1 key of 1,000 bytes, packed': { sessions: 100_000, keys: 1, length: 1000, args: packed },
    'one session with a million keys of 100 bytes': { sessions: 1, keys: 1_000_000, length: 100 },
  }
  const rows = {}
  for (const [name, parts] of Object.entries(cases)) rows[name] = { 'bytes a session': await sizeOf(parts) }
  console.table(rows)
}

const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const command = body => ({ method: 'POST', path: '/command', headers: JSON_HEADERS, body: JSON.stringify(body) })

async function ask (url, body) {
  const response = await fetch(`${url}/command`, { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(body) })
  return Object.values(await response.json())[0]
}

/** Processor time of the engine and of one gateway for each request, many sessions. */
async function requests () {
  const engine = await startEngine()
  const gateway = await startGateway(engine.port)
  const tokens = await Promise.all(Array.from({ length: 1000 }, async () => (await ask(gateway.url, { SH_NEW: { name: 'x', expiry: { duration: 3600, deleteSession: true } } })).tkn))
  const kinds = {
    KV_SET: tkn => command({ KV_SET: { tkn, keys: { user: VALUE } } }),
    KV_GET: tkn => command({ KV_GET: { tkn, keys: ['user'] } }),
    'KV_MERGE (reads, then writes)': tkn => command({ KV_MERGE: { tkn, keys: { user: { visits: 1 } } } }),
  }
  const rows = new Map()
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, request] of Object.entries(kinds)) {
      const before = [processorTime(engine.child), processorTime(gateway.child)]
      const result = await autocannon({ url: gateway.url, connections: CONNECTIONS, duration: SECONDS, requests: tokens.map(request) })
      const row = rows.get(name) ?? { rates: [], engine: [], gateway: [], p99: [], failed: 0 }
      const total = result.requests.total
      row.rates.push(result.requests.average)
      row.p99.push(result.latency.p99)
      row.engine.push((processorTime(engine.child) - before[0]) / total)
      row.gateway.push((processorTime(gateway.child) - before[1]) / total)
      row.failed += result.non2xx + result.errors
      rows.set(name, row)
    }
  }
  gateway.child.kill()
  await once(gateway.child, 'exit')
  await engine.stop()
  console.table(Object.fromEntries([...rows].map(([name, { rates, engine, gateway, p99, failed }]) => [name, {
    'requests/s': Math.round(median(rates)),
    'p99 ms': median(p99),
    'engine µs': Number(median(engine).toFixed(1)),
    'gateway µs': Number(median(gateway).toFixed(1)),
    'requests/s of a shard': Math.round(1e6 / median(engine)),
    'requests/s of a gateway core': Math.round(1e6 / median(gateway)),
    failed,
  }])))
}

/** 64 clients that write to one session through three gateways, each as often as it is answered. */
async function hot () {
  const engine = await startEngine()
  const gateways = await Promise.all([1, 2, 3].map(() => startGateway(engine.port)))
  const kinds = {
    KV_SET: (tkn, writer) => ({ KV_SET: { tkn, keys: { [`k${writer}`]: VALUE } } }),
    'KV_ADD of one key': tkn => ({ KV_ADD: { tkn, keys: { lock: VALUE } } }),
    'KV_MERGE of 64 keys': (tkn, writer) => ({ KV_MERGE: { tkn, keys: { [`k${writer}`]: { n: 1 } } } }),
    'KV_MERGE of one key': tkn => ({ KV_MERGE: { tkn, keys: { one: { n: 1 } } } }),
  }
  const rows = {}
  for (const [name, body] of Object.entries(kinds)) {
    const { tkn } = await ask(gateways[0].url, { SH_NEW: { name: 'hot' } })
    const runs = await Promise.all(gateways.map(({ url }, index) => autocannon({
      url,
      connections: index === 0 ? 22 : 21,
      duration: SECONDS,
      requests: Array.from({ length: 64 }, (_, writer) => command(body(tkn, writer))),
    })))
    const sum = of => runs.reduce((total, run) => total + of(run), 0)
    rows[name] = {
      'requests/s': Math.round(sum(({ requests }) => requests.average)),
      'p99 ms': Math.max(...runs.map(({ latency }) => latency.p99)),
      failed: sum(({ non2xx, errors }) => non2xx + errors),
    }
  }
  for (const { child } of gateways) child.kill()
  await Promise.all(gateways.map(({ child }) => once(child, 'exit')))
  await engine.stop()
  console.table(rows)
}

const parts = { sizes, requests, hot }
const [, , , only] = process.argv
for (const [name, part] of Object.entries(parts)) {
  if (only !== undefined && only !== name) continue
  console.log(name)
  await part()
  await sleep(500)
}
