// What can be saved of an LMDB store that is damaged: all that is whole and current, and nothing else.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs, { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { open } from 'lmdb'
import t, { type Test } from 'tap'
import type { JsonText } from '../../../src/json/text.js'
import type { SessionId, SessionStore } from '../../../src/session.js'
import { dataStores } from '../data-stores.js'
import { checkData } from '../../../src/stores/lmdb/check.js'
import { encodeStored } from '../../../src/stores/lmdb/records.js'
import { openSalvage } from '../../../src/stores/lmdb/salvage.js'
import { claimDirectory, lmdbReader, lmdbStore } from '../../../src/stores/lmdb/open.js'
import { randomOf, type Random } from '../../crash/random.js'
import { idOf, json, sessionOf, set, START } from '../../store-suite.js'
import { BRANCH, FREE_AT, HEADER, LEAF, MAIN_AT, META, metaAt, nodes, PAGE, places, valueAt, VALUE, type Place } from './places.js'
import { missing, salvage, type Content, type Contents } from './salvaging.js'

const dataOf = (directory: string) => join(directory, 'data.mdb')
const NOW = START + 5_000

function idAt (index: number): SessionId {
  return createHash('sha256').update(`${index}`).digest('hex') as SessionId // As it is defined.
}

/** Changes a store at random, so that its file is full of what was true once. */
async function churn (store: SessionStore, random: Random, rounds: number, sessions = 30): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await Promise.all(Array.from({ length: 1 + random.below(6) }, async () => {
      const id = idAt(random.below(sessions))
      if (random.chance(0.08)) return await store.remove(id, START)
      await store.create(id, sessionOf({ name: `session ${random.below(1_000)}`, shared: random.chance(0.3), duration: random.pick([0, 0, 10_000_000]) }), START)
      const values = () => json(`${random.below(2 ** 32)} ${'v'.repeat(random.chance(0.03) ? random.below(12_000) : random.below(200))}`)
      const writes = Array.from({ length: 1 + random.below(6) }, () => [`k${random.below(60)}`, random.chance(0.2) ? null : values()] as const)
      return await set(store, id, START, new Map<string, JsonText | null>(writes))
    }))
    if (round % 50 === 0) while (await store.sweep(START, 100) > 0);
  }
}

async function contentsOf (directory: string, now = NOW): Promise<Contents> {
  const store = await lmdbReader(directory)
  const contents = new Map<string, Content>()
  for await (const { id, session, keys } of store.copies(now)) contents.set(id, { session, keys })
  await store.close()
  return contents
}

const all = { sessions: [], keys: [] }
const noLosses = { faults: { some: [], count: 0 }, sessions: 0, keys: 0, unowned: 0, examples: [] }

t.test('of a store that is whole everything, whatever state LMDB left its file in', async t => {
  const directory = t.testdir({ data: {} })
  const random = randomOf(1)
  const own = join(directory, 'data')
  let store = await lmdbStore(own)
  for (let turn = 0; turn < 12; turn++) {
    await churn(store, random, turn === 0 ? 1 : 25)
    await store.close()
    const { found, losses } = await salvage(own, NOW)
    t.strictSame(missing(await contentsOf(own), found), all, `turn ${turn}`)
    t.strictSame(losses, noLosses)
    const backup = join(directory, `backup${turn}`)
    await dataStores.backup(`lmdb:${own}`, backup, NOW, {})
    t.strictSame(await salvage(backup, NOW), { found, losses }, 'and of its backup')
    store = await lmdbStore(turn % 4 === 3 ? backup : own)
    if (turn % 4 !== 3) continue
    await store.close()
    t.strictSame((await salvage(backup, NOW)).losses, noLosses, 'opened')
    store = await lmdbStore(own)
  }
  await store.close()
  const names = readdirSync(own).sort()
  const { mtimeNs, atimeNs: _, ...before } = statSync(dataOf(own), { bigint: true })
  t.match((await salvage(dataOf(own), NOW)).losses, noLosses, 'by the name of its file')
  copyFileSync(dataOf(own), join(directory, 'copy'))
  t.match((await salvage(join(directory, 'copy'), NOW)).losses, noLosses, 'of a copy')
  t.strictSame(readdirSync(own).sort(), names, 'nothing is made')
  t.match(statSync(dataOf(own), { bigint: true }), { mtimeNs, size: before.size, ino: before.ino }, 'or changed')
})

/** A store that was closed, what it held, and where what is in its file. */
interface Sound { readonly file: Buffer, readonly contents: Contents, readonly inUse: readonly Place[], readonly path: string }

async function soundStore (t: Test, rounds = 150, seed = 2): Promise<Sound> {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  await churn(store, randomOf(seed), rounds)
  await store.close()
  const file = readFileSync(dataOf(directory))
  return { file, contents: await contentsOf(directory), inUse: places(file), path: join(t.testdirName, 'damaged') }
}

/** How many sessions and keys are on a page, or refer to it. */
function holds (file: Buffer, { number, kind, tree }: Place): number {
  if (kind === VALUE) return 1
  return kind === LEAF && ['sessions', 'keys'].includes(tree) ? nodes(file, number).length : 0
}

t.test('one damaged page: everything outside of it, and what is lost is counted', async t => {
  const { file, contents, inUse, path } = await soundStore(t)
  const random = randomOf(3)
  const pages = file.length / PAGE
  let trials = 0
  for (const place of inUse) {
    const { number, kind, tree } = place
    const at = number * PAGE
    const flip = (): [string, (file: Buffer) => unknown] => {
      const own = kind === BRANCH || kind === LEAF ? nodes(file, number) : [at]
      const where = random.pick([random.below(PAGE), random.below(HEADER), HEADER + random.below(kind === META ? 144 : 2 * own.length), (random.pick(own) - at + random.below(16)) % PAGE])
      const bit = random.below(8)
      return [`bit ${bit} of byte ${where}`, file => { file[at + where]! ^= 1 << bit }]
    }
    const other = random.below(pages)
    const damages: Array<[string, (file: Buffer) => unknown]> = [
      ['zeros', file => file.fill(0, at, at + PAGE)],
      ['noise', file => file.fill(Buffer.from(Array.from({ length: 64 }, () => random.below(256))), at, at + PAGE)],
      [`a copy of ${other}`, file => file.copy(file, at, other * PAGE, (other + 1) * PAGE)],
      ...Array.from({ length: tree === 'keys' && kind !== BRANCH ? 2 : 12 }, flip),
    ]
    for (const [what, damage] of damages) {
      const damaged = Buffer.from(file)
      damage(damaged)
      writeFileSync(path, damaged)
      const name = `page ${number} of ${tree}, kind ${kind}: ${what}`
      try {
        const { found, losses } = await salvage(path, NOW)
        const lost = missing(contents, found)
        const most = holds(file, place)
        // With a session all of its keys are lost.
        if (lost.sessions.length > (tree === 'sessions' ? most : 0) || lost.keys.length > (tree === 'keys' ? most : 0)) t.fail(`${name}: more is lost: ${lost.sessions.length} sessions, ${lost.keys.length} keys; ${losses.faults.some.join('; ')}`)
        if (losses.sessions !== lost.sessions.length || losses.keys !== lost.keys.length) t.fail(`${name}: it says that other numbers are lost`)
        if (losses.faults.count === 0 && !isWhole(path)) t.fail(`${name}: it does not say what is wrong`)
        trials++
      } catch (error) {
        t.fail(`${name}: ${error}`)
      }
    }
  }
  t.ok(trials > 200, `${trials} damages`)
})

/** Whether a server would find nothing wrong with it. */
function isWhole (path: string): boolean {
  try {
    return checkData(path, () => {}).damaged === 0
  } catch {
    return false
  }
}

t.test('several pages damaged: never a wrong value', async t => {
  const { file, contents, inUse, path } = await soundStore(t, 150, 4)
  const random = randomOf(5)
  const pages = file.length / PAGE
  const counts = { saved: 0, nothing: 0 }
  // Those that lead to others are worth more.
  const leading = inUse.filter(({ kind, tree }) => kind !== VALUE && (kind !== LEAF || !['sessions', 'keys'].includes(tree)))
  for (let turn = 0; turn < 300; turn++) {
    const damaged = Buffer.from(file)
    const what = Array.from({ length: 2 + random.below(3) }, () => {
      const { number, kind } = random.pick(random.chance(0.6) ? leading : inUse)
      const at = number * PAGE
      const own = kind === BRANCH || kind === LEAF ? nodes(file, number) : [at]
      const where = kind === META ? at + random.below(HEADER + 144) : random.pick([at + random.below(64), random.pick(own) + random.below(12)])
      const choice = random.below(6)
      if (choice === 0) damaged.fill(0, at, at + PAGE)
      else if (choice === 1) damaged.copy(damaged, at, random.below(pages) * PAGE, PAGE)
      else if (choice === 2) damaged.writeUInt32LE(random.below(pages), kind === META ? at + random.pick([FREE_AT + 40, MAIN_AT + 40, HEADER + 120, HEADER + 128]) : random.pick(own))
      else damaged[where]! ^= 1 << random.below(8)
      return `${choice} at ${where} of page ${number}`
    })
    writeFileSync(path, damaged)
    try {
      missing(contents, (await salvage(path, NOW)).found)
      counts.saved++
    } catch (error) {
      if (!/^nothing of|is no data file/.test((error as Error).message)) t.fail(`${what.join('; ')}: ${error}`)
      counts.nothing++
    }
  }
  t.comment(counts)
  t.ok(counts.saved > 200 && counts.nothing > 0, 'there were damages of each kind')
})

t.test('a file that is cut off, and one of which no key is left', async t => {
  const { file, contents, inUse, path } = await soundStore(t)
  for (let size = 2 * PAGE; size < file.length; size += 7 * PAGE + 1_000) {
    writeFileSync(path, file.subarray(0, size))
    const { found, losses } = await salvage(path, NOW)
    const lost = missing(contents, found)
    if (losses.sessions !== undefined) t.equal(losses.sessions, lost.sessions.length)
    t.equal(losses.keys, lost.keys.length)
  }
  for (const { number } of inUse.filter(({ tree, kind }) => tree === 'keys' && kind === LEAF)) file.fill(0, number * PAGE, (number + 1) * PAGE)
  writeFileSync(path, file)
  const { found, losses } = await salvage(path, NOW)
  t.equal(found.size, contents.size)
  t.equal(losses.keys, [...contents.values()].reduce((sum, { keys }) => sum + keys.size, 0))
})

t.test('a file that is cut off by much, and a last page that cannot be', async t => {
  const { file, contents, path } = await soundStore(t)
  const withLastPage = async (lastPage: number) => {
    const damaged = Buffer.from(file)
    damaged.writeUInt32LE(lastPage, metaAt(file) + HEADER + 120)
    damaged.writeUInt32LE(2 ** 9, metaAt(file) + HEADER + 20) // The map is large enough for both: 2 TiB.
    writeFileSync(path, damaged)
    return await salvage(path, NOW)
  }
  const most = 2 ** 28
  t.strictSame((await withLastPage(most)).losses, noLosses)
  const { found, losses } = await withLastPage(most + 1)
  t.strictSame(missing(contents, found), all)
  t.strictSame(losses, { ...noLosses, faults: { some: [`pages 0 and 1: say that the last page is ${most + 1}`], count: 1 } })
})

t.test('a large value whose count of pages is damaged', async t => {
  const { file, contents, inUse, path } = await soundStore(t)
  const leaves = inUse.filter(({ tree, kind }) => tree === 'keys' && kind === LEAF)
  const large = leaves.flatMap(({ number }) => nodes(file, number)).find(node => file.readUInt16LE(node + 4) === 1)!
  const first = file.readUInt32LE(valueAt(file, large))
  for (const at of [valueAt(file, large) + 16, first * PAGE + 20]) file.writeUInt32LE(0xffffffff, at)
  writeFileSync(path, file)
  const { found, losses } = await salvage(path, NOW)
  t.equal(missing(contents, found).keys.length, 1)
  t.equal(losses.keys, 1)
  t.match(losses.faults.some, [`page ${first + 0xfffffffe}: is in use, but the file ends before its end`])
})

t.test('which state is the current one, when the meta pages do not say', async t => {
  const { file, contents, path } = await soundStore(t)
  const [now, before] = [metaAt(file), PAGE - metaAt(file)]
  const txnId = file.readUInt32LE(now + HEADER + 128)
  const directory = file.readUInt32LE(now + MAIN_AT + 40) * PAGE
  const tried = async (...damages: Array<(file: Buffer) => unknown>) => {
    const damaged = Buffer.from(file)
    for (const damage of damages) damage(damaged)
    writeFileSync(path, damaged)
    return await salvage(path, NOW)
  }
  const erase = (at: number) => (file: Buffer) => file.fill(0, at, at + PAGE)
  const unreadable = { message: /^nothing of \S+ can be saved, because it cannot be known what of it is current: pages 0 and 1: / }

  for (const at of [now, before]) t.strictSame(missing(contents, (await tried(erase(at))).found), all)
  await t.rejects(tried(erase(now), erase(before)), { name: 'InputError', message: /is no data file of a store: it is no file of LMDB's, or has lost pages 0 and 1$/ })
  await t.rejects(tried(erase(now), erase(directory)), unreadable, 'what the last transaction wrote cannot be found')
  await t.rejects(tried(file => file.writeUInt32LE(7, now + HEADER + 128), file => file.writeUInt32LE(60, before + HEADER + 128)), unreadable, 'neither says of which transaction it is')
  t.strictSame(missing(contents, (await tried(file => file.writeUInt32LE(1, now + HEADER + 120), file => file.writeUInt32LE(0, before + HEADER + 16))).found), all, 'other fields')
  t.strictSame(missing(contents, (await tried(erase(directory))).found), all, 'without its table of tables')
  t.strictSame(missing(contents, (await tried(file => file.writeUInt32LE(3, now + MAIN_AT + 40))).found), all, 'or with the number of another page')

  // As a transaction leaves it that was cut off: its meta page is not written, nor one of its pages, where something older is.
  const written = places(file).filter(({ number, kind, tree }) => tree === 'keys' && kind === LEAF && file.readUInt32LE(number * PAGE + 8) === txnId)
  t.ok(written.length > 0)
  const { found, losses } = await tried(erase(now), file => file.writeUInt32LE(3, written[0]!.number * PAGE + 8))
  t.equal(missing(contents, found).keys.length, nodes(file, written[0]!.number).length)
  t.match(losses.faults.some, ['is not of LMDB', 'of transaction 3, but was not in use then'].map(text => new RegExp(text)))
  const { number } = freePlaces(file)[0]!
  const another = (file: Buffer) => file.copy(file, number * PAGE, directory, directory + PAGE)
  await t.rejects(tried(erase(now), another, file => file.writeUInt32LE(number, number * PAGE)), unreadable, 'two tables of tables')
})

t.test('a backup of which a meta page is lost', async t => {
  const directory = t.testdir({ data: {} })
  const store = await lmdbStore(join(directory, 'data'))
  await churn(store, randomOf(6), 40)
  await store.close()
  const contents = await contentsOf(join(directory, 'data'))
  await dataStores.backup(`lmdb:${directory}/data`, join(directory, 'backup'), NOW, {})
  const file = readFileSync(dataOf(join(directory, 'backup')))
  for (const page of [0, 1]) {
    const damaged = Buffer.from(file).fill(0, page * PAGE, (page + 1) * PAGE)
    writeFileSync(join(directory, 'damaged'), damaged)
    const { found, losses } = await salvage(join(directory, 'damaged'), NOW)
    t.strictSame(missing(contents, found), all)
    t.match(losses, { faults: { count: 1 }, sessions: 0, keys: 0 })
  }
})

/** The places of the free list that note a single page, and the transaction that they are under. */
function freePlaces (file: Buffer): Array<{ readonly at: number, readonly number: number, readonly freedBy: number }> {
  const [leaf] = places(file).filter(({ tree, kind }) => tree === 'free' && kind === LEAF)
  return nodes(file, leaf!.number).filter(node => file.readUInt16LE(node + 4) === 0).flatMap(node => {
    const at = (index: number) => valueAt(file, node) + 8 * index
    const length = file.readUInt32LE(at(0))
    return Array.from({ length }, (_, index) => index + 1)
      .filter(index => file.readInt32LE(at(index)) > 0 && (index === 1 || file.readInt32LE(at(index - 1)) >= 0))
      .map(index => ({ at: at(index), number: file.readUInt32LE(at(index)), freedBy: file.readUInt32LE(node + 8) }))
  })
}

/** The keys on a leaf. */
function keysOn (file: Buffer, number: number): Buffer[] {
  return nodes(file, number).map(node => file.subarray(node + 8, valueAt(file, node)))
}

/** Whether a page that is not in use was a leaf of the table of keys, and a whole one. */
function isOldLeaf (file: Buffer, number: number): boolean {
  const at = number * PAGE
  if (file.readUInt32LE(at) !== number || file.readUInt32LE(at + 16) !== LEAF << 16) return false
  return keysOn(file, number).every(key => key.length >= 9 && key.length <= 11 && key[8] === 0x6b)
}

/** The nodes of the branches of the table of keys that lead to a leaf. */
function leafNodes (file: Buffer): Array<{ readonly at: number, readonly leaf: number }> {
  return places(file).filter(({ tree, kind }) => tree === 'keys' && kind === BRANCH).flatMap(({ number }) => nodes(file, number))
    .map(at => ({ at, leaf: file.readUInt32LE(at) })).filter(({ leaf }) => file.readUInt32LE(leaf * PAGE + 16) === LEAF << 16)
}

t.test('pages that LMDB has lost, with what was true once', async t => {
  const { file, contents, inUse, path } = await soundStore(t, 350, 7)
  const old = freePlaces(file).filter(({ number }) => isOldLeaf(file, number))
  t.ok(old.length > 2)
  for (const { at } of old) file.writeUInt32LE(0, at)
  writeFileSync(path, file)
  t.strictSame((await salvage(path, NOW)).losses, noLosses, 'the file is whole')
  const root = inUse.find(({ tree, kind }) => tree === 'keys' && kind === BRANCH)!.number
  file.fill(0, root * PAGE, (root + 1) * PAGE)
  writeFileSync(path, file)
  t.strictSame(missing(contents, (await salvage(path, NOW)).found), all, 'they are older than what is in use')
  // As if it were the newest of all: then nothing shows which of two is in use.
  let refused = 0
  for (const { number } of old) {
    const newest = Buffer.from(file)
    newest.writeUInt32LE(file.readUInt32LE(metaAt(file) + HEADER + 128), number * PAGE + 8)
    writeFileSync(path, newest)
    const { found } = await salvage(path, NOW)
    t.equal(missing(contents, found).sessions.length, 0)
    if ([...found.values()].every(({ keys }) => keys.size === 0)) refused++
  }
  t.ok(refused > 0)

  const directory = file.readUInt32LE(metaAt(file) + MAIN_AT + 40)
  file.fill(0, directory * PAGE, (directory + 1) * PAGE)
  writeFileSync(path, file)
  t.match(await salvage(path, NOW), { found: new Map(), losses: { sessions: undefined, keys: 0, unowned: 0 } }, 'not even how much is lost can be known')
})

t.test('pages that are in use and free', async t => {
  const { file, contents, path } = await soundStore(t, 350, 8)
  const free = freePlaces(file)
  const tried = async (damage: (file: Buffer) => void) => {
    const damaged = Buffer.from(file)
    damage(damaged)
    writeFileSync(path, damaged)
    return await salvage(path, NOW)
  }
  const leaves = leafNodes(file)
  let believed = 0
  for (const { at, number } of free.slice(0, 20)) {
    const { found, losses } = await tried(file => { file.writeUInt32LE(leaves[0]!.leaf, at) })
    const lost = missing(contents, found).keys.length
    // Unless the page that is not free any more would fit as well.
    if (lost !== 0) t.ok(lost === nodes(file, leaves[0]!.leaf).length && isOldLeaf(file, number))
    else believed++
    t.match(losses.faults.some, [`page ${leaves[0]!.leaf}: is free, but in use too`])
  }
  t.ok(believed > 10, 'it is the free list that is wrong')
  let trials = 0
  for (const { number, freedBy } of free.filter(({ number }) => isOldLeaf(file, number))) {
    const [first] = keysOn(file, number)
    for (const { at, leaf } of leaves) {
      if (Buffer.compare(keysOn(file, leaf)[0]!, first!) > 0 || Buffer.compare(keysOn(file, leaf).at(-1)!, first!) < 0) continue
      const { found } = await tried(file => { file.writeUInt32LE(number, at) })
      t.ok(missing(contents, found).keys.length <= nodes(file, leaf).length, 'what leads to one with older keys is not followed')
      // Those that the last transaction freed itself nothing else notes.
      if (freedBy === file.readUInt32LE(metaAt(file) + HEADER + 128)) continue
      const { number: list } = places(file).find(({ tree, kind }) => tree === 'free' && kind === LEAF)!
      const { found: without } = await tried(file => { file.fill(0, list * PAGE, (list + 1) * PAGE).writeUInt32LE(number, at) })
      t.ok(missing(contents, without).keys.length <= nodes(file, leaf).length, 'not even if it is not known what is free')
      trials++
    }
  }
  t.ok(trials > 2)
})

t.test('an older page, or value, of which nothing but its age tells it from the one in use', async t => {
  const directory = join(t.testdir(), 'data')
  const path = join(t.testdirName, 'damaged')
  const store = await lmdbStore(directory)
  for (let n = 1; n < 30; n++) {
    await store.create(idOf(n), sessionOf(), START)
    await set(store, idOf(n), START, Object.fromEntries(Array.from({ length: 20 }, (_, k) => [`k${k}`, json(`${n} ${'x'.repeat(90)}`)])))
  }
  await set(store, idOf(7), START, { k3: json(`old ${'x'.repeat(90)}`), long: json('old'.repeat(3_000)) })
  await set(store, idOf(7), START, { k3: json(`new ${'x'.repeat(90)}`), long: json('new'.repeat(3_000)) })
  await store.close()
  const file = readFileSync(dataOf(directory))
  const contents = await contentsOf(directory)
  const pagesWith = (text: string) => Array.from({ length: file.length / PAGE }, (_, page) => page).filter(page => page > 1 && file.subarray(page * PAGE, (page + 1) * PAGE).includes(text))
  const [current] = leafNodes(file).filter(({ leaf }) => pagesWith('"new x').includes(leaf))
  const [older] = pagesWith('"old x')
  const leaf = Buffer.from(file)
  leaf.writeUInt32LE(older!, current!.at)
  writeFileSync(path, leaf)
  const { found, losses } = await salvage(path, NOW)
  t.equal(missing(contents, found).keys.length, nodes(file, current!.leaf).length, 'neither is taken')
  t.match(losses.faults.some, [/is free, but in use too/])

  const node = leafNodes(file).flatMap(({ leaf }) => nodes(file, leaf)).find(node => file.readUInt16LE(node + 4) === 1)!
  const value = Buffer.from(file)
  value.writeUInt32LE(pagesWith('"oldold')[0]!, valueAt(file, node))
  writeFileSync(path, value)
  const other = await salvage(path, NOW)
  t.strictSame(missing(contents, other.found), { sessions: [], keys: ['long'] })
  t.match(other.losses, { keys: 1, examples: [{ id: idOf(7), keys: 1, names: ['long'] }] })
})

t.test('records that are damaged: what is lost with them is counted, and named where a name is known', async t => {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  const many = Object.fromEntries(Array.from({ length: 150 }, (_, k) => [`gone${k}`, json(k)]))
  for (const n of [1, 2, 3, 4, 5]) await store.create(idOf(n), sessionOf({ name: `name${n}`, ...n === 4 && { duration: 1 }, ...n === 5 && { duration: 1, deleteSession: false } }), START)
  await set(store, idOf(1), START, { a: json('needle'), b: json(2), long: json('thread'.repeat(2_000)) })
  await set(store, idOf(2), START, { c: json(1), d: json(2) })
  await set(store, idOf(3), START, many)
  await set(store, idOf(3), START, { other: json('straw') })
  for (const n of [4, 5]) await set(store, idOf(n), START, { over: json('needles') })
  await store.create(idOf(6), sessionOf({ name: 'gone' }), START)
  await set(store, idOf(6), START, many)
  await store.remove(idOf(6), START)
  await store.close()
  const contents = await contentsOf(directory)
  t.strictSame((await salvage(directory, NOW)).losses, noLosses, 'nothing of what is over, whoever has not swept it yet')
  t.strictSame(missing(contents, (await salvage(directory, NOW)).found), all)
  t.strictSame([...(await salvage(directory, NOW)).found.keys()].sort(), [1, 2, 3, 5].map(idOf))

  const file = readFileSync(dataOf(directory))
  for (const text of ['"needle"', 'threadthread', 'straw', 'name2']) {
    for (let at = file.indexOf(text); at >= 0; at = file.indexOf(text, at + PAGE)) file[at + 2]! ^= 1
  }
  for (let at = file.indexOf('other'); at >= 0; at = file.indexOf('other', at + 1)) file[at]! ^= 1
  writeFileSync(dataOf(directory), file)
  const { found, losses } = await salvage(directory, NOW)
  t.strictSame(missing(contents, found), { sessions: [idOf(2)], keys: ['a', 'long', 'other'] })
  t.match(losses, {
    faults: { some: ['the table "keys": records that are damaged: 3', 'the table "sessions": records that are damaged: 1'], count: 2 },
    sessions: 1,
    keys: 3,
    unowned: 2,
    examples: [{ id: idOf(1), keys: 2, names: ['a', 'long'] }, { id: idOf(3), keys: 1, names: [] }],
  })
})

t.test('sessions whose records contradict each other', async t => {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  for (const n of [1, 2, 3]) {
    await store.create(idOf(n), sessionOf(), START)
    await set(store, idOf(n), START, { a: json(n) })
  }
  await store.close()
  const root = open({ path: directory, noSubdir: false, overlappingSync: false, pageSize: PAGE })
  const id = Buffer.from(idOf(4), 'hex')
  root.openDB('sessions', { keyEncoding: 'binary', encoding: 'binary' }).putSync(id, encodeStored(id, { session: sessionOf(), size: 1, generation: 2 }))
  await root.close()
  const { found, losses } = await salvage(directory, NOW)
  t.strictSame([...found.keys()], [idOf(1), idOf(3)])
  t.match(losses, { sessions: 2, keys: 0, unowned: 1 })
})

t.test('more sessions than places are kept for at first, and an interruption', async t => {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  await Promise.all(Array.from({ length: 2_500 }, async (_, n) => { await store.create(idAt(n), sessionOf(), START) }))
  await store.close()
  const told: number[] = []
  const opened = await openSalvage(directory, { report: ({ done, of }) => { told.push(done / of) } })
  let count = 0
  for await (const { keys } of opened.sessions(NOW)) count += 1 + [...keys].length
  t.equal(count, 2_500)
  opened.close()
  t.ok(told.length > 3 && told.every(part => part >= 0 && part <= 1))
  await t.rejects(openSalvage(directory, { signal: AbortSignal.abort(new Error('interrupted')) }), { message: 'interrupted' })
  await (await lmdbStore(directory)).close()
})

t.test('a server keeps a store from it, and it a server', async t => {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  const refused = { name: 'InputError', message: new RegExp(`^process ${process.pid} on \\S+, since \\S+, has it, and has to be stopped first$`) }
  for (const path of [directory, dataOf(directory)]) await t.rejects(salvage(path, NOW), refused)
  fs.symlinkSync(dataOf(directory), join(t.testdirName, 'link'))
  await t.rejects(salvage(join(t.testdirName, 'link'), NOW), refused)
  await store.close()
  const opened = await openSalvage(directory)
  await t.rejects(lmdbStore(directory), /has it/)
  opened.close()
  await (await lmdbStore(directory)).close()
  const claim = await claimDirectory(directory)
  const member = await lmdbStore(directory, { role: 'member' })
  await claim.release(false)
  await t.rejects(salvage(directory, NOW), { name: 'InputError', message: /still use it$/ })
  await member.close()

  const { openSync } = fs
  t.teardown(() => {
    fs.openSync = openSync
    syncBuiltinESMExports()
  })
  const failing = (code: string) => {
    // Only what tells whether a file system can be written to.
    fs.openSync = ((path: string, flags: string, mode: number) => {
      if (flags === 'a+') throw Object.assign(new Error(code), { code })
      return openSync(path, flags, mode)
    }) as typeof openSync
    syncBuiltinESMExports()
  }
  failing('EROFS')
  t.match(await salvage(directory, NOW), { losses: noLosses }, 'on a file system that is read-only')
  failing('EACCES')
  await t.rejects(salvage(directory, NOW), { code: 'EACCES' })
})

t.test('what is no data file of a store', async t => {
  const directory = t.testdir({ empty: {}, store: {}, other: {}, fresh: {}, text: 'a text' })
  const path = join(directory, 'file')
  const input = (message: RegExp) => ({ name: 'InputError', message })
  await t.rejects(salvage(join(directory, 'nowhere'), NOW), input(/^there is no file or directory \S+nowhere$/))
  await t.rejects(salvage(join(directory, 'empty'), NOW), input(/^there is no data\.mdb in \S+empty$/))
  await t.rejects(salvage(join(directory, 'text'), NOW), input(/^\S+text is no data file of a store: /))
  execFileSync('mkfifo', [join(directory, 'pipe')])
  await t.rejects(salvage(join(directory, 'pipe'), NOW), input(/pipe is not a file$/))
  writeFileSync(path, '')
  await t.rejects(salvage(path, NOW), input(/is no data file of a store: /))
  for (const name of ['other', 'fresh']) {
    const root = open({ path: join(directory, name), noSubdir: false, pageSize: PAGE, overlappingSync: false })
    if (name === 'other') root.openDB('other', {}).putSync('a', 1)
    await root.close()
    await t.rejects(salvage(join(directory, name), NOW), input(/is a file of LMDB, but none of Holdfast's$/))
  }

  const own = join(directory, 'store')
  const store = await lmdbStore(own)
  await store.create(idOf(1), sessionOf(), START)
  await store.close()
  const file = readFileSync(dataOf(own))
  const [meta] = places(file).filter(({ tree, kind }) => tree === 'meta' && kind === LEAF)
  const node = nodes(file, meta!.number).find(node => file.toString('latin1', node + 8, valueAt(file, node)) === 'format')!
  for (const [format, message] of [['3', /^it holds data of format 3; this version of Holdfast reads format 2$/], ['r', undefined]] as const) {
    file.write(format, valueAt(file, node))
    writeFileSync(path, file)
    writeFileSync(dataOf(own), file)
    if (message !== undefined) await t.rejects(salvage(path, NOW), { message })
    else t.match((await salvage(path, NOW)).losses, { faults: { some: ['the record of the format: is damaged'], count: 1 }, sessions: 0 }, 'no format has such a name')
    t.match((await salvage(own, NOW)).losses, { faults: { count: 1 }, sessions: 0 }, 'the marker says which it is')
  }
  file.write('3', valueAt(file, node))
  writeFileSync(dataOf(own), file)
  for (const marker of ['{"holdfast":"store","format":3}', '{']) {
    writeFileSync(join(own, 'holdfast.json'), marker)
    await t.rejects(salvage(own, NOW), { message: /format 3/ })
  }
})

t.test('sectors that the disk cannot read any more', async t => {
  const { file, contents, inUse, path } = await soundStore(t, 100, 9)
  writeFileSync(path, file)
  const { readSync } = fs
  t.teardown(() => {
    fs.readSync = readSync
    syncBuiltinESMExports()
  })
  for (const place of inUse) {
    const failing = (code: string) => {
      // As the code under test calls it.
      fs.readSync = ((fd: number, into: Buffer, at: number, count: number, position: number) => {
        if (position < (place.number + 1) * PAGE && position + count > place.number * PAGE) throw Object.assign(new Error(code), { code })
        return readSync(fd, into, at, count, position)
      }) as typeof readSync
      syncBuiltinESMExports()
    }
    failing('EIO')
    const { found, losses } = await salvage(path, NOW)
    const lost = missing(contents, found)
    const most = holds(file, place)
    t.ok(lost.sessions.length <= (place.tree === 'sessions' ? most : 0) && lost.keys.length <= (place.tree === 'keys' ? most : 0))
    t.ok(losses.faults.some.some(fault => /: cannot be read from the disk$/.test(fault)))
    failing('EBADF')
    await t.rejects(salvage(path, NOW), { code: 'EBADF' })
  }
})
