// Requests per second, side by side in one run: a bare node:http server that parses and answers the same bodies, and
// Holdfast on each of its stores. Every server is a process of its own. Run it with: npm run bench [-- seconds]
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autocannon from 'autocannon'

const SECONDS = Number(process.argv[2] ?? 5)
const CONNECTIONS = 64
const WORKERS = process.env.BENCH_WORKERS ?? 'auto'
const ROUNDS = 3
const JSON_HEADERS = { 'content-type': 'application/json' }

const BARE = `
  const server = require('node:http').createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString() || '{}')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1', () => console.log('listening on http://127.0.0.1:' + server.address().port + ','))`

// On the directory's own disk: a tmpfs would not show what a flush costs.
const data = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bench-'))
const SERVERS = {
  'bare node:http': ['-e', BARE],
  'Holdfast, memory:': ['dist/src/main.js', '--port', '0', '--store', 'memory:'],
  'Holdfast, lmdb:': ['dist/src/main.js', '--port', '0', '--store', `lmdb:${data}`],
  [`Holdfast, lmdb:, ${WORKERS} workers`]: ['dist/src/main.js', '--port', '0', '--store', `lmdb:${data}`, '--workers', WORKERS],
}

const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const command = body => ({ method: 'POST', path: '/command', headers: JSON_HEADERS, body: JSON.stringify(body) })
const REQUESTS = {
  KV_SET: tkn => command({ KV_SET: { tkn, keys: { user: VALUE } } }),
  KV_GET: tkn => command({ KV_GET: { tkn, keys: ['user'] } }),
  'PUT one key': tkn => ({ method: 'PUT', path: `/sessions/${tkn}/keys/user`, headers: JSON_HEADERS, body: JSON.stringify({ value: VALUE }) }),
  'KV_SET, 100 in a batch': tkn => ({ ...command(Array.from({ length: 100 }, (_, index) => ({ KV_SET: { tkn, keys: { [`k${index}`]: VALUE } } }))), path: '/commands' }),
}

async function start (args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, url: /http:\/\/[^,]*/.exec(line.toString())[0] }
}

async function tokenOf (url) {
  const response = await fetch(`${url}/command`, { method: 'POST', headers: JSON_HEADERS, body: '{"SH_NEW":{"name":"bench"}}' })
  const { SH_NEW_RSP: reply } = await response.json()
  return reply?.tkn ?? 'bare'
}

const median = numbers => numbers.sort((a, b) => a - b)[numbers.length >> 1]
const rows = new Map()
for (let round = 0; round < ROUNDS; round++) {
  for (const [server, args] of Object.entries(SERVERS)) {
    const { child, url } = await start(args)
    const tkn = await tokenOf(url)
    for (const [name, request] of Object.entries(REQUESTS)) {
      const run = () => autocannon({ url, connections: CONNECTIONS, duration: SECONDS, requests: [request(tkn)] })
      const { requests, latency, non2xx, errors } = await run()
      const row = rows.get(`${name}\t${server}`) ?? { rates: [], p99: [], bad: 0 }
      row.rates.push(requests.average)
      row.p99.push(latency.p99)
      row.bad += non2xx + errors
      rows.set(`${name}\t${server}`, row)
    }
    child.kill()
    await once(child, 'exit')
  }
}
rmSync(data, { recursive: true })
console.table([...rows].map(([key, { rates, p99, bad }]) => {
  const [request, server] = key.split('\t')
  return { request, server, 'requests/s': Math.round(median(rates)), 'p99 ms': median(p99), failed: bad }
}).sort((a, b) => a.request.localeCompare(b.request)))
