// What a million expired sessions cost the living: throughput and latency of one server while it sweeps them, and of the
// same server on a store without any, in one run. Run it with: npm run bench:expiry [-- sessions [seconds]]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autocannon from 'autocannon'
import { createHash, randomBytes } from 'node:crypto'
import { lmdbStore } from '../../dist/src/stores/lmdb/open.js'

const SESSIONS = Number(process.argv[2] ?? 1_000_000)
const SECONDS = Number(process.argv[3] ?? 10)
const CONNECTIONS = 64
const AT_ONCE = 1_000
const JSON_HEADERS = { 'content-type': 'application/json' }
const VALUE = JSON.stringify({ name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) })

const base = process.env.BENCH_DIR ?? tmpdir()

/** A store with sessions of three keys each that ended a second ago. */
async function fill (directory, sessions) {
  const store = await lmdbStore(directory)
  await store.secret(() => randomBytes(32))
  const now = Date.now() - 60_000
  const keys = new Map(['user', 'cart', 'seen'].map(key => [key, VALUE]))
  for (let n = 0; n < sessions; n += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => {
      const id = createHash('sha256').update(`${n + i}`).digest('hex')
      const session = { name: 'expired', shared: false, duration: 59, idle: 0, deleteSession: true, startedAt: now, usedAt: now }
      return store.restore({ id, session, keys }, now)
    }))
  }
  await store.close()
}

async function post (url, body) {
  const response = await fetch(`${url}/command`, { method: 'POST', headers: JSON_HEADERS, body: JSON.stringify(body) })
  return await response.json()
}

async function measure (name, sessions) {
  const directory = mkdtempSync(join(base, 'holdfast-expiry-'))
  await fill(directory, sessions)
  const child = spawn(process.execPath, ['dist/src/main.js', '--port', '0', '--store', `lmdb:${directory}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data')
  const url = /http:\/\/[^,]*/.exec(line.toString())[0]
  const { SH_NEW_RSP: { tkn } } = await post(url, { SH_NEW: { name: 'living' } })
  const rows = []
  for (const [command, keys] of [['KV_SET', { user: JSON.parse(VALUE) }], ['KV_GET', ['user']]]) {
    const { requests, latency, non2xx, errors } = await autocannon({
      url,
      connections: CONNECTIONS,
      duration: SECONDS,
      requests: [{ method: 'POST', path: '/command', headers: JSON_HEADERS, body: JSON.stringify({ [command]: { tkn, keys } }) }],
    })
    rows.push({ store: name, command, 'requests/s': Math.round(requests.average), 'p50 ms': latency.p50, 'p99 ms': latency.p99, 'max ms': latency.max, failed: non2xx + errors })
  }
  child.kill()
  await once(child, 'exit')
  const store = await lmdbStore(directory)
  const left = [...await collect(store)].length
  await store.close()
  rmSync(directory, { recursive: true })
  return rows.map(row => ({ ...row, 'expired and not swept yet': left }))
}

/** Sessions that are still there, seen at a time when none had expired. */
async function collect (store) {
  const ids = []
  for await (const { id } of store.copies(Date.now() - 50_000_000)) ids.push(id)
  return ids.slice(1)
}

const rows = []
for (let round = 0; round < 2; round++) {
  rows.push(...await measure('no session expired', 0))
  rows.push(...await measure(`${SESSIONS.toLocaleString('en')} sessions expired`, SESSIONS))
}
console.table(rows)
