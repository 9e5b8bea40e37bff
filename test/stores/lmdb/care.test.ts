// Backups and inspections of an LMDB store, and what it does when its disk is full or something in it is damaged.
import { execFileSync } from 'node:child_process'
import fs, { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import t, { type Test } from 'tap'
import { InputError } from '../../../src/stores/input-error.js'
import { dataStores } from '../data-stores.js'
import type { SessionStore } from '../../../src/session.js'
import { writeStamp } from '../../../src/stores/lmdb/files.js'
import { Environment } from '../../../src/stores/lmdb/environment.js'
import { writeFault } from '../../../src/stores/lmdb/faults.js'
import { lmdbStore } from '../../../src/stores/lmdb/open.js'
import { encodeNumber } from '../../../src/stores/lmdb/records.js'
import { secretOf } from '../../../src/stores/lmdb/secret.js'
import type { CommonOptions } from '../../../src/stores/options.js'
import { dump, ID, idOf, json, reading, sessionOf, set, START } from '../../store-suite.js'

async function filled (t: Test, options: CommonOptions = {}): Promise<{ directory: string, store: SessionStore }> {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory, options)
  await store.create(ID, sessionOf({ name: 'basket' }), START)
  await set(store, ID, START, { a: json('needle'), b: json(2) })
  await store.create(idOf(2), sessionOf({ duration: 1 }), START)
  await store.create(idOf(3), sessionOf({ duration: 1, deleteSession: false }), START)
  await set(store, idOf(3), START, { gone: json(1) })
  return { directory, store }
}

function corrupt (directory: string, text: string): void {
  const file = join(directory, 'data.mdb')
  const bytes = readFileSync(file)
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

const NOW = START + 1_000

function modesIn (directory: string): Record<string, number> {
  return Object.fromEntries(readdirSync(directory).map(name => [name, fs.statSync(join(directory, name)).mode & 0o777]))
}

t.test('a backup of a store that is written to holds what was acknowledged before, and opens as a store', async t => {
  const { directory, store } = await filled(t)
  const backup = join(t.testdirName, 'backup')
  const state = { isOver: false }
  const writing = (async () => {
    for (let n = 0; !state.isOver; n++) await set(store, ID, START, { [`k${n}`]: json(n) })
  })()
  for (let n = 0; n < 20; n++) await set(store, ID, START, { [`before${n}`]: json(n) })
  const made = await dataStores.backup(`lmdb:${directory}`, backup, NOW, {})
  state.isOver = true
  await writing
  t.match(made, { sessions: 2, damaged: 0 })
  t.strictSame(readdirSync(backup).sort(), ['data.mdb', 'holdfast.json'], 'no secret, and nothing of LMDB\'s own')
  t.equal((await dataStores.inspect(`lmdb:${backup}`, NOW)).keys, made.keys)
  t.strictSame(readdirSync(backup).sort(), ['data.mdb', 'holdfast.json'])
  const copy = await lmdbStore(backup)
  const keys = new Map(await dump(copy, ID, START))
  for (let n = 0; n < 20; n++) t.equal(keys.get(`before${n}`), json(n))
  t.ok(await set(copy, ID, START, { more: json(1) }))
  await copy.close()
  await store.close()
})

t.test('a backup goes to a directory of its own, and leaves nothing behind when it fails', async t => {
  const { directory, store } = await filled(t)
  await store.close()
  const parent = t.testdirName
  writeFileSync(join(parent, 'file'), '')
  for (const target of [join(parent, 'file'), directory]) await t.rejects(dataStores.backup(`lmdb:${directory}`, target, NOW, {}), InputError)
  fs.symlinkSync(join(parent, 'nothing'), join(parent, 'dangling'))
  fs.symlinkSync(directory, join(parent, 'link'))
  const targets = {
    [join(parent, 'dangling')]: `${join(parent, 'dangling')} is a link that leads nowhere`,
    [join(directory, 'a', 'b')]: `${join(directory, 'a', 'b')} lies in ${directory}, the directory of the store itself`,
    [join(parent, 'link', 'a')]: `${join(parent, 'link', 'a')} lies in ${directory}, the directory of the store itself`,
    'lmdb:./zz': 'a backup goes to a directory, and lmdb:./zz is the URL of a store',
    'memory:': 'a backup goes to a directory, and memory: is the URL of a store',
  }
  for (const [target, message] of Object.entries(targets)) await t.rejects(dataStores.backup(`lmdb:${directory}`, target, NOW, {}), { name: 'InputError', message })
  const stopping = new AbortController()
  stopping.abort(new Error('interrupted'))
  await t.rejects(dataStores.backup(`lmdb:${directory}`, join(parent, 'new'), NOW, { signal: stopping.signal }), /interrupted/)
  t.notOk(existsSync(join(parent, 'new')))
  fs.mkdirSync(join(parent, 'empty'))
  await t.rejects(dataStores.backup(`lmdb:${directory}`, join(parent, 'empty'), NOW, { signal: stopping.signal }), /interrupted/)
  t.strictSame(readdirSync(join(parent, 'empty')), [])
  fs.chmodSync(join(parent, 'empty'), 0o755)
  t.match(await dataStores.backup(`lmdb:${directory}`, join(parent, 'empty'), NOW, { report () {}, signal: new AbortController().signal }), { sessions: 2, keys: 2 })
  t.strictSame(modesIn(join(parent, 'empty')), { 'data.mdb': 0o600, 'holdfast.json': 0o600 }, 'for its owner alone, although everybody may read the directory')
  for (const url of ['lmdb:/nowhere', `lmdb:${join(parent, 'file')}`, `lmdb:${parent}`, 'memory:']) {
    await t.rejects(dataStores.inspect(url, NOW), InputError)
    await t.rejects(dataStores.open(url, 'export'), InputError)
  }
  for (const purpose of ['export', 'import'] as const) {
    await t.rejects(dataStores.open(`lmdb:${join(parent, 'file')}`, purpose), { name: 'InputError', message: `${join(parent, 'file')} is a file and not a directory` })
  }
  rmSync(join(directory, 'data.mdb'))
  await t.rejects(dataStores.inspect(`lmdb:${directory}`, NOW), /data\.mdb is missing/)
})

t.test('a store that a server has takes no import', async t => {
  const { directory, store } = await filled(t)
  await t.rejects(dataStores.open(`lmdb:${directory}`, 'import'), { name: 'InputError', message: /^process \d+ on .* has it$/ })
  await store.close()
})

t.test('what stands in place of a file and is none is named, and not opened', async t => {
  const { directory, store } = await filled(t)
  await store.secret(() => Buffer.alloc(32, 1))
  await store.close()
  const pipe = join(t.testdirName, 'pipe')
  execFileSync('mkfifo', [pipe])
  for (const name of ['data.mdb', 'lock.mdb', 'holdfast.json', 'secret', 'members.lock', 'writer.lock']) {
    const [path, aside] = [join(directory, name), join(t.testdirName, 'aside')]
    fs.renameSync(path, aside)
    for (const put of [() => { fs.mkdirSync(path) }, () => { fs.linkSync(pipe, path) }]) {
      put()
      await t.rejects(dataStores.inspect(`lmdb:${directory}`, NOW), { message: `${name} is not a file` })
      rmSync(path, { recursive: true })
    }
    fs.renameSync(aside, path)
  }
  t.match(await dataStores.inspect(`lmdb:${directory}`, NOW), { keys: 2 })
})

t.test('a store without its marker is read all the same, as a server opens it, and is left without', async t => {
  const { directory, store } = await filled(t)
  rmSync(join(directory, 'holdfast.json'))
  t.match(await dataStores.inspect(`lmdb:${directory}`, NOW), { keys: 2 }, 'while a server has it')
  await store.close()
  const before = readdirSync(directory).sort()
  t.match(await dataStores.inspect(`lmdb:${directory}`, NOW), { keys: 2 })
  const source = await dataStores.open(`lmdb:${directory}`, 'export')
  await source.close()
  t.match(await dataStores.backup(`lmdb:${directory}`, join(t.testdirName, 'backup'), NOW, {}), { keys: 2 })
  t.strictSame(readdirSync(directory).sort(), before)

  const foreign = join(t.testdirName, 'foreign')
  fs.mkdirSync(foreign)
  await t.rejects(dataStores.inspect(`lmdb:${foreign}`, NOW), { name: 'InputError', message: `${foreign} holds no store of Holdfast's` })
  const root = open({ path: foreign, noSubdir: false, pageSize: 4096, overlappingSync: false })
  root.openDB('other', {}).putSync('a', 1)
  await root.close()
  await t.rejects(dataStores.inspect(`lmdb:${foreign}`, NOW), { message: "data.mdb is a file of LMDB, but none of Holdfast's" })
  writeFileSync(join(foreign, 'data.mdb'), Buffer.alloc(65 * 2 ** 20))
  writeStamp(foreign)
  await t.rejects(dataStores.inspect(`lmdb:${foreign}`, NOW), /page 0: is not of LMDB/)
})

t.test('on a file system that is read-only a store is read without its locks, but not while a server has it', async t => {
  const { directory, store } = await filled(t)
  const { accessSync } = fs
  t.teardown(() => {
    fs.accessSync = accessSync
    syncBuiltinESMExports()
  })
  fs.accessSync = () => { throw Object.assign(new Error('EROFS'), { code: 'EROFS' }) }
  syncBuiltinESMExports()
  await t.rejects(dataStores.inspect(`lmdb:${directory}`, NOW), { name: 'InputError', message: /^a server has it, / })
  await store.close()
  t.match(await dataStores.inspect(`lmdb:${directory}`, NOW), { keys: 2 })
  rmSync(join(directory, 'owner.lock'))
  t.match(await dataStores.inspect(`lmdb:${directory}`, NOW), { keys: 2 })
})

t.test('what a store holds, and which of its records are damaged', async t => {
  const { directory, store } = await filled(t)
  const url = `lmdb:${directory}`
  for (let n = 10; n < 700; n++) await store.create(idOf(n), sessionOf(), START)
  const live = await dataStores.inspect(url, NOW)
  t.match(live, { kind: 'lmdb', format: '2', sessions: 692, keys: 2, bytes: 2 + '"needle"'.length + 1, expired: 2 })
  const done: number[] = []
  t.strictSame(await dataStores.verify(url, { report: part => { done.push(part.of) } }), { records: 700, damaged: 0, examples: [] })
  t.strictSame(new Set(done), new Set([700]))
  await store.close()

  corrupt(directory, 'needle')
  corrupt(directory, 'basket')
  const both = await dataStores.verify(url, {})
  t.match(both, { damaged: 2 })
  t.match(both.examples, [`sessions ${ID}: does not fit its CRC32`, 'key "a" of session none that is known: does not fit its CRC32'])
  t.equal(both.examples.length, 2)
  corrupt(directory, 'casket')
  t.match(await dataStores.inspect(url, NOW), { expired: 2 })
  t.match(await dataStores.backup(url, join(t.testdirName, 'backup'), NOW, {}), { damaged: 1 })
  await t.rejects(dataStores.verify(url, { signal: AbortSignal.abort(new Error('interrupted')) }), /interrupted/)
  const target = await dataStores.open(`lmdb:${join(t.testdirName, 'target')}`, 'import')
  await target.close()
  const source = await dataStores.open(`lmdb:${join(t.testdirName, 'target')}`, 'export')
  await source.close()
})

/** Has a data file end with a page that is nowhere noted: LMDB loses some now and then. */
function losePage (directory: string): void {
  const file = join(directory, 'data.mdb')
  const bytes = readFileSync(file)
  for (const page of [0, 1]) {
    const lastPage = 4096 * page + 24 + 120
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(lastPage) + 1n, lastPage)
  }
  writeFileSync(file, Buffer.concat([bytes, Buffer.alloc(4096)]))
}

t.test('a backup of a store that has lost pages, which LMDB refuses to compact', async t => {
  const { directory, store } = await filled(t)
  await store.close()
  losePage(directory)
  const backup = join(t.testdirName, 'backup')
  t.match(await dataStores.backup(`lmdb:${directory}`, backup, NOW, {}), { sessions: 2, keys: 2 })
  t.equal(readFileSync(join(backup, 'data.mdb')).length, readFileSync(join(directory, 'data.mdb')).length, 'as it is')
  const copy = await lmdbStore(backup)
  t.strictSame(await dump(copy, ID, START), [['a', '"needle"'], ['b', '2']])
  await copy.close()
})

t.test('a data file that is none is not opened, not even to look at it', async t => {
  const { directory, store } = await filled(t)
  await store.close()
  writeFileSync(join(directory, 'data.mdb'), 'x'.repeat(10_000))
  const looks: Array<Promise<unknown>> = [dataStores.inspect(`lmdb:${directory}`, NOW), dataStores.verify(`lmdb:${directory}`, {})]
  for (const one of looks) await t.rejects(one, /page 0: is not of LMDB/)
  t.match((await lmdbStore(directory).catch(error => error as Error)), { message: /page 0: is not of LMDB/ }, 'nobody holds it')
})

t.test('what has rotted since the store was closed is seen: at the start if the file is small, and by --verify', async t => {
  const { directory, store } = await filled(t)
  await store.close()
  corrupt(directory, 'needle')
  writeStamp(directory)
  const toldOf = async () => {
    const told: string[] = []
    const again = await lmdbStore(directory, { report: error => { told.push(error.message) } })
    await again.close()
    return told
  }
  const once = async (why: string) => {
    const told = await toldOf()
    t.match(told, [/^1 records in .* are damaged/], why)
    t.equal(told.length, 1, 'once')
  }
  await once('what is closed as it is and small is read again as a whole')
  fs.truncateSync(join(directory, 'data.mdb'), 65 * 2 ** 20)
  writeStamp(directory)
  t.strictSame(await toldOf(), [], 'reading a large file takes its time')
  writeFileSync(join(directory, 'suspect'), '')
  await once('LMDB had met what it could not read')
  t.notOk(existsSync(join(directory, 'suspect')))
  t.strictSame(await toldOf(), [])
  t.match(await dataStores.verify(`lmdb:${directory}`, {}), { damaged: 1 })
  const file = fs.openSync(join(directory, 'data.mdb'), 'r+')
  fs.writeSync(file, Buffer.alloc(4096 * 5), 0, 4096 * 5, 4096 * 2)
  fs.closeSync(file)
  writeStamp(directory)
  await t.rejects(dataStores.verify(`lmdb:${directory}`, {}), /data\.mdb is damaged/)
})

t.test('a damaged value is named with its session', async t => {
  const { directory, store } = await filled(t)
  await store.close()
  corrupt(directory, 'needle')
  t.match(await dataStores.verify(`lmdb:${directory}`, {}), { damaged: 1, examples: [`key "a" of session ${ID}: does not fit its CRC32`] })
})

t.test('a full disk: writing fails, reading goes on, and writing does when there is space', async t => {
  const told: string[] = []
  const { directory, store } = await filled(t, { report: error => { told.push(error.message) } })
  await store.create(idOf(4), sessionOf({ idle: 10 }), START)
  await set(store, idOf(4), START, { a: json(1) })
  const { statfsSync } = fs
  const restore = () => {
    fs.statfsSync = statfsSync
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  // What is asked before anything is written.
  fs.statfsSync = (() => ({ bavail: 200, bsize: 4096 })) as unknown as typeof statfsSync
  syncBuiltinESMExports()
  const full = { name: 'StatusError', message: /disk of the store is full/ }
  for (let n = 0; n < 3; n++) await t.rejects(set(store, ID, START, { c: json(1) }), full)
  t.strictSame(told, ['The disk is full: a transaction failed'], 'one line for all')
  t.strictSame(await dump(store, ID, START), [['a', '"needle"'], ['b', '2']])
  t.strictSame(await store.access(idOf(4), START + 1, reading({ get: ['a'] }, view => view.get('a'), true)), { reply: '1' })
  t.equal(await store.find(idOf(2), NOW), undefined)
  t.strictSame((await store.find(idOf(3), NOW))?.size, 0)
  t.equal(await store.access(idOf(2), NOW, reading({}, () => 0)), undefined)
  t.strictSame(await store.access(idOf(3), NOW, reading({}, view => view.size)), { reply: 0 })
  t.match(writeFault(new Error('Input/output error'), directory), { status: 'LimitExceeded' })
  restore()
  t.match(writeFault(new Error('Input/output error'), directory), { status: 'StoreUnavailable' })
  t.match(writeFault(new Error('Input/output error'), '/nowhere'), { status: 'StoreUnavailable' })
  t.ok(await set(store, ID, START, { c: json(1) }))
  await store.close()
})

t.test('what is damaged is swept past, and told', async t => {
  const told: string[] = []
  const { directory, store } = await filled(t)
  await store.create(idOf(5), sessionOf({ name: 'withered', duration: 1 }), START)
  for (let n = 10; n < 1_210; n++) await store.create(idOf(n), sessionOf({ duration: 1 }), START)
  t.strictSame(await store.totals(NOW), { sessions: 2, keys: 2 })
  await store.close()
  corrupt(directory, 'withered')
  const again = await lmdbStore(directory, { report: error => { told.push(error.message) } })
  const raw: RootDatabase = open({ path: directory, noSubdir: false, overlappingSync: false })
  raw.openDB<Buffer, Buffer>('trash', { keyEncoding: 'binary', encoding: 'binary' }).putSync(Buffer.alloc(8, 1), encodeNumber(Buffer.alloc(8, 2), 7))
  told.length = 0
  while (await again.sweep(NOW, 500) > 0);
  t.match(told.sort(), [/number of keys in the trash/, /record of a session/])
  t.equal(told.length, 2)
  await raw.close()
  await again.close()
})

t.test('the secret cannot be read, or not be made', async t => {
  const directory = t.testdir({ secret: {} })
  t.throws(() => secretOf(directory, () => Buffer.alloc(32)), { code: 'EISDIR' })
  t.throws(() => secretOf(join(directory, 'nowhere'), () => Buffer.alloc(32)), { code: 'ENOENT' })
})

t.test('what LMDB says of itself: corruption is damage, and what it cannot go on from ends the process, once', async t => {
  const directory = t.testdir()
  const fatal: string[] = []
  let fault: Error | undefined
  const lmdbError = (message: string) => Object.assign(new Error(message), { code: 5 })
  const root = {
    resetReadTxn () {},
    get () {},
    transactionSync (work: () => void) {
      work()
      if (fault !== undefined) throw fault
    },
    // Only what an environment asks of it.
  } as unknown as RootDatabase
  const make = () => new Environment({ root, lock: { take () {}, release () {} }, directory, takeGrowth: () => 0 }, { onFatal: error => { fatal.push(error.message) } })
  t.throws(() => make().read(() => { throw new Error('MDB_CORRUPTED: Located page was wrong type') }), { message: 'What is stored there is damaged.' })
  t.throws(() => make().attempt(() => { throw new Error('of ours') }), { message: 'of ours' })
  t.ok(existsSync(join(directory, 'suspect')), 'it is checked before it is opened again')
  fault = new Error('MDB_CORRUPTED: Located page was wrong type')
  t.throws(() => make().transact(() => {}), { message: 'What is stored there is damaged.' })
  fault = new Error('MDB_BAD_TXN: Transaction must abort, has a child, or is invalid')
  t.throws(() => make().transact(() => {}), { message: /could not write/ }, 'met by what comes after the damage')
  rmSync(directory, { recursive: true })
  t.throws(() => make().read(() => { throw new Error('MDB_CORRUPTED') }), { message: 'What is stored there is damaged.' })
  t.testdir()

  fault = lmdbError('MDB_BAD_TXN: Transaction must abort, has a child, or is invalid')
  let runs = 0
  make().transact(() => { if (++runs === 2) fault = undefined })
  t.equal(runs, 2, 'what LMDB gave up is tried once more')
  fault = lmdbError('MDB_BAD_TXN: Transaction must abort, has a child, or is invalid')
  t.throws(() => make().transact(() => { runs++ }), { message: /could not write/ })
  t.equal(runs, 4)

  fault = lmdbError(`Attempting to write page ${'x'.repeat(100)}`)
  const overrun = make()
  for (let n = 0; n < 2; n++) t.throws(() => overrun.transact(() => {}), { message: 'The store has to be opened anew.' })
  t.throws(() => overrun.read(() => 1), { message: 'The store has to be opened anew.' })
  t.match(fatal, [/damaged the memory/])
  t.equal(fatal.length, 1)
  t.ok(overrun.hasFailed)

  fault = lmdbError('Invalid argument')
  Object.assign(root, { get () { throw new Error('MDB_PANIC: Update of meta page failed') } })
  const failed = make()
  t.throws(() => failed.transact(() => {}), { message: 'The store has to be opened anew.' })
  t.throws(() => failed.read(() => { throw new Error('MDB_PANIC') }), { message: 'The store has to be opened anew.' })
  t.match(fatal, [/damaged the memory/, /could not update its meta page/])
  t.equal(fatal.length, 2)
})
