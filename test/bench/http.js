// What a request costs, side by side in one alternating run: a bare node:http server that parses and answers the same bodies, and
// Holdfast on its stores. Every server is a process of its own, the load another one, each on a core of its own where taskset is there.
//
//     npm run bench [-- --rounds 5 --seconds 2 --connections 1,8,64 --only memory --json FILE]
//
// Prints a table: processor time of the server per request by the operating system's accounting (Linux), its ratio to bare in the same
// round, requests per second, and latencies. A crowded round shows in the spread: run it again, never average it.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '3' },
    connections: { type: 'string', default: '1,8,64' },
    only: { type: 'string', default: '' },
    requests: { type: 'string', default: '' },
    json: { type: 'string' },
    /** Another build of Holdfast beside this one, such as a worktree of the commit before. */
    against: { type: 'string' },
  },
})
const CONNECTIONS = options.connections.split(',').map(Number)
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

/** Servers by name: makes their command line. */
const SERVERS = Object.fromEntries([
  ['bare', () => [process.execPath, '-e', BARE]],
  ...['memory', 'lmdb'].flatMap(kind => Object.entries({ '': HERE, ...options.against && { ' before': options.against } })
    .map(([suffix, root]) => [`${kind}:${suffix}`, () => holdfast(root, kind === 'lmdb' ? `lmdb:${mkdtempSync(join(place, 'data-'))}` : 'memory:')])),
].filter(([name]) => name === 'bare' || name.startsWith(options.only)))

const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const request = (method, path, body) => {
  const content = body === undefined ? '' : JSON.stringify(body)
  const headers = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(content)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: bench\r\n${headers}\r\n${content}`
}
const REQUESTS = Object.fromEntries(Object.entries({
  KV_SET: tkn => request('POST', '/command', { KV_SET: { tkn, keys: { user: VALUE } } }),
  KV_GET: tkn => request('POST', '/command', { KV_GET: { tkn, keys: ['user'] } }),
  PUT: tkn => request('PUT', `/sessions/${tkn}/keys/user`, { value: VALUE }),
  GET: tkn => request('GET', `/sessions/${tkn}/keys/user`),
}).filter(([name]) => options.requests === '' || options.requests.split(',').includes(name)))

async function start (command) {
  const [program, ...args] = on(0, command)
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, url: /http:\/\/[^,]*/.exec(line.toString())[0] }
}

async function tokenOf (url) {
  const response = await fetch(`${url}/command`, { method: 'POST', headers: JSON_HEADERS, body: '{"SH_NEW":{"name":"bench"}}' })
  const { SH_NEW_RSP: reply } = await response.json()
  return reply?.tkn ?? 'bare'
}

/** Processor time of a process so far, in microseconds. */
function processorTime (pid) {
  const stat = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
  const others = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  const ticks = (Number(others[11]) + Number(others[12])) * 1e4 // All threads, in steps of 10 ms.
  return Math.max(ticks, Number(stat[0]) / 1e3)
}

async function load (port, connections, seconds, requests) {
  const [program, ...args] = on(availableParallelism() - 1, [process.execPath, LOAD, JSON.stringify({ port, connections, seconds, requests })])
  const { stdout } = await promisify(execFile)(program, args)
  return JSON.parse(stdout)
}

const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]
const results = new Map()
const servers = Object.entries(SERVERS)
for (let round = 0; round < Number(options.rounds); round++) {
  const bare = new Map()
  for (const [server, command] of round % 2 === 0 ? servers : [servers[0], ...servers.slice(1).reverse()]) {
    const { child, url } = await start(command())
    const tkn = await tokenOf(url)
    const port = Number(new URL(url).port)
    await load(port, 64, Number(options.warmup), Object.values(REQUESTS).map(make => make(tkn)))
    for (const [name, make] of Object.entries(REQUESTS)) {
      for (const connections of CONNECTIONS) {
        const before = processorTime(child.pid)
        const { count, seconds, failed, p50, p99 } = await load(port, connections, Number(options.seconds), [make(tkn)])
        const cpu = (processorTime(child.pid) - before) / count
        const key = `${name}\t${connections}`
        if (server === 'bare') bare.set(key, cpu)
        const row = results.get(`${key}\t${server}`) ?? []
        row.push({ cpu, ratio: cpu / bare.get(key), rate: count / seconds, p50, p99, failed })
        results.set(`${key}\t${server}`, row)
      }
    }
    child.kill()
    await once(child, 'exit')
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
}).sort((a, b) => a.request.localeCompare(b.request) || a.connections - b.connections)
console.table(rows)
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: availableParallelism(), rounds: Number(options.rounds), seconds: Number(options.seconds) }
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
