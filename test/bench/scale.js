// What grows with what: very many keys and sessions, and beside each what a single KV_GET takes. Costs should grow with the work,
// and not at all with what a request does not touch.
//
//     npm run bench:scale [-- --million 1000000 --only lmdb --case 'a million keys']
//
// `million` stands for a million below: less for a look. Each case has a server of its own. Prints a row for each: the time that filling took,
// bytes a key that were added to the resident memory and the disk, the time of a restart up to the first answer, and the latency of a
// KV_GET in a session that was there before, while the filling goes on.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({ options: { million: { type: 'string', default: '1000000' }, only: { type: 'string', default: '' }, case: { type: 'string', default: '' } } })
const MILLION = Number(options.million)
const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const TOGETHER = 16
const AT_ONCE = 1_000

const agent = new Agent({ keepAlive: true, maxSockets: TOGETHER + 1 })

async function start (store) {
  const began = performance.now()
  const child = spawn(process.execPath, [MAIN, '--port', '0', '--store', store, '--body-limit', `${16 * 2 ** 20}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  return { child, port: Number(/:(\d+),/.exec(line.toString())[1]), took: performance.now() - began }
}

async function stop ({ child }) {
  child.kill()
  await once(child, 'exit')
}

/** Sends envelopes, one or an array of them. */
async function send ({ port }, content) {
  const body = JSON.stringify(content)
  const sent = request({ port, host: '127.0.0.1', agent, method: 'POST', path: Array.isArray(content) ? '/commands' : '/command', headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } })
  sent.end(body)
  const [response] = await once(sent, 'response')
  const reply = JSON.parse(await text(response))
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${JSON.stringify(reply)}`)
  return reply
}

/** Runs work for each number below `count`, some at once. */
async function each (count, work) {
  let next = 0
  await Promise.all(Array.from({ length: TOGETHER }, async () => {
    while (next < count) await work(next++)
  }))
}

const keysFrom = (from, count) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`key${from + n}`, VALUE]))
const newSession = async (server, more = {}) => (await send(server, { SH_NEW: { name: 'scale', ...more } })).SH_NEW_RSP.tkn

async function manySessions (server, count, more) {
  await each(Math.ceil(count / AT_ONCE), async () => {
    const made = await send(server, Array.from({ length: AT_ONCE }, () => ({ SH_NEW: { name: 'scale', ...more } })))
    await send(server, made.map(({ SH_NEW_RSP: { tkn } }) => ({ KV_SET: { tkn, keys: { user: VALUE } } })))
  })
}

/** Fills a server; gives how many keys that were. */
const CASES = {
  'a million keys in 1,000 sessions': async server => {
    await each(Math.ceil(MILLION / AT_ONCE), async () => await send(server, { KV_SET: { tkn: await newSession(server), keys: keysFrom(0, AT_ONCE) } }))
    return MILLION
  },
  'a million sessions of one key': async server => {
    await manySessions(server, MILLION)
    return MILLION
  },
  'one session of 100,000 keys': async server => {
    const tkn = await newSession(server)
    for (let from = 0; from < MILLION / 10; from += AT_ONCE) await send(server, { KV_SET: { tkn, keys: keysFrom(from, AT_ONCE) } })
    return MILLION / 10
  },
  '50,000 keys in a command': async server => {
    await send(server, { KV_SET: { tkn: await newSession(server), keys: keysFrom(0, MILLION / 20) } })
    return MILLION / 20
  },
  'a million expired sessions': async server => {
    await manySessions(server, MILLION, { expiry: { duration: 1, deleteSession: true } })
    await sleep(1_500)
    while ((await send(server, { SH_INFO_ALL: {} })).SH_INFO_ALL_RSP.totalSessions > 1) await sleep(100)
    return MILLION
  },
}

const residentBytes = ({ child }) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1024
const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]

/** Reads one key every few milliseconds until it is told to end: how long each took. */
function reading (server, tkn) {
  const latencies = []
  const over = new AbortController()
  const reads = (async () => {
    while (!over.signal.aborted) {
      const began = performance.now()
      await send(server, { KV_GET: { tkn, keys: ['user'] } })
      latencies.push(performance.now() - began)
      await sleep(5)
    }
  })()
  return async () => {
    over.abort()
    await reads
    return latencies
  }
}

for (const kind of ['memory:', 'lmdb:'].filter(kind => kind.startsWith(options.only))) {
  for (const [name, fill] of Object.entries(CASES).filter(([name]) => name.includes(options.case))) {
    const place = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'holdfast-scale-'))
    const store = kind === 'memory:' ? kind : `lmdb:${place}/data`
    const file = `${place}/data/data.mdb`
    const server = await start(store)
    const tkn = await newSession(server)
    await send(server, { KV_SET: { tkn, keys: { user: VALUE } } })
    const before = { resident: residentBytes(server), disk: kind === 'memory:' ? 0 : statSync(file).size }
    const end = reading(server, tkn)
    const began = performance.now()
    const keys = await fill(server)
    const took = performance.now() - began
    const latencies = (await end()).sort((a, b) => a - b)
    const after = { resident: residentBytes(server), disk: kind === 'memory:' ? 0 : statSync(file).size }
    const alone = reading(server, tkn)
    await sleep(1_000)
    const quiet = await alone()
    await stop(server)
    const again = kind === 'memory:' ? undefined : await start(store)
    if (again !== undefined) await stop(again)
    rmSync(place, { recursive: true })
    console.log({
      store: kind,
      case: name,
      keys,
      s: Number((took / 1e3).toFixed(1)),
      'bytes a key, resident': Math.round((after.resident - before.resident) / keys),
      'on disk': Math.round((after.disk - before.disk) / keys),
      'restart s': again && Number((again.took / 1e3).toFixed(2)),
      'KV_GET ms: p50': Number(median(latencies).toFixed(1)),
      p99: Number(latencies[Math.floor(0.99 * latencies.length)].toFixed(1)),
      'alone p50': Number(median(quiet).toFixed(2)),
    })
  }
}
agent.destroy()
