// What a request costs, side by side in one alternating run: a bare node:http server that parses and answers the same bodies, Holdfast on
// its stores, and Webdis with Redis; where redis-server and webdis are installed, with what Redis itself takes. Every server is a process of its own on one core
// where taskset is there, the load (wrk where it is installed) another one on another core.
//
//     npm run bench [-- --rounds 5 --seconds 2 --only memory --requests KV_SET,GET --connections 64 --json FILE --against ../before]
//
// Each request is measured of all servers one after another, so that what the machine does besides meets all of them. Prints a table: processor time
// of the server per request by the operating system's accounting (Linux), its ratio to bare in the same
// round, requests per second, and latencies. A crowded round shows in the spread: run it again, never average it.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { hset, KEYS, keysFrom, REQUESTS } from './requests.js'
import { has, on, processorTime, serversIn, start, stop } from './servers.js'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    /** Whole seconds for each figure, and of the load before the first one. */
    seconds: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '3' },
    /** Only with so many, of those that stand in requests.js. */
    connections: { type: 'string' },
    /** How the names of the servers beside bare begin. */
    only: { type: 'string', default: '' },
    requests: { type: 'string', default: '' },
    json: { type: 'string' },
    /** Another build of Holdfast beside this one, such as a worktree of the commit before. */
    against: { type: 'string' },
  },
})
/** Envelopes in a batch, and keys in a command, that prepare the sessions. */
const AT_ONCE = 1_000
const JSON_HEADERS = { 'content-type': 'application/json' }
const LOAD = fileURLToPath(new URL('load.js', import.meta.url))
const WRK = fileURLToPath(new URL('wrk.lua', import.meta.url))
const isWrk = has('wrk')

// On the directory's own disk: a tmpfs would not show what a flush costs.
const place = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-bench-'))
const servers = serversIn(place, options.against).filter(({ name }) => name.startsWith('bare') || name.startsWith(options.only))
const requests = Object.entries(REQUESTS).map(([name, { connections, ...rest }]) => ({
  name,
  ...rest,
  connections: connections.filter(count => options.connections === undefined || options.connections.split(',').includes(`${count}`)),
})).filter(({ name }) => options.requests === '' || options.requests.split(';').includes(name))

/** Has a server answer requests from some connections. @returns count, seconds, failed, p50 and p99 in milliseconds */
async function load (server, port, connections, seconds, texts) {
  const core = availableParallelism() - 1
  const file = join(place, 'requests')
  if (isWrk) writeFileSync(file, texts.map(text => `${Buffer.byteLength(text)}\n${text}`).join(''))
  const line = isWrk
    ? ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', WRK, `http://127.0.0.1:${port}`, '--', file]
    : [process.execPath, LOAD]
  const [program, ...args] = server.isFree ? line : on(core, line)
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(isWrk ? '' : JSON.stringify({ port, connections, seconds, requests: texts }))
  return JSON.parse((await text(child.stdout)).split('\n').findLast(line => line.startsWith('{')))
}

/** Makes sessions of which each key can be read. @returns their tokens; of Webdis the names of hashes */
async function sessionsOf (server, url, { sessions: count = 1, size = 0, expiry } = {}) {
  if (server.isWebdis) {
    const hashes = Array.from({ length: count }, (_, n) => `bench${n}`)
    for (const hash of hashes) {
      const [head, body] = hset(hash, count === 1 ? Object.keys(KEYS) : ['user', 'other']).split('\r\n\r\n')
      await (await fetch(url, { method: 'POST', headers: { 'content-type': head.split(/content-type: |\r\n/)[3] }, body })).text()
    }
    return hashes
  }
  const sendAll = async envelopes => {
    const replies = []
    for (let from = 0; from < envelopes.length; from += AT_ONCE) {
      const body = JSON.stringify(envelopes.slice(from, from + AT_ONCE))
      replies.push(...await (await fetch(`${url}/commands`, { method: 'POST', headers: JSON_HEADERS, body })).json())
    }
    return replies
  }
  const made = await sendAll(Array(count).fill({ SH_NEW: { name: 'bench', ...expiry && { expiry } } }))
  const tokens = made.map(({ SH_NEW_RSP: reply }) => reply?.tkn ?? 'bare')
  await sendAll(tokens.map(tkn => ({ KV_SET: { tkn, keys: count === 1 ? KEYS : { user: KEYS.user } } })))
  for (let from = 0; from < size; from += AT_ONCE) await sendAll([{ KV_SET: { tkn: tokens[0], keys: keysFrom(from, AT_ONCE) } }])
  return tokens
}

const textsOf = (server, { of, webdis }, tkns) => (server.isWebdis ? webdis : of)({ tkn: tkns[0], tkns })
const results = new Map()

/** One request from so many connections: of each server in turn. */
async function measure (started, asked, connections) {
  let bare
  for (const { server, at } of started) {
    const url = `http://127.0.0.1:${at.port}`
    const texts = textsOf(server, asked, await sessionsOf(server, url, asked))
    const before = processorTime(at)
    const { count, seconds, failed, p50, p99 } = await load(server, at.port, connections, options.seconds, texts)
    const cpu = (processorTime(at) - before) / count
    bare ??= cpu
    const key = `${asked.name}\t${connections}\t${server.name}`
    results.set(key, [...results.get(key) ?? [], { cpu, ratio: cpu / bare, rate: count / seconds, p50, p99, failed }])
  }
}

for (let round = 0; round < Number(options.rounds); round++) {
  const started = []
  for (const server of servers) {
    const at = await start(server)
    started.push({ server, at })
    const tkns = await sessionsOf(server, `http://127.0.0.1:${at.port}`)
    const warm = Object.values(REQUESTS).slice(0, 4).filter(({ webdis }) => webdis !== undefined || !server.isWebdis)
    await load(server, at.port, 64, options.warmup, warm.flatMap(asked => textsOf(server, asked, tkns)))
  }
  for (const asked of requests) {
    const able = started.filter(({ server }) => Boolean(server.isFree) === Boolean(asked.isFree) && (asked.webdis !== undefined || !server.isWebdis))
    const [bare, ...others] = able
    for (const connections of asked.connections) await measure([bare, ...round % 2 === 0 ? others : others.reverse()], asked, connections)
  }
  for (const { at } of started) await stop(at)
}
rmSync(place, { recursive: true })

const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]
const placeOf = ({ request, connections, server }) =>
  (requests.findIndex(({ name }) => name === request) * 1e3 + connections) * 100 + servers.findIndex(({ name }) => name === server)
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
}).sort((a, b) => placeOf(a) - placeOf(b))
console.table(rows)
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: availableParallelism(), load: isWrk ? 'wrk' : 'load.js', rounds: Number(options.rounds), seconds: Number(options.seconds) }
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
