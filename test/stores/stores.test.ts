import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { RootDatabase } from 'lmdb'
import t from 'tap'
import { compareCodePoints } from '../../src/json/codepoint.js'
import { groupCommit } from '../../src/stores/lmdb/group-commit.js'
import { lmdbStore } from '../../src/stores/lmdb/open.js'
import { memoryStore } from '../../src/stores/memory.js'
import { openStore, parseStoreUrl, placeOf } from '../../src/stores/table.js'
import { needing } from '../../src/stores/needing.js'
import { dump, ID, idOf, json, reading, sessionOf, set, START, storeSuite, writing } from '../store-suite.js'
import { lmdbWith, openRaw } from './lmdb-with.js'

t.test('memory', t => {
  storeSuite(t, async () => ({ store: memoryStore() }))
  t.end()
})

t.test('lmdb', t => {
  storeSuite(t, async t => {
    const directory = join(t.testdir(), 'data.v1')
    return { store: await lmdbStore(directory), reopen: () => lmdbStore(directory) }
  })
  t.end()
})

t.test('compareCodePoints orders as the bytes of UTF-8 do', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', 'a', '\ud7ff', '\ue000', '\ufffd', '\u{10000}', 'a\u{10ffff}'))
  fc.assert(fc.property(text, text, fc.string({ unit: 'binary' }), (a, b, common) => {
    return Math.sign(compareCodePoints(common + a, common + b)) === Buffer.compare(Buffer.from(common + a), Buffer.from(common + b))
  }))
})

t.test('URLs', async t => {
  t.strictSame(parseStoreUrl('memory:'), { kind: 'memory' })
  t.strictSame(parseStoreUrl('lmdb:./data'), { kind: 'lmdb', directory: './data' })
  t.strictSame(parseStoreUrl('lmdb:/var/lib/hold fast:1'), { kind: 'lmdb', directory: '/var/lib/hold fast:1' })
  for (const url of ['', 'memory', 'memory:x', 'lmdb', 'lmdb:', 'LMDB:x', 'postgres://u:hunter2@h', ' memory:', './data']) {
    t.throws(() => parseStoreUrl(url), { message: /memory: or lmdb:<directory>|The URL of a store in memory|names no directory/ }, url)
    await t.rejects(openStore(url), { message: /^((?!hunter2).)*$/ })
  }
  for (const url of ['memory:', `lmdb:${join(t.testdir(), 'data')}`]) {
    const store = await openStore(url)
    t.equal(`${store.kind}:`, url.slice(0, store.kind.length + 1))
    await store.close()
  }
})

t.test('where data is, without a password', async t => {
  const shown = (url: string): string => placeOf(parseStoreUrl(url))
  t.equal(shown('memory:'), 'in memory only')
  t.equal(shown('lmdb:/data/'), 'in /data')
  t.equal(shown('rediss://u:hunter2@h/3?prefix=p'), 'on valkey at h:6379/3')
  t.equal(shown('valkey://:hunter2@a:7000,[::1]:7001?cluster=true'), 'on a valkey cluster at a:7000,[::1]:7001')
})

t.test('a package that was left out when Holdfast was installed', async t => {
  const missing = 'no-such-package'
  await t.rejects(needing(missing, async () => await import(missing)), { message: 'the package no-such-package is not installed: add it with npm install no-such-package' })
  await t.rejects(needing('another', async () => await import(missing)), { message: /^Cannot find package/ })
  await t.rejects(needing(missing, async () => { throw new Error('broken') }), { message: 'broken' })
  t.equal(await needing(missing, async () => 'there'), 'there')
})

t.test('memory: sessions that are gone do not fill the queue of deadlines', async t => {
  const store = memoryStore()
  for (let i = 0; i < 5_000; i++) {
    await store.create(ID, sessionOf({ duration: 1_000 }), START)
    await store.remove(ID, START)
  }
  for (let i = 0; i < 10; i++) await store.create(idOf(i), sessionOf({ duration: 10 + i }), START)
  for (let i = 0; i < 10; i++) t.equal(await store.sweep(START + 10_000 + i * 1_000, 100), 1)
  t.strictSame(await store.totals(START), { sessions: 0, keys: 0 })
  await store.close()
})

/** Number of transactions that have changed something. */
function transactions (raw: RootDatabase): number {
  raw.resetReadTxn()
  // lmdb declares its statistics as an object of unknown content.
  return (raw.getStats() as { lastTxnId: number }).lastTxnId
}

t.test('one transaction serves all that waits, up to a number of pieces and a time', async t => {
  const sizes: number[] = []
  let time = 0
  let ran = 0
  const commit = groupCommit(work => {
    const before = ran
    work()
    sizes.push(ran - before)
  }, 100, () => time)
  const run = (ms: number) => commit.run(() => {
    time += ms
    return { value: ++ran }
  })
  t.strictSame(await Promise.all(Array.from({ length: 250 }, () => run(0))), Array.from({ length: 250 }, (_, i) => i + 1))
  t.strictSame(sizes.splice(0), [100, 100, 50])
  await Promise.all([run(1), run(500), run(1), run(1)])
  t.strictSame(sizes, [2, 2], 'what is long ends the turn')
})

t.test('lmdb: writes that wait at the same time share transactions, and the event loop turns in between', async t => {
  const { store, raw } = await lmdbWith(t)
  const before = transactions(raw)
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  await Promise.all(Array.from({ length: 2_500 }, (_, i) => set(store, ID, START, { [`k${i}`]: json(i) })))
  clearImmediate(timer)
  t.ok(transactions(raw) - before < 250, 'tens of writes in a transaction, however slow the machine')
  t.ok(turns >= 2, 'the event loop turns in between')
  t.strictSame(await store.totals(START), { sessions: 1, keys: 2_500 })
  await raw.close()
  await store.close()
})

t.test('lmdb: what changes nothing writes nothing', async t => {
  const { store, raw } = await lmdbWith(t)
  await store.create(idOf(2), sessionOf({ idle: 10, duration: 100 }), START)
  await set(store, ID, START, { a: json(1) })
  const before = transactions(raw)
  await store.access(ID, START + 1, writing({}))
  await store.access(ID, START + 1, writing({ writes: { nothing: null } }))
  await store.access(idOf(2), START, writing({ clear: true }))
  await store.access(idOf(2), START, reading({}, () => 0, true))
  await store.access(idOf(3), START, writing({ writes: { a: json(1) } }))
  await store.create(ID, sessionOf({ name: 'other' }), START)
  await store.remove(idOf(3), START)
  await store.find(ID, START)
  await store.totals(START + 1e9)
  await store.sweep(START, 10)
  t.equal(transactions(raw), before)
  await raw.close()
  await store.close()
})

t.test('a transaction that fails rejects all that share it, and the next one is not concerned', async t => {
  const fault = new Error('of the disk')
  let isBroken = true
  const commit = groupCommit(work => {
    work()
    if (isBroken) throw fault
  }, 2)
  const results = await Promise.allSettled([1, 2, 3].map(n => commit.run(() => {
    isBroken = n < 3
    return { value: n }
  })))
  t.strictSame(results, [{ status: 'rejected', reason: fault }, { status: 'rejected', reason: fault }, { status: 'fulfilled', value: 3 }])
  await t.rejects(commit.run(() => { throw fault }), fault)
})

t.test('lmdb: an entry of the expiry index that fits no session is dropped, and told', async t => {
  const told: string[] = []
  const { store, raw } = await lmdbWith(t, { report: error => { told.push(error.message) } })
  await set(store, ID, START, { a: json(1) })
  const expiry = raw.openDB<Buffer, Buffer>('expiry', { keyEncoding: 'binary', encoding: 'binary' })
  expiry.putSync(Buffer.alloc(40), Buffer.alloc(0))
  t.strictSame(await store.totals(START), { sessions: 1, keys: 1 })
  t.equal(await store.sweep(START, 10), 1)
  t.strictSame(told, ['An entry of the expiry index fits no session (damaged records met since the start: 1)'])
  t.equal(await store.sweep(START, 10), 0)
  t.strictSame(await dump(store, ID, START), [['a', '1']])
  await raw.close()
  await store.close()
})

t.test('lmdb: a key that is too long fails its own access only', async t => {
  const { store, raw } = await lmdbWith(t)
  const [before, long, after] = await Promise.allSettled([
    set(store, ID, START, { a: json(1) }),
    set(store, ID, START, { b: json(1), ['x'.repeat(1_025)]: json(1) }),
    set(store, ID, START, { c: json(1) }),
  ])
  t.equal(before.status, 'fulfilled')
  t.match(long, { status: 'rejected', reason: { message: /1024 bytes/ } })
  t.equal(after.status, 'fulfilled')
  t.strictSame(await dump(store, ID, START), [['a', '1'], ['c', '1']])
  await raw.close()
  await store.close()
})

t.test('lmdb: values larger than the buffers of lmdb, read in and after the transaction that writes them', async t => {
  const { store, raw } = await lmdbWith(t)
  const huge = json('é'.repeat(10_000_000))
  const [, inside] = await Promise.all([
    set(store, ID, START, { huge, small: json(1) }),
    store.access(ID, START, { ...reading({ all: true }, view => [...view.entries()].map(([, value]) => value === huge)), mayWrite: true }),
  ])
  t.strictSame(inside?.reply, [true, false])
  const look = reading({ get: ['huge'] }, view => view.has('huge') && view.get('huge') === huge)
  t.strictSame(await store.access(ID, START, look), { reply: true })
  t.ok((await dump(store, ID, START))?.some(([, value]) => value === huge))
  await raw.close()
  await store.close()
})

t.test('lmdb: close waits for what is under way', async t => {
  const { directory, store, raw } = await lmdbWith(t)
  await raw.close()
  const writes = Array.from({ length: 1_500 }, (_, i) => set(store, ID, START, { [`k${i}`]: json(i) }))
  const settled = Promise.allSettled(writes)
  await store.close()
  t.ok((await settled).every(({ status }) => status === 'fulfilled'))
  const again = await lmdbStore(directory)
  t.strictSame(await again.totals(START), { sessions: 1, keys: 1_500 })
  await again.close()
})

t.test('lmdb: data of another format is refused and left alone', async t => {
  const directory = join(t.testdir(), 'data')
  await (await lmdbStore(directory)).close()
  const format = (text: string) => {
    const raw = openRaw(directory)
    raw.openDB<Buffer, Buffer>('meta', { keyEncoding: 'binary', encoding: 'binary' }).putSync(Buffer.from('format'), Buffer.from(text))
    return raw.close()
  }
  await format('1')
  const before = readFileSync(join(directory, 'data.mdb'))
  await t.rejects(lmdbStore(directory), { message: 'it holds data of format 1; this version of Holdfast reads format 2' })
  t.ok(readFileSync(join(directory, 'data.mdb')).equals(before))
  await format('2')
  await (await lmdbStore(directory)).close()
})

t.test('lmdb: the directory is made for its owner alone; what is no directory is refused', async t => {
  const parent = t.testdir()
  const directory = join(parent, 'a', 'b.c')
  const store = await lmdbStore(directory)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(statSync(join(directory, 'data.mdb')).mode & 0o777, 0o600)
  await store.close()
  writeFileSync(join(parent, 'file'), 'x')
  await t.rejects(lmdbStore(join(parent, 'file')), { message: /file is a file and not a directory$/ })
})
