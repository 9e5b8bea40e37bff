// What a request costs, side by side in one alternating run: a bare node:http server that parses and answers the same bodies, and
// Holdfast on its stores, the one on Redis (where redis-server is installed) with what Redis itself takes. Every server is a process of its own, the load another one, each on a core of its own where taskset is there.
//
//     npm run bench [-- --rounds 5 --seconds 2 --only memory --requests KV_SET,GET --connections 64 --json FILE --against ../before]
//
// Prints a table: processor time of the server per request by the operating system's accounting (Linux), its ratio to bare in the same
// round, requests per second, and latencies. A crowded round shows in the spread: run it again, never average it.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { json } from 'node:stream/consumers'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '3' },
    /** Only with so many, of those that stand below. */
    connections: { type: 'string' },
    only: { type: 'string', default: '' },
    requests: { type: 'string', default: '' },
    json: { type: 'string' },
    /** Another build of Holdfast beside this one, such as a worktree of the commit before. */
    against: { type: 'string' },
  },
})
const JSON_HEADERS = { 'content-type': 'application/json' }
const HERE = fileURLToPath(new URL('../..', import.meta.url))
const LOAD = fileURLToPath(new URL('load.js', import.meta.url))

const BARE = `
  const server = require('node:http').createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString() || '{}')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1', () => console.log('listening on http://127.0.0.1:' + server.address().port + ','))`

/** Whether a program is there. */
function has (program, ...args) {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const isPinned = availableParallelism() > 1 && has('taskset', '--version')
/** A command line on one core of its own. */
const on = (core, command) => isPinned ? ['taskset', '-c', `${core}`, ...command] : command

// On the directory's own disk: a tmpfs would not show what a flush costs.
const place = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bench-'))
const holdfast = (root, store) => [process.execPath, join(root, 'dist/src/main.js'), '--port', '0', '--store', store]

const BUILDS = Object.entries({ '': HERE, ...options.against && { ' before': options.against } })
const REDIS_PORT = 16_379

/** The URLs of stores by their names, and the program that one of them needs. */
const STORES = {
  'memory:': { url: () => 'memory:' },
  'lmdb:': { url: () => `lmdb:${mkdtempSync(join(place, 'data-'))}` },
  ...has('redis-server', '--version') && {
    'Redis, both processes': {
      url: () => `redis://127.0.0.1:${REDIS_PORT}`,
      engine: ['redis-server', '--port', `${REDIS_PORT}`, '--save', '', '--appendonly', 'no'],
    },
  },
}

/** Servers: how to start one. */
const SERVERS = [
  { name: 'bare', command: () => [process.execPath, '-e', BARE] },
  ...Object.entries(STORES).flatMap(([name, { url, engine }]) => BUILDS
    .map(([suffix, root]) => ({ name: name + suffix, engine, command: () => holdfast(root, url()) }))),
].filter(({ name }) => name === 'bare' || name.startsWith(options.only))

const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const request = (method, path, body) => {
  const content = body === undefined ? '' : JSON.stringify(body)
  const headers = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(content)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: bench\r\n${headers}\r\n${content}`
}
const command = content => request('POST', '/command', content)
const names = count => Array.from({ length: count }, (_, n) => `key${n}`)
const set = count => ({ tkn }) => [command({ KV_SET: { tkn, keys: Object.fromEntries(names(count).map(name => [name, VALUE])) } })]
const get = count => ({ tkn }) => [command({ KV_GET: { tkn, keys: names(count) } })]
const batch = count => ({ tkn }) => [request('POST', '/commands', names(count).map(name => ({ KV_SET: { tkn, keys: { [name]: VALUE } } })))]
const READS_OF_TEN = 9

/** What is asked, with how many connections, and how many sessions there are to be asked of: makes the requests, which are sent in turn. */
const REQUESTS = Object.entries({
  KV_SET: { connections: [1, 8, 64], of: ({ tkn }) => [command({ KV_SET: { tkn, keys: { user: VALUE } } })] },
  KV_GET: { connections: [1, 8, 64], of: ({ tkn }) => [command({ KV_GET: { tkn, keys: ['user'] } })] },
  PUT: { connections: [1, 8, 64], of: ({ tkn }) => [request('PUT', `/sessions/${tkn}/keys/user`, { value: VALUE })] },
  GET: { connections: [1, 8, 64], of: ({ tkn }) => [request('GET', `/sessions/${tkn}/keys/user`)] },
  'KV_SET, 10 keys': { connections: [64], of: set(10) },
  'KV_GET, 10 keys': { connections: [64], of: get(10) },
  'KV_SET, 100 keys': { connections: [8], of: set(100) },
  'KV_GET, 100 keys': { connections: [8], of: get(100) },
  'KV_SET, 1000 keys': { connections: [8], of: set(1_000) },
  'KV_GET, 1000 keys': { connections: [8], of: get(1_000) },
  'batch of 10 KV_SET': { connections: [8], of: batch(10) },
  'batch of 100 KV_SET': { connections: [8], of: batch(100) },
  '90 % reads of 10,000 sessions': {
    connections: [64],
    sessions: 10_000,
    of: ({ tkns }) => tkns.map((tkn, n) => command(n % 10 < READS_OF_TEN ? { KV_GET: { tkn, keys: ['user'] } } : { KV_SET: { tkn, keys: { user: VALUE } } })),
  },
  'KV_GET of a session with idle': { connections: [64], expiry: { duration: 0, deleteSession: true, idle: 600 }, of: ({ tkn }) => [command({ KV_GET: { tkn, keys: ['user'] } })] },
  'KV_SET of 1 MB': { connections: [8], of: ({ tkn }) => [command({ KV_SET: { tkn, keys: { user: 'x'.repeat(1e6) } } })] },
}).map(([name, { connections, ...rest }]) => ({
  name,
  ...rest,
  connections: connections.filter(count => options.connections === undefined || options.connections.split(',').includes(`${count}`)),
})).filter(({ name }) => options.requests === '' || options.requests.split(',').includes(name))

/** Starts a program, and waits until it prints what says that it is there. */
async function start (command, pattern) {
  const [program, ...args] = on(0, command)
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const part of child.stdout.iterator({ destroyOnReturn: false })) {
    text += part
    if (pattern.test(text)) break
  }
  child.stdout.resume()
  return { child, text }
}

async function stop ({ child }) {
  child.kill()
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** Makes sessions. @returns their tokens */
async function tokensOf (url, count, expiry) {
  const envelopes = Array.from({ length: count }, () => ({ SH_NEW: { name: 'bench', ...expiry && { expiry } } }))
  const tokens = []
  for (let from = 0; from < count; from += 1_000) {
    const response = await fetch(`${url}/commands`, { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(envelopes.slice(from, from + 1_000)) })
    for (const { SH_NEW_RSP: reply } of await response.json()) tokens.push(reply?.tkn ?? 'bare')
  }
  return tokens
}

/** Processor time of a process so far, in microseconds. */
function processorTime (pid) {
  const stat = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
  const others = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  const ticks = (Number(others[11]) + Number(others[12])) * 1e4 // All threads, in steps of 10 ms.
  return Math.max(ticks, Number(stat[0]) / 1e3)
}

async function load (port, connections, seconds, requests) {
  const [program, ...args] = on(availableParallelism() - 1, [process.execPath, LOAD])
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(JSON.stringify({ port, connections, seconds, requests }))
  return await json(child.stdout)
}

const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]
const results = new Map()
for (let round = 0; round < Number(options.rounds); round++) {
  const bare = new Map()
  const [first, ...others] = SERVERS
  for (const server of [first, ...round % 2 === 0 ? others : others.reverse()]) {
    const engine = server.engine && await start(server.engine, /Ready to accept connections/)
    const started = await start(server.command(), /http:\/\/[^,\s]+/)
    const url = /http:\/\/[^,\s]+/.exec(started.text)[0]
    const port = Number(new URL(url).port)
    const processes = [started, engine].filter(one => one !== undefined)
    const spent = () => processes.reduce((sum, { child }) => sum + processorTime(child.pid), 0)
    const [tkn] = await tokensOf(url, 1)
    await load(port, 64, Number(options.warmup), REQUESTS.slice(0, 4).flatMap(({ of }) => of({ tkn, tkns: [tkn] })))
    for (const { name, connections: counts, sessions = 1, expiry, of } of REQUESTS) {
      const tkns = await tokensOf(url, sessions, expiry)
      const requests = of({ tkn: tkns[0], tkns })
      // So that reads find something.
      for (const tkn of tkns.length === 1 ? tkns : []) await load(port, 1, 0.1, [command({ KV_SET: { tkn, keys: { user: VALUE, ...Object.fromEntries(names(1_000).map(name => [name, VALUE])) } } })])
      for (const connections of counts) {
        const before = spent()
        const { count, seconds, failed, p50, p99 } = await load(port, connections, Number(options.seconds), requests)
        const cpu = (spent() - before) / count
        const key = `${name}\t${connections}`
        if (server.name === 'bare') bare.set(key, cpu)
        const row = results.get(`${key}\t${server.name}`) ?? []
        row.push({ cpu, ratio: cpu / bare.get(key), rate: count / seconds, p50, p99, failed })
        results.set(`${key}\t${server.name}`, row)
      }
    }
    for (const one of processes) await stop(one)
  }
}
rmSync(place, { recursive: true })

const rows = [...results].map(([key, row]) => {
  const [request, connections, server] = key.split('\t')
  const of = name => row.map(one => one[name])
  const ratios = of('ratio')
  return {
    request,
    connections: Number(connections),
    server,
    'CPU µs': Number(median(of('cpu')).toFixed(1)),
    'of bare': Number(median(ratios).toFixed(2)),
    from: Number(Math.min(...ratios).toFixed(2)),
    to: Number(Math.max(...ratios).toFixed(2)),
    'requests/s': Math.round(median(of('rate'))),
    'p50 ms': Number(median(of('p50')).toFixed(2)),
    'p99 ms': Number(median(of('p99')).toFixed(2)),
    failed: of('failed').reduce((sum, count) => sum + count, 0),
  }
})
const placeOf = ({ request, connections }) => REQUESTS.findIndex(({ name }) => name === request) * 1e3 + connections
rows.sort((a, b) => placeOf(a) - placeOf(b))
console.table(rows)
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: availableParallelism(), rounds: Number(options.rounds), seconds: Number(options.seconds) }
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
