// What happens to a cluster in use: slots that move, masters that are lost.
import slotOf from 'cluster-key-slot'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { SessionId, RemoteStore } from '../../../src/session.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import { dump, idOf, json, reading, sessionOf, START, writing } from '../../store-suite.js'
import { startCluster, type Cluster } from './cluster.js'
import { countOf, DEADLINE_MS, following, increment, isCounted, load, make, outcome, put, watch, watchOpened } from './load.js'
import { needs, until } from './servers.js'
import type { Node } from './view.js'

const slotOfId = (id: SessionId): number => slotOf(keysOf('holdfast', id)[0])
const urlOf = ({ seeds }: Cluster): string => `valkey://${seeds.join(',')}?cluster=true`
const has = ({ slots: [first, last] }: Node, id: SessionId): boolean => first <= slotOfId(id) && slotOfId(id) <= last

/** So many sessions of one slot. */
function idsOfOneSlot (count: number): SessionId[] {
  const ids: SessionId[] = []
  for (let n = 0; ids.length < count; n++) if (slotOfId(idOf(n)) === slotOfId(idOf(0))) ids.push(idOf(n))
  return ids
}

/** Everything that a session is used for, over and over, by one after the other; what did not go as it should. */
function use (store: RemoteStore, id: SessionId): () => Promise<unknown[]> {
  const faults: unknown[] = []
  const stopping = new AbortController()
  const session = sessionOf({ duration: 10, deleteSession: false })

  async function round (): Promise<void> {
    const expect = async (what: string, promise: Promise<unknown>, answer: unknown) => {
      const got = JSON.stringify(await outcome(promise)) ?? 'undefined'
      if (got !== (JSON.stringify(answer) ?? 'undefined')) faults.push(`${what}: ${got}`)
    }
    await expect('create', store.create(id, session, START), session)
    await expect('put', store.access(id, START, put(1, 'a')), { reply: true })
    await expect('add', store.access(id, START, increment), { reply: 1 })
    await expect('clear and write', store.access(id, START, writing({ clear: true, writes: { b: json(2) } })), { reply: 2 })
    await expect('dump', dump(store, id, START), [['b', '2']])
    await expect('emptied when it is due', store.access(id, START + 10_000, reading({ all: true }, view => view.size, true)), { reply: 0 })
    await expect('write when it is due again', store.access(id, START + 20_000, put(3, 'c')), { reply: true })
    await expect('remove', store.remove(id, START + 20_000), true)
    await expect('find', store.find(id, START + 20_000), undefined)
    await expect('create one that ends', store.create(id, sessionOf({ duration: 1 }), START), sessionOf({ duration: 1 }))
    await expect('create one in its place', store.create(id, { ...session, startedAt: START + 1_000, usedAt: START + 1_000 }, START + 1_000), { ...session, startedAt: START + 1_000, usedAt: START + 1_000 })
    await expect('remove that', store.remove(id, START + 1_000), true)
  }
  const working = (async () => { while (!stopping.signal.aborted) await round() })()
  return async () => {
    stopping.abort()
    await working
    return faults
  }
}

t.test('a slot moves to another master while its sessions are in use: nobody notices', needs(), async t => {
  const cluster = await startCluster(t)
  const { store, told, reports } = await watchOpened(t, urlOf(cluster), { answerDeadlineMs: 2 * DEADLINE_MS })
  const ids = idsOfOneSlot(30)
  const counted = ids.slice(0, 20)
  await make(store, counted)
  told.length = 0
  const going = load(t, store, counted, { width: 8 })
  const using = ids.slice(20, 24).map(id => use(store, id))
  const written = load(t, store, counted.slice(0, 5), { width: 2, access: put('x', 'p') })

  for (const to of [...cluster.masters.filter(node => !has(node, ids[0]!)), cluster.masters.find(node => has(node, ids[0]!))!]) {
    const { moveKeys, finish } = await cluster.beginMove(slotOfId(ids[0]!), to)
    await sleep(100)
    for (let moved = 0; moved < 24; moved += 4) {
      await moveKeys(4)
      await sleep(30)
    }
    // Whatever comes and goes goes there by now.
    while (await moveKeys(10) > 0);
    await sleep(50)
    await finish()
    await sleep(100)
  }
  for (const { tallies, strange, stop } of [going, written]) {
    await stop()
    t.strictSame(strange, [])
    for (const { unknown, refused } of tallies.values()) t.strictSame([unknown, refused], [0, 0])
  }
  await isCounted(t, store, going)
  for (const stop of using) t.strictSame(await stop(), [])
  t.strictSame([told, reports], [[], []])
  t.equal((await store.totals(START)).sessions, 20)
  t.comment([...going.tallies.values()][0], { slowest: going.slowest })
})

for (const waitReplicas of [0, 1]) {
  t.test(`a master of a cluster is lost, and answers wait for ${waitReplicas} replicas`, needs(), async t => {
    // As it is set by default, the others refuse everything while a part has no master.
    const cluster = await startCluster(t, { replicas: 1, args: ['--cluster-require-full-coverage', 'no'] })
    const [lost, ...others] = cluster.masters as [Node, ...Node[]]
    await Promise.all(cluster.masters.map(following))
    // Longer than a busy machine is away: those that are not lost must not seem to be.
    const { store, told, reports } = await watchOpened(t, `valkey://${others[0]!.host}:${others[0]!.port}?cluster=true`, { waitReplicas, answerDeadlineMs: 2 * DEADLINE_MS })
    const ids = Array.from({ length: 60 }, (_, n) => idOf(n))
    const [gone, kept] = [ids.filter(id => has(lost, id)), ids.filter(id => others.some(node => has(node, id)))]
    await make(store, ids)
    told.length = 0
    const [meanwhile, going] = [load(t, store, kept), load(t, store, gone, { width: 16 })]
    await sleep(300)
    await lost.kill()
    await until('it is noticed', async () => reports.length > 0)
    await cluster.settled(cluster.nodes.filter(node => node !== lost))
    const areUsable = async () => !/StoreUnavailable/.test(JSON.stringify(await Promise.all(gone.map(async id => await outcome(store.access(id, START, put(1, 'q')))))))
    // The new master has no replica: answers that have to wait for one come when the old one is back as that.
    if (waitReplicas > 0) t.notOk(await areUsable())
    else await until('all sessions can be used', areUsable)
    await lost.restart()
    await until('all sessions can be used', areUsable)
    await Promise.all([meanwhile.stop(), going.stop()])

    t.strictSame([meanwhile.strange, going.strange], [[], []])
    for (const [id, { done, unknown, refused }] of meanwhile.tallies) t.strictSame([unknown, refused, await countOf(store, id)], [0, 0, done], 'nobody else notices')
    t.strictSame(told, [], 'there is something that can be used all the time')
    // That the new master has no replica is reported only where that lasts for longer than a WAIT, which is a matter of the machine.
    const ofNodes = reports.filter(report => waitReplicas === 0 || !report.startsWith('of 1 replicas that must have a change'))
    t.match(ofNodes, [new RegExp(`^a part of the cluster cannot be reached: 127\\.0\\.0\\.1:${lost.port}: `)])
    t.equal(ofNodes.length, 1, 'once')
    let [acknowledged, missing] = [0, 0]
    for (const [id, { done, unknown }] of going.tallies) {
      const count = await countOf(store, id)
      acknowledged += done
      missing += Math.max(0, done - count)
      t.ok(count <= done + unknown, `${count} of ${done} to ${done + unknown} increments`)
    }
    if (waitReplicas > 0) t.equal(missing, 0)
    t.comment({ acknowledged, missing, gap: going.gap, slowest: going.slowest, frozen: going.frozen, reports })
    t.match(await store.totals(START), { sessions: 60 })
    await t.resolves(watch(t, urlOf(cluster)).store.opened!)
  })
}

t.test('a cluster that does not tell where its nodes are cannot be used until it does', needs(), async t => {
  const cluster = await startCluster(t)
  const { store, told } = await watchOpened(t, urlOf(cluster))
  const [id] = idsOfOneSlot(1) as [SessionId]
  await make(store, [id])
  const naming = async (type: string) => await Promise.all(cluster.nodes.map(async node => await node.command('config', 'set', 'cluster-preferred-endpoint-type', type)))
  // They have no names.
  await naming('hostname')
  await cluster.moveSlot(slotOfId(id), cluster.masters.find(node => !has(node, id))!)
  t.match(await outcome(store.access(id, START, increment)), /^StoreUnavailable: .*nothing was changed/)
  await until('it is known', async () => told.at(-1) === 'no node of the cluster knows of any slots')
  await naming('ip')
  await until('it can be used', async () => told.at(-1) === undefined)
  t.strictSame(await outcome(store.access(id, START, increment)), { reply: 1 })
})
