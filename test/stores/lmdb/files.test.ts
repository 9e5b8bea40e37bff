// What an LMDB store makes of its directory: of what is missing, damaged, foreign, or in use by others.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { SessionId, SessionStore } from '../../../src/session.js'
import { claimDirectory, lmdbReader, lmdbStore } from '../../../src/stores/lmdb/open.js'
import { lockAsMember, lockOut } from '../../../src/stores/lmdb/locks.js'
import { makeDirectory } from '../../../src/stores/lmdb/files.js'
import { openWriterLock } from '../../../src/stores/lmdb/writer-lock.js'
import { claimData, parseStoreUrl } from '../../../src/stores/table.js'
import { uncountedNode } from '../../crash/server.js'
import { dump, ID, idOf, json, sessionOf, set, START } from '../../store-suite.js'

const LMDB = fileURLToPath(import.meta.resolve('../../../src/stores/lmdb/open.js'))

/** A directory with a store that has been closed: one session, whose key `a` is a text that stands nowhere else. */
async function closed (t: Test, value = 'needle'): Promise<string> {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory)
  await store.secret(() => Buffer.alloc(32, 1))
  await store.create(ID, sessionOf({ name: 'haystack' }), START)
  await set(store, ID, START, { a: json(value), b: json(2) })
  await store.close()
  return directory
}

const dataOf = (directory: string) => join(directory, 'data.mdb')

/** Changes the first place of the data file that has this text. (LMDB copies pages, so that older ones may have it too.) */
function corrupt (directory: string, text: string): void {
  const bytes = readFileSync(dataOf(directory))
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) bytes[at]! ^= 1
  writeFileSync(dataOf(directory), bytes)
}

async function withStore<T> (directory: string, use: (store: SessionStore) => Promise<T>): Promise<T> {
  const store = await lmdbStore(directory)
  return await use(store).finally(async () => { await store.close() })
}

t.test('a data file that is missing, empty or foreign beside the marker is refused, and left as it is', async t => {
  const directory = await closed(t)
  const contents: Array<[string, Buffer | undefined, RegExp]> = [
    ['missing', undefined, /data\.mdb is missing beside holdfast\.json/],
    ['empty', Buffer.alloc(0), /data\.mdb is damaged, or no file of LMDB's/],
    ['foreign', Buffer.from('SQLite format 3\0'.repeat(1000)), /no file of LMDB's/],
    ['zeros', Buffer.alloc(65_536), /no file of LMDB's/],
  ]
  for (const [name, content, message] of contents) {
    rmSync(dataOf(directory))
    if (content !== undefined) writeFileSync(dataOf(directory), content)
    const before = readdirSync(directory).sort()
    await t.rejects(lmdbStore(directory), message, name)
    t.strictSame(readdirSync(directory).sort(), before)
    if (content === undefined) writeFileSync(dataOf(directory), '')
    else t.ok(readFileSync(dataOf(directory)).equals(content))
  }
})

t.test('a file of LMDB that is not of Holdfast is refused', async t => {
  const directory = join(t.testdir(), 'data')
  const source = `
    import { open } from 'lmdb'
    const root = open({ path: ${JSON.stringify(directory)}, noSubdir: false, pageSize: 4096, overlappingSync: false })
    root.openDB('other', {}).putSync('a', 1)
    await root.close()`
  const { status } = spawnSync(...uncountedNode('--input-type=module', '-e', source))
  t.equal(status, 0)
  await t.rejects(lmdbStore(directory), { message: "data.mdb is a file of LMDB, but none of Holdfast's" })
})

t.test('the marker: made again when the data is there, refused when it says something else', async t => {
  const directory = await closed(t)
  const marker = join(directory, 'holdfast.json')
  const text = readFileSync(marker, 'utf8')
  t.match(JSON.parse(text), { holdfast: 'store', format: 2, instance: /^[0-9a-f-]{36}$/ })
  rmSync(marker)
  t.strictSame(await withStore(directory, async store => await dump(store, ID, START)), [['a', '"needle"'], ['b', '2']])
  t.ok(existsSync(marker))
  for (const [content, message] of [['', /damaged/], ['7', /damaged/], ['{"holdfast":"export"}', /damaged/], ['{"holdfast":"store","format":9}', /format 9.*format 2/]] as const) {
    writeFileSync(marker, content)
    await t.rejects(lmdbStore(directory), message, content)
    t.equal(readFileSync(marker, 'utf8'), content)
  }
  writeFileSync(marker, text)
  await withStore(directory, async () => {})
})

t.test('what a start that was cut off has left behind is cleared away', async t => {
  const directory = join(t.testdir(), 'data')
  mkdirSync(join(directory, 'new'), { recursive: true })
  writeFileSync(join(directory, 'new', 'data.mdb'), 'half a file')
  await withStore(directory, async store => { await store.create(ID, sessionOf(), START) })
  t.notOk(existsSync(join(directory, 'new')))
  t.strictSame(readdirSync(directory).sort(), ['closed.json', 'data.mdb', 'holdfast.json', 'lock.mdb', 'members.lock', 'owner.lock', 'writer.lock'])
  t.equal(statSync(join(directory, 'holdfast.json')).mode & 0o777, 0o600)
})

t.test('a damaged value fails what reads it, with a status of its own, and nothing else', async t => {
  for (const reopened of [false, true]) {
    const directory = await closed(t)
    corrupt(directory, 'needle')
    const told: string[] = []
    if (reopened) await withStore(directory, async () => {})
    const store = await lmdbStore(directory, { report: error => { told.push(error.message) } })
    t.match(told, [/^1 records in .* are damaged/], 'a small file is read as a whole at every start, also when it was closed as it is')
    t.equal(told.splice(0).length, 1)
    await t.rejects(dump(store, ID, START), { name: 'StatusError', message: 'What is stored there is damaged.' })
    await t.rejects(dump(store, ID, START), { name: 'StatusError' })
    t.match(told, [/CRC32.*\(damaged records met since the start: 1\)$/, /: 2\)$/])
    t.equal(told.length, 2)
    t.strictSame(await store.find(ID, START), { session: sessionOf({ name: 'haystack' }), size: 2 })
    await set(store, ID, START, { a: json(1) })
    t.strictSame(await dump(store, ID, START), [['a', '1'], ['b', '2']], 'writing over it mends it')
    await store.close()
  }
})

t.test('a damaged session fails its own commands, and no others', async t => {
  const directory = await closed(t)
  corrupt(directory, 'haystack')
  const store = await lmdbStore(directory, {})
  const status = { name: 'StatusError', message: 'What is stored there is damaged.' }
  await store.create(idOf(2), sessionOf({ duration: 10 }), START)
  await t.rejects(store.find(ID, START), status)
  const [bad, good] = await Promise.allSettled([set(store, ID, START, { a: json(1) }), set(store, idOf(2), START, { a: json(1) })])
  t.match(bad, { status: 'rejected', reason: status })
  t.equal(good.status, 'fulfilled', 'although they share a transaction')
  await t.rejects(store.create(ID, sessionOf(), START), status)
  await t.rejects(store.remove(ID, START), status)
  t.equal(await store.sweep(START + 10_000, 100), 1)
  await store.close()
})

t.test('a record that has lost its key, and a file that LMDB could not read, are refused', async t => {
  const lost = await closed(t)
  const id = Buffer.alloc(32, 'lost')
  await withStore(lost, async store => { await store.create(id.toString('hex') as SessionId, sessionOf(), START) }) // As it is defined.
  const bytes = readFileSync(dataOf(lost))
  for (let at = bytes.indexOf(id); at >= 0; at = bytes.indexOf(id, at + 1)) bytes[at + 31]! ^= 2
  writeFileSync(dataOf(lost), bytes)
  await t.rejects(lmdbStore(lost), /a record of the table sessions has lost its key/)

  const short = await closed(t)
  truncateSync(dataOf(short), 3 * 4096 + 17)
  const before = readFileSync(dataOf(short))
  await t.rejects(lmdbStore(short), /data\.mdb|page/)
  t.ok(readFileSync(dataOf(short)).equals(before))
})

t.test('a large file is read as a whole at the start unless it is as it was closed', async t => {
  const directory = await closed(t)
  const told: string[] = []
  const report = (error: Error) => { told.push(error.message) }
  truncateSync(dataOf(directory), 65 * 2 ** 20)
  await (await lmdbStore(directory, { report })).close()
  const { atime, mtime } = statSync(dataOf(directory))
  corrupt(directory, 'needle')
  utimesSync(dataOf(directory), atime, mtime)
  await (await lmdbStore(directory, { report })).close()
  t.equal(told.length, 1, 'not even another file with the same times passes for it')
  for (const stamp of ['', '[]', 'null', '{"ino":"1"}']) {
    writeFileSync(join(directory, 'closed.json'), stamp)
    await (await lmdbStore(directory, { report })).close()
  }
  t.equal(told.length, 5)
  await (await lmdbStore(directory, { report })).close()
  t.equal(told.length, 5)
})

t.test('the secret: in a file of its own, made once, refused when damaged, and made anew when it is gone', async t => {
  const directory = await closed(t)
  const file = join(directory, 'secret')
  t.equal(statSync(file).mode & 0o777, 0o600)
  const text = readFileSync(file, 'utf8')
  const secret = Buffer.alloc(32, 1)
  t.notOk(readFileSync(dataOf(directory)).includes(secret))
  await withStore(directory, async store => t.strictSame(await store.secret(() => t.fail() as never), secret))
  for (const bad of ['', text.slice(0, -2), text.replace('A', 'B'), `x${text}`]) {
    writeFileSync(file, bad)
    await withStore(directory, async store => { await t.rejects(store.secret(() => t.fail() as never), /secret is damaged/) })
  }
  rmSync(file)
  const other = Buffer.alloc(32, 2)
  await withStore(directory, async store => t.strictSame(await store.secret(() => other), other))
  rmSync(file)
  const told: string[] = []
  const store = await lmdbStore(directory, { report: error => { told.push(error.message) } })
  for (let times = 0; times < 2; times++) t.strictSame(await store.secret(() => other), other)
  t.match(told, [/^The file secret is missing although there are sessions/])
  t.equal(told.length, 1, 'once')
  await store.close()
  // Another process makes one while this one is about to.
  rmSync(file)
  await withStore(directory, async store => {
    t.strictSame(await store.secret(() => {
      writeFileSync(file, text)
      return other
    }), secret)
  })
  t.strictSame(readdirSync(directory).filter(name => name.endsWith('.tmp')), [])
})

t.test('a directory is one process\'s: another is refused, and told whose it is', async t => {
  const directory = await closed(t)
  const store = await lmdbStore(directory)
  const refused = new RegExp(`^process ${process.pid} on \\S+, since \\S+, has it$`)
  await t.rejects(lmdbStore(directory), { message: refused })
  await t.rejects(claimDirectory(directory), { message: refused })
  await store.close()
  await (await lmdbStore(directory)).close()

  const source = `import { lmdbStore } from ${JSON.stringify(LMDB)}
    await lmdbStore(${JSON.stringify(directory)})
    console.log('open')
    setInterval(() => {}, 1000)`
  const child = spawn(...uncountedNode('--input-type=module', '-e', source), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  await t.rejects(lmdbStore(directory), { message: new RegExp(`^process ${child.pid} on`) })
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.strictSame(await withStore(directory, async store => await dump(store, ID, START)), [['a', '"needle"'], ['b', '2']], 'its lock has died with it')
})

t.test('members share a directory that their primary has claimed', async t => {
  const directory = join(t.testdir(), 'data')
  const claim = (await claimData(parseStoreUrl(`lmdb:${directory}`)))! // That of a directory.
  const [one, two] = [await lmdbStore(directory, { role: 'member' }), await lmdbStore(directory, { role: 'member' })]
  await one.create(ID, sessionOf(), START)
  t.ok(await two.find(ID, START))
  await t.rejects(lmdbStore(directory), /has it/)
  await one.close()
  await claim.release(true)
  t.notOk(existsSync(join(directory, 'closed.json')), 'somebody may still write')
  await t.rejects(lockOut(directory, 100), /still use it/)
  setTimeout(() => { two.close().catch(t.threw) }, 60)
  const store = await lmdbStore(directory)
  t.ok(await store.find(ID, START), 'it waits for those that are about to end')
  t.throws(() => lockAsMember(directory), /about to open it/)
  await t.rejects(lmdbStore(directory, { role: 'member' }), /about to open it/)
  await store.close()
  await (await claimDirectory(directory)).release(true)
  t.ok(existsSync(join(directory, 'closed.json')))
  await (await claimDirectory(directory)).release(false)
  t.notOk(existsSync(join(directory, 'closed.json')), 'a worker has died')
  t.equal(await claimData({ kind: 'memory' }), undefined)
})

t.test('files that are removed or replaced while they are in use: nothing is acknowledged that would go with them', async t => {
  for (const name of ['data.mdb', 'lock.mdb']) {
    for (const replaced of [false, true]) {
      for (const writes of [true, false]) {
        const directory = await closed(t)
        const fatal: string[] = []
        const store = await lmdbStore(directory, { onFatal: error => { fatal.push(error.message) } })
        renameSync(join(directory, name), join(directory, 'elsewhere'))
        if (replaced) copyFileSync(join(directory, 'elsewhere'), join(directory, name))
        const opened = { message: 'The store has to be opened anew.' }
        const act = async (): Promise<unknown> => writes ? await set(store, ID, START, { c: json(1) }) : await store.sweep(START, 1)
        for (let times = 0; times < 2; times++) await t.rejects(act, opened)
        t.match(fatal, [new RegExp(`^${name} in .* was removed or replaced while it was in use`)])
        t.equal(fatal.length, 1, 'once')
        await store.close()
        t.notOk(existsSync(join(directory, 'closed.json')))
        if (name === 'lock.mdb' || replaced) continue
        await t.rejects(lmdbStore(directory), /data\.mdb is missing/)
      }
    }
  }
})

t.test('a member opens nothing but what its primary has checked', async t => {
  const directory = await closed(t)
  const claim = await claimDirectory(directory)
  const { options } = claim
  const member = await lmdbStore(directory, options)
  await member.close()
  rmSync(join(directory, 'data.mdb'))
  await t.rejects(lmdbStore(directory, options), { message: /^data\.mdb in .* was removed or replaced/ })
  t.notOk(existsSync(join(directory, 'data.mdb')))
  await claim.release(false)
})

t.test('what is no file where one should be is named', async t => {
  for (const name of ['data.mdb', 'lock.mdb', 'holdfast.json', 'closed.json', 'secret', 'owner.lock', 'members.lock', 'writer.lock']) {
    const directory = await closed(t)
    rmSync(join(directory, name), { force: true })
    mkdirSync(join(directory, name))
    await t.rejects(lmdbStore(directory), { message: `${name} is not a file` })
  }
})

t.test('the place of a reader that was killed is freed', async t => {
  const directory = await closed(t)
  const store = await lmdbStore(directory)
  const source = `import { openReader } from ${JSON.stringify(fileURLToPath(import.meta.resolve('../../../src/stores/lmdb/reader.js')))}
    const { root } = await openReader(${JSON.stringify(directory)})
    root.get('anything')
    globalThis.held = root.useReadTransaction()
    console.log('reading')
    setInterval(() => {}, 1000)`
  const child = spawn(...uncountedNode('--input-type=module', '-e', source), { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const pid = Buffer.alloc(4)
  pid.writeUInt32LE(child.pid!)
  const isNoted = () => readFileSync(join(directory, 'lock.mdb')).includes(pid)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.ok(isNoted())
  await store.sweep(START, 1)
  t.notOk(isNoted())
  await store.close()
})

t.test('LMDB is opened while nobody writes', async t => {
  const directory = await closed(t)
  const claim = await claimDirectory(directory)
  const lock = openWriterLock(directory)
  lock.take()
  const done: string[] = []
  const openings = [
    lmdbStore(directory, { role: 'member' }).then(async store => {
      done.push('member')
      await store.close()
    }),
    lmdbReader(directory).then(async store => {
      done.push('reader')
      await store.close()
    }),
  ]
  await sleep(100)
  t.strictSame(done, [])
  lock.release()
  await Promise.all(openings)
  t.equal(done.length, 2)

  lock.take()
  const impatient = openWriterLock(directory, 50)
  await t.rejects(impatient.hold(() => {}), { message: 'another process has kept this one from opening it for 0.05 s: is it stopped?' })
  impatient.close()
  lock.close()

  const commits = { wait () { throw new Error('it fails') }, begin () {}, end () {} }
  await t.rejects(lmdbStore(directory, { role: 'member', commits }), { message: 'it fails' })
  await claim.release(true)
  await (await lmdbStore(directory)).close()
})

t.test('directories that cannot be', async t => {
  const parent = t.testdir({ file: 'x' })
  await t.rejects(lmdbStore(join(parent, 'file')), { message: `${join(parent, 'file')} is a file and not a directory` })
  await t.rejects(lmdbStore(join(parent, 'file', 'data')), { message: `${join(parent, 'file')} is a file and not a directory` })
  await t.rejects(lmdbStore('/proc/nothing/here'), { code: 'ENOENT' })
  t.throws(() => makeDirectory('/sys/x/y'))
  const odd = join(parent, 'dot.ted', 'späce d')
  await (await lmdbStore(odd)).close()
  renameSync(odd, join(parent, 'moved.mdb'))
  await (await lmdbStore(join(parent, 'moved.mdb'))).close()
  mkdirSync(join(parent, 'odd', 'data.mdb'), { recursive: true })
  await t.rejects(lmdbStore(join(parent, 'odd')))
})
