import t, { type Test } from 'tap'
import type { SessionId, RemoteStore } from '../../../src/session.js'
import { idOf, json, sessionOf, set, START } from '../../store-suite.js'
import { startCluster } from './cluster.js'
import { hashOf, openStore } from './gateways.js'
import { monitor } from './monitor.js'
import { needs, startServer, type Server } from './servers.js'

// What goes through all sessions: totals, copies, clear and sweep.

const COUNT = 1_200

/** Ids that are spread over all slots as those of sessions are. */
const IDS = Array.from({ length: COUNT }, (_, n) => idOf(n))

/** Adds sessions of two keys each; every third one is due after 10 s, and of those every second one stays. */
async function fill (store: RemoteStore, ids: readonly SessionId[] = IDS): Promise<void> {
  await Promise.all(ids.map(async (id, n) => await store.restore({
    id, session: sessionOf({ duration: n % 3 === 0 ? 10 : 0, deleteSession: n % 2 === 0 }), keys: new Map([['a', json(n)], ['b', json(n)]]),
  }, START)))
}

async function idsOf (store: RemoteStore, now: number): Promise<SessionId[]> {
  const ids: SessionId[] = []
  for await (const { id, keys } of store.copies(now)) {
    ids.push(id)
    if (keys.get('a') === undefined) throw new Error('a copy without its keys')
  }
  return ids
}

async function openCluster (t: Test, answerDeadlineMs = 10_000): Promise<{ masters: readonly Server[], store: RemoteStore }> {
  const { masters, seeds } = await startCluster(t)
  return { masters, store: await openStore(t, `valkey://${seeds.join(',')}?cluster=true`, { answerDeadlineMs }) }
}

t.test('some thousand sessions on three masters, while others write', needs(), async t => {
  const { masters, store } = await openCluster(t)
  await fill(store)
  t.strictSame(await store.totals(START), { sessions: COUNT, keys: 2 * COUNT })
  t.strictSame((await idsOf(store, START)).sort(), IDS)
  const stays = COUNT / 6
  t.strictSame(await store.totals(START + 10_000), { sessions: COUNT - stays, keys: 2 * (COUNT - 2 * stays) }, 'what is over is not counted')

  const over = new AbortController()
  t.teardown(() => over.abort())
  let made = 0
  let kept = 0
  const writers = Array.from({ length: 4 }, async (_, n) => {
    for (let count = 0; !over.signal.aborted; count++) {
      const id = idOf(1e6 * (n + 1) + count)
      made++
      await store.restore({ id, session: sessionOf(), keys: new Map([['a', json(1)]]) }, START)
      await set(store, idOf((n + 4 * count) % COUNT), START, { c: json(count) })
      if (count % 2 === 0) await store.remove(id, START)
      else kept++
    }
  })
  const [totals, ids] = await Promise.all([store.totals(START), idsOf(store, START)])
  over.abort()
  await Promise.all(writers)
  t.ok(totals.sessions >= COUNT && totals.sessions <= COUNT + made, `${totals.sessions} of ${COUNT} and ${made}`)
  t.ok(totals.keys >= 2 * COUNT && totals.keys <= 3 * COUNT + made)
  t.equal(new Set(ids).size, ids.length, 'no copy comes twice')
  const found = new Set(ids)
  t.strictSame(IDS.filter(id => !found.has(id)), [], 'none is missing that was there all the while')

  let freed = 0
  for (let step = await store.sweep(START + 10_000, 50); step > 0; step = await store.sweep(START + 10_000, 50)) {
    t.ok(step <= 50)
    freed += step
  }
  t.equal(freed, COUNT / 3)
  const left = COUNT - stays + kept
  t.equal((await store.totals(START)).sessions, left)

  const names = ['foreign', 'holdfast', 'holdfast:{', `holdfast:{${'z'.repeat(64)}}`, 'xholdfast:{a}', `holdfast:{${idOf(1)}}:other`]
  // The two masters that do not have its slot refuse it.
  for (const name of names) await Promise.any(masters.map(async ({ command }) => await command('SET', name, 'foreign')))
  const foreign = await sizeOf(masters) - left - stays
  t.equal(foreign, 6)
  t.equal(await store.clear(START + 10_000), left)
  t.strictSame(await store.totals(START), { sessions: 0, keys: 0 })
  t.equal(await sizeOf(masters), foreign, 'what is not ours is left alone')
})

async function sizeOf (servers: readonly Server[]): Promise<number> {
  const sizes = await Promise.all(servers.map(async ({ command }) => Number(await command('DBSIZE'))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

t.test('a part that is lost is never taken for empty', needs(), async t => {
  const { masters, store } = await openCluster(t, 2_000)
  await fill(store, IDS.slice(0, 100))
  t.strictSame(await store.totals(START), { sessions: 100, keys: 200 })
  await masters[1]!.kill()
  const unavailable = { message: /^The store (?:cannot be reached|was lost)|^a part of the cluster cannot be reached$/ }
  for (let round = 0; round < 3; round++) {
    // At once: each of them waits until its deadline.
    await Promise.all([store.totals(START), idsOf(store, START), store.clear(START)].map(async (all: Promise<unknown>) => await t.rejects(all, unavailable)))
  }
})

t.test('what goes through all sessions keeps nobody waiting', needs(), async t => {
  const server = await startServer(t)
  const store = await openStore(t, `valkey://${server.host}:${server.port}`)
  await fill(store)
  const watch = await monitor(t, server)
  await store.totals(START)
  await idsOf(store, START)
  while (await store.sweep(START + 10_000, 50) > 0);
  await store.clear(START + 10_000)
  const sent = await watch.taken()
  t.strictSame([...new Set(sent.map(([name]) => name))].filter(name => !['scan', 'evalsha', 'exists', 'hget', 'get'].includes(name!)), [])
  const scans = sent.filter(([name]) => name === 'scan')
  for (const [, cursor, ...rest] of scans) {
    t.match(cursor, /^\d+$/)
    t.strictSame(rest, ['match', 'holdfast:{*', 'count', '500'])
  }
  t.ok(scans.length >= 4 * Math.floor(COUNT / 500))
})

t.test('a sweep of a store in which nothing is due goes through it once', needs(), async t => {
  const server = await startServer(t)
  const store = await openStore(t, `valkey://${server.host}:${server.port}`)
  t.equal(await store.sweep(START, 50), 0, 'also when it is empty')
  await fill(store, IDS.slice(0, 10))
  const watch = await monitor(t, server)
  t.equal(await store.sweep(START, 50), 0)
  t.strictSame((await watch.taken()).map(([name]) => name).filter(name => name === 'scan' || name === 'hget'), ['scan', ...Array(10).fill('hget')])
  t.equal(await store.sweep(START + 10_000, 3), 3)
  t.equal(await store.sweep(START + 10_000, 3), 1)
  t.equal(await store.sweep(START + 10_000, 3), 0)
})

t.test('a sweep goes on beside a key that is no session', needs(), async t => {
  const server = await startServer(t)
  const store = await openStore(t, `valkey://${server.host}:${server.port}`)
  await fill(store, IDS.slice(0, 10))
  await server.command('SET', hashOf(idOf(99)), 'a string')
  t.equal(await store.sweep(START + 10_000, 50), 4)
})
