import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { crc32 } from 'node:zlib'
import { open, type Database, type RootDatabase } from 'lmdb'
import t, { type Test } from 'tap'
import { checkDataFile, DataFileError } from '../../../src/stores/lmdb/file/check.js'
import { LMDB_VERSION } from '../../../src/stores/lmdb/file/lmdb-version.js'
import { uncountedNode } from '../../crash/server.js'
import { BRANCH, FREE_AT, HEADER, LEAF, MAIN_AT, META, metaAt, nodes, PAGE, places } from './places.js'

const NAMES = ['expiry', 'keys', 'meta', 'sessions']
type Table = Database<Buffer, Buffer>

/** As the store opens it, but for durability: what is tested is that the file is right, not that it is on the disk. */
const OPTIONS = { noSubdir: false, overlappingSync: false, noSync: true, mapSize: 2 ** 36, pageSize: PAGE }

function openTables (directory: string): { root: RootDatabase, tables: Table[] } {
  const root = open({ ...OPTIONS, path: directory })
  return { root, tables: NAMES.map(name => root.openDB(name, { keyEncoding: 'binary', encoding: 'binary' })) }
}

/** Numbers from 0 to below `limit`, the same ones for the same seed. */
function random (seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const mixed = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d)
    return ((mixed ^ (mixed >>> 13)) >>> 0) % limit
  }
}

/** A value that begins with the CRC of its key and of the rest of it. */
function valueOf (key: Buffer, bytes: number, fill: number): Buffer {
  const value = Buffer.alloc(4 + bytes, fill)
  value.writeUInt32BE(crc32(value.subarray(4), crc32(key)))
  return value
}

function isIntact (key: Buffer, value: Buffer): boolean {
  return value.length >= 4 && value.readUInt32BE() === crc32(value.subarray(4), crc32(key))
}

/** What a reader of all records has seen. */
interface Seen {
  readonly digest: string
  readonly records: number
  readonly intact: boolean
}

function seen (read: (see: (table: string, key: Buffer, value: Buffer) => void) => void): Seen {
  const hash = createHash('sha256')
  let [records, intact] = [0, true]
  read((table, key, value) => {
    hash.update(`${table} ${key.length} ${value.length}\n`).update(key).update(value)
    intact &&= isIntact(key, value)
    records++
  })
  return { digest: hash.digest('hex'), records, intact }
}

const seenByLmdb = (tables: Table[]) => seen(see => {
  tables.forEach((table, index) => {
    for (const { key, value } of table.getRange()) see(NAMES[index]!, key, value)
  })
})

/** Checks that a file is accepted, and read as LMDB reads it. */
function accept (t: Test, file: string, tables: Table[], name: string) {
  let summary: ReturnType<typeof checkDataFile> | undefined
  const found = seen(see => { summary = checkDataFile(file, see) })
  t.strictSame(found, seenByLmdb(tables), name)
  t.ok(found.intact, name)
  t.strictSame([...summary!.entries].sort(), NAMES.map((name, index) => [name, entryCount(tables[index]!)]), name)
  return summary!
}

function entryCount (table: Table): number {
  return (table.getStats() as { entryCount: number }).entryCount // Always there, but not declared.
}

/** A transaction of up to `most` changes, some of them large. */
function change (root: RootDatabase, tables: Table[], next: (limit: number) => number, most: number): void {
  root.transactionSync(() => {
    for (let left = next(most); left >= 0; left--) {
      const table = tables[next(tables.length)]!
      const key = next(10) > 0 ? createHash('sha256').update(`${next(900)}`).digest() : Buffer.alloc(1 + next(1_978), 65 + next(26))
      const kind = next(100)
      if (kind < 45) table.removeSync(key)
      else table.putSync(key, valueOf(key, kind < 80 ? next(300) : kind < 97 ? next(6_000) : next(200_000), next(256)))
    }
    if (next(30) === 0) tables[next(tables.length)]!.clearSync()
  })
}

t.test('lmdb is the version that the code knows', async t => {
  const versionIn = (manifest: string) => (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version // As npm has it.
  const installed = versionIn('node_modules/lmdb/package.json')
  const isKnown = t.ok(installed === LMDB_VERSION, `lmdb ${installed} is installed, but the code knows the private facts of lmdb ${LMDB_VERSION} only: ` +
    'check the bytes of the data file (pages.ts, meta.ts and free-list.ts in src/stores/lmdb/file), the size of the lock file (LOCK_FILE_BYTES in src/stores/lmdb/check.ts), ' +
    'the texts of errors (src/stores/lmdb/faults.ts) and everything else that src/stores/lmdb/file/lmdb-version.ts lists, and only then change the version there')
  if (!isKnown) return
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> } // As npm has it.
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, { dependencies: Record<string, string> }> } // As npm has it.
  for (const [file, asked] of [['package.json', dependencies], ['package-lock.json', packages['']!.dependencies]] as const) {
    t.equal(asked['lmdb'], LMDB_VERSION, `${file} asks for exactly this version`)
  }
})

t.test('files as LMDB leaves them', async t => {
  for (const seed of [1, 2, 3]) {
    const directory = t.testdir({ data: {}, compact: {}, plain: {} })
    const file = (name: string) => join(directory, name, 'data.mdb')
    const next = random(seed)
    let { root, tables } = openTables(join(directory, 'data'))
    for (let turn = 0; turn < 100; turn++) {
      change(root, tables, next, turn % 20 === 0 ? 900 : 30)
      if (turn % 10 === 0) accept(t, file('data'), tables, `seed ${seed}, turn ${turn}`)
      if (turn % 30 === 0) {
        await root.close()
        checkDataFile(file('data'), () => {})
        ;({ root, tables } = openTables(join(directory, 'data')))
      }
    }
    const backups = ['plain']
    // LMDB does not compact files of which it has lost pages.
    if (accept(t, file('data'), tables, `seed ${seed}`).lostPages === 0) backups.push('compact')
    for (const name of backups) {
      await root.backup(join(directory, name), name === 'compact')
      accept(t, file(name), tables, `${name} backup, seed ${seed}`)
      const copy = openTables(join(directory, name))
      accept(t, file(name), copy.tables, `${name} opened, seed ${seed}`)
      for (let turn = 0; turn < 10; turn++) change(copy.root, copy.tables, next, 200)
      accept(t, file(name), copy.tables, `${name} written, seed ${seed}`)
      await copy.root.close()
    }
    await root.close()
  }
})

t.test('a file from the beginning, by way of many and large records, to nothing', async t => {
  const directory = t.testdir({ data: {}, plain: {}, compact: {} })
  const file = join(directory, 'data', 'data.mdb')
  const { root, tables } = openTables(join(directory, 'data'))
  const [expiry, keys] = tables as [Table, Table]
  accept(t, file, tables, 'fresh')
  t.match(checkDataFile(file, () => {}), { freePages: 4, lostPages: 0, pages: 4, txnId: 4 })
  root.transactionSync(() => {
    for (let index = 0; index < 100_000; index++) {
      const key = Buffer.alloc(8)
      key.writeUInt32LE(Math.imul(index, 2654435761) >>> 0)
      keys.putSync(key, valueOf(key, index % 7, 1))
    }
  })
  accept(t, file, tables, 'many')
  for (let index = 1; index <= 6; index++) expiry.putSync(Buffer.from([index]), valueOf(Buffer.from([index]), (8 * 2 ** 20) >> index % 2, index))
  accept(t, file, tables, 'large')
  for (const table of tables) table.clearSync() // Which lists more than 64 KiB of numbers of free pages.
  const { entries, freePages, lostPages } = accept(t, file, tables, 'cleared')
  t.strictSame([...entries.values()], [0, 0, 0, 0])
  t.ok(freePages > 9_000)
  t.equal(lostPages, 0)
  for (let index = 0; index < 200; index++) keys.putSync(Buffer.from([index]), valueOf(Buffer.from([index]), 900, 3))
  for (let index = 0; index < 200; index++) keys.removeSync(Buffer.from([index]))
  accept(t, file, tables, 'emptied one by one')
  await root.close()
})

t.test('a file that has no tables yet, and its backups', async t => {
  const directory = t.testdir({ compact: {}, plain: {} })
  const root = open({ ...OPTIONS, path: directory })
  await root.backup(join(directory, 'compact'), true)
  await root.backup(join(directory, 'plain'), false)
  await root.close()
  for (const name of ['', 'compact', 'plain']) {
    const summary = checkDataFile(join(directory, name, 'data.mdb'), () => {})
    t.strictSame(summary, { bytes: 2 * PAGE, txnId: 0, pages: 2, freePages: 0, lostPages: 0, entries: new Map() }, name)
  }
})

/** Runs a script that has LMDB's tables and what this file has to read them; resolves once it has written a line. */
async function start (script: string) {
  const child = spawn(...uncountedNode('--input-type=module', '-e', `
    import { createHash } from 'node:crypto'
    import { crc32 } from 'node:zlib'
    import { open } from 'lmdb'
    const NAMES = ${JSON.stringify(NAMES)}
    const OPTIONS = ${JSON.stringify(OPTIONS)}
    ${[openTables, valueOf, isIntact, seen].join('\n')}
    ${script}
  `), { stdio: ['ignore', 'pipe', 'pipe'] })
  // From the start: a writer can end by itself before it is killed, when LMDB gives up a transaction for no reason.
  const exited = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line') as [string]
  return { child, line, exited }
}

t.test('files of which a writer was killed while another process was reading', async t => {
  const directory = t.testdir()
  const next = random(5)
  for (let turn = 0; turn < 3; turn++) {
    const { child: writer, exited: written } = await start(`
      const { root, tables } = openTables(${JSON.stringify(directory)})
      for (let count = 0; ; count++) {
        if (count === 10) console.log('ready')
        root.transactionSync(() => {
          for (let left = count % 50; left >= 0; left--) {
            const key = Buffer.from(String((count * 7919 + left * 104729 + ${turn}) % 3000))
            const table = tables[(count + left) % 4]
            if ((count * left) % 3 === 1) table.removeSync(key)
            else table.putSync(key, valueOf(key, (count * left * 37) % (left === 7 ? 300000 : 700), count % 256))
          }
        })
      }`)
    const { child: reader, exited: read } = await start(`
      const { tables } = openTables(${JSON.stringify(directory)})
      const transaction = tables[1].useReadTransaction()
      console.log([...tables[1].getKeys({ transaction })].length)
      setInterval(() => {}, 1000)`)
    await new Promise(resolve => setTimeout(resolve, 20 + next(200)))
    writer.kill('SIGKILL')
    await written
    const { records, intact } = seen(see => checkDataFile(join(directory, 'data.mdb'), see))
    t.ok(intact && records > 0, `${records} records`)
    reader.kill('SIGKILL')
    await read
  }
  const { root, tables } = openTables(directory)
  accept(t, join(directory, 'data.mdb'), tables, 'opened again')
  await root.close()
})

/** The bytes of a file with everything that a file can have: deep and empty tables, large values, long and short free lists. */
async function everything (directory: string): Promise<Buffer> {
  const { root, tables } = openTables(directory)
  const [, keys, meta, sessions] = tables as [Table, Table, Table, Table]
  const next = random(7)
  root.transactionSync(() => {
    for (let index = 0; index < 400; index++) {
      const key = createHash('sha256').update(`${index}`).digest()
      keys.putSync(key, valueOf(key, next(index % 50 === 0 ? 9_000 : 150), index % 256))
    }
    for (const bytes of [2_100, 5_000, 40_000]) sessions.putSync(Buffer.from(`${bytes}`), valueOf(Buffer.from(`${bytes}`), bytes, 1))
    // Values that leave 300 pages, which is a list that does not fit on one page.
    for (let index = 0; index < 300; index++) meta.putSync(Buffer.from(`gone ${index}`), Buffer.alloc(3_000))
  })
  root.transactionSync(() => {
    for (let index = 0; index < 300; index++) meta.removeSync(Buffer.from(`gone ${index}`))
    meta.putSync(Buffer.from('format'), valueOf(Buffer.from('format'), 1, 49))
  })
  for (let index = 0; index < 5; index++) change(root, [keys, sessions], next, 3)
  await root.close()
  return readFileSync(join(directory, 'data.mdb'))
}

t.test('what is wrong, and where', async t => {
  const directory = t.testdir({ other: {} })
  const sound = await everything(directory)
  const path = join(directory, 'damaged')
  const inUse = places(sound)
  const find = (tree: string, kind: number) => inUse.find(place => place.tree === tree && place.kind === kind)!.number
  const [meta, leaf, branch, free, main] = [metaAt(sound), find('keys', LEAF), find('keys', BRANCH), find('free', LEAF), find('main', LEAF)]
  const node = (page: number, index: number) => nodes(sound, page)[index]!
  const valueAt = (node: number) => node + 8 + sound.readUInt16LE(node + 6)
  const large = nodes(sound, find('sessions', LEAF)).find(node => sound.readUInt16LE(node + 4) === 1)!
  const overflow = sound.readUInt32LE(valueAt(large))
  const short = nodes(sound, free).find(node => sound.readUInt16LE(node + 4) === 0)!

  /** Where a field is, and what it is set to. */
  type Edit = readonly [at: number, bytes: number, value: number]
  const cases: ReadonlyArray<readonly [name: string, error: RegExp, ...edits: Edit[]]> = [
    ['magic', /^page 1: is not of LMDB$/, [PAGE + HEADER, 4, 0]],
    ['version', /^page 0: is of version 1 /, [HEADER + 4, 4, 1]],
    ['size of pages', /^page 0: says that pages have 512 bytes, not 4096$/, [HEADER + 24, 4, 512]],
    ['kind of a meta page', /^page 1: is of kind 90000 and not 80000$/, [PAGE + 18, 2, 9]],
    ['flags of the file', /^page 0: has the flags 1008$/, [FREE_AT + 4, 2, 0x1008]],
    ['flags of the main table', /^page 0: has a table of tables that is not plain$/, [MAIN_AT + 4, 2, 4]],
    ['address', /^page 0: maps \d+ bytes/, [HEADER + 8, 4, 1]],
    ['size of the map', /^page 0: maps 68719476737 bytes for pages up to \d+$/, [HEADER + 16, 1, 1]],
    ['last page beyond the map', /^page 0: maps 68719476736 bytes for pages up to 16777216$/, [HEADER + 120, 4, 2 ** 24]],
    ['first pages not in use', /^page 0: maps 68719476736 bytes for pages up to 0$/, [HEADER + 120, 4, 0]],
    ['last page before others', /^page \d+: is .*the last page is 2$/, [HEADER + 120, 4, 2], [PAGE + HEADER + 120, 4, 2]],
    ['later transaction', /^pages 0 and 1: are of transactions \d+ and \d+, which do not follow/, [meta + HEADER + 128, 4, 1_000]],
    ['transactions the wrong way round', /do not follow each other$/, [HEADER + 128, 4, 7], [PAGE + HEADER + 128, 4, 6]],
    ['number that pages do not have', /^pages 0 and 1: are of transaction \d+, but the pages are of \d+ and before$/,
      [PAGE - meta + HEADER + 128, 4, sound.readUInt32LE(meta + HEADER + 128) + 1]],
    ['pages that went missing', /do not follow each other$/, [PAGE - meta + HEADER + 120, 4, sound.readUInt32LE(meta + HEADER + 120) + 1]],
    ['earlier transaction', /do not follow each other$/, [PAGE - meta + HEADER + 128, 4, 0]],
    ['number of a page', /^page \d+: says that it is page 1$/, [leaf * PAGE, 4, 1]],
    ['kind of a page', /^page \d+: is of kind 10000 and not 20000$/, [leaf * PAGE + 18, 2, BRANCH]],
    ['transaction of a page', /^page \d+: is of transaction 4294967040, which is after \d+$/, [leaf * PAGE + 8, 4, 0xffffff00]],
    ['free space', /^page \d+: has its free space from 5000 to \d+$/, [leaf * PAGE + 20, 2, 5_000]],
    ['no nodes', /^page \d+: has 0 nodes$/, [leaf * PAGE + 20, 2, 0]],
    ['one node in a branch', /^page \d+: has 1 nodes$/, [branch * PAGE + 20, 2, 2]],
    ['odd node', /^page \d+: node 0 cannot be one$/, [leaf * PAGE + HEADER, 2, 4_001]],
    ['flags of a node', /^page \d+: node 1 cannot be one$/, [node(leaf, 1) + 4, 2, 4]],
    ['size of a key', /^page \d+: node 1 cannot be one$/, [node(leaf, 1) + 6, 2, 0]],
    ['no key in a branch', /^page \d+: node 1 cannot be one$/, [node(branch, 1) + 6, 2, 0]],
    ['node in two places', /^page \d+: its nodes do not lie side by side$/, [leaf * PAGE + HEADER, 2, sound.readUInt16LE(leaf * PAGE + HEADER + 2)]],
    ['overlapping nodes', /^page \d+: its nodes do not lie side by side$/, [node(branch, 1) + 6, 2, sound.readUInt16LE(node(branch, 1) + 6) + 2]],
    ['child that there is not', /^page 4294967295: is referred to, as the first of 1, but the last page is \d+$/, [node(branch, 1), 4, 0xffffffff]],
    ['child that there is', /^page \d+: is in use in two places$/, [node(branch, 1), 4, sound.readUInt32LE(node(branch, 0))]],
    ['size of a large value', /^page \d+: has a value of 4294967295 bytes on \d+ pages$/, [large, 4, 0xffffffff]],
    ['pages of a large value', /^page \d+: is the first of 77 pages, not of \d+$/, [overflow * PAGE + 20, 4, 77]],
    ['flags of a table', /^page \d+: has a table that is not plain$/, [valueAt(node(main, 0)) + 4, 2, 4]],
    ['no table', /^page \d+: has a table that is not plain$/, [node(main, 0) + 4, 2, 0]],
    ['name of a table', /^page \d+: has a table that is not plain$/, [node(main, 0) + 8, 1, 0]],
    ['root of an empty table', /^the table "expiry": has no root, but a depth of 1$/, [valueAt(node(main, 0)) + 6, 2, 1]],
    ['number of records', /^the table "keys": has \d+ entries, not the 9 that LMDB counted$/, [valueAt(node(main, 1)) + 32, 4, 9]],
    ['swapped nodes', /^page \d+: node 1 is out of order$/,
      [leaf * PAGE + HEADER, 2, node(leaf, 1) % PAGE - HEADER], [leaf * PAGE + HEADER + 2, 2, node(leaf, 0) % PAGE - HEADER]],
    ['swapped children', /^page \d+: has keys that belong elsewhere$/,
      [node(branch, 1), 4, sound.readUInt32LE(node(branch, 2))], [node(branch, 2), 4, sound.readUInt32LE(node(branch, 1))]],
    ['transaction of a free list', /^page \d+: has a list of pages that transaction 0 freed$/, [node(free, 0) + 8, 4, 0]],
    ['size of a number', /^page \d+: has a key that is no number of a transaction$/,
      [short + 6, 2, 6], [short, 4, sound.readUInt32LE(short) + 2]],
    ['length of a free list', /^page \d+: has a list of free pages that breaks off$/, [valueAt(short), 4, 1_000]],
    ['negative length of a free list', /^page \d+: has a list of -\d+ free pages in \d+ bytes$/, [valueAt(short) + 4, 4, 0xffffffff]],
    ['free and used', /^page \d+: is free, but in use too, or free twice$/, [valueAt(short) + 8, 4, leaf]],
  ]
  for (const [name, error, ...edits] of cases) {
    const damaged = Buffer.from(sound)
    for (const [at, bytes, value] of edits) damaged.writeUIntLE(value, at, bytes)
    writeFileSync(path, damaged)
    t.throws(() => checkDataFile(path, () => {}), { constructor: DataFileError, message: error }, name)
  }

  const last = Math.max(...inUse.map(({ number }) => number))
  const other = open({ ...OPTIONS, path: join(directory, 'other'), pageSize: 8_192 })
  await other.close()
  const files: ReadonlyArray<readonly [name: string, error: RegExp, content: Buffer]> = [
    ['empty', /^the file is empty$/, Buffer.alloc(0)],
    ['cut off early', /^the file has 8191 bytes, less than/, sound.subarray(0, 2 * PAGE - 1)],
    ['cut off within a page', /^page \d+: is in use, but the file ends before its end$/, sound.subarray(0, last * PAGE + 4_095)],
    ['text', /^page 0: is not of LMDB$/, Buffer.alloc(20_000, 'To be, or not to be\n')],
    ['SQLite', /^page 0: is not of LMDB$/, Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(PAGE * 3)])],
    ['zeros', /^page 0: is not of LMDB$/, Buffer.alloc(PAGE * 3)],
    ['noise', /^page 0: is not of LMDB$/, Buffer.from(Array.from({ length: 20_000 }, random(3)).map(number => number >>> 8))],
    ['other pages', /^page 0: says that pages have 8192 bytes, not 4096$/, readFileSync(join(directory, 'other', 'data.mdb'))],
  ]
  for (const [name, error, content] of files) {
    writeFileSync(path, content)
    t.throws(() => checkDataFile(path, () => {}), { constructor: DataFileError, message: error }, name)
  }
  writeFileSync(path, sound)
  t.throws(() => checkDataFile(path, () => { throw new Error('seen') }), { message: 'seen' })
  t.throws(() => checkDataFile(join(directory, 'none'), () => {}), { code: 'ENOENT' })
})

t.test('a transaction that LMDB took back when it could not write its meta page', async t => {
  const directory = t.testdir()
  const file = await everything(directory)
  const meta = metaAt(file)
  const txnId = file.readUInt32LE(meta + HEADER + 128)
  const before = (PAGE - meta) + HEADER
  file.writeUInt32LE(txnId - 2, meta + HEADER + 128)
  file.writeUInt32LE(file.readUInt32LE(before + 120), meta + HEADER + 120)
  const path = join(directory, 'data.mdb')
  writeFileSync(path, file)
  t.equal(checkDataFile(path, () => {}).txnId, txnId - 1)
  const { root, tables } = openTables(directory)
  accept(t, path, tables, 'opened')
  await root.close()
})

/** A damaged file, and how it was damaged. */
interface Damage { readonly name: string, readonly file: Buffer }

/** Damages of all kinds in what is used of a file, most of them of one bit. */
function * damages (sound: Buffer): Generator<Damage> {
  const inUse = places(sound)
  const next = random(11)
  const pick = () => inUse[next(inUse.length)]!
  const copyOf = (name: string, from: number, to: number) => {
    const file = Buffer.from(sound)
    sound.copy(file, to * PAGE, from * PAGE, (from + 1) * PAGE)
    return { name: `${name} ${from} ${to}`, file }
  }
  for (let turn = 0; turn < 500; turn++) {
    const { number, kind } = turn % 5 === 0 ? inUse[next(2)]! : pick()
    const own = [...(kind === META ? [HEADER + 144] : []), ...(kind <= LEAF ? nodes(sound, number).slice(0, 3) : [])]
    const within = [next(PAGE), next(HEADER), kind === META ? next(HEADER + 144) : next(100), ...own.slice(0, 1).map(at => at % PAGE + next(8))]
    const at = number * PAGE + within[next(within.length)]! % PAGE
    const file = Buffer.from(sound)
    file[at]! ^= 1 << turn % 8
    yield { name: `bit ${turn % 8} of byte ${at % PAGE} of page ${number}`, file }
  }
  for (let turn = 0; turn < 40; turn++) {
    const [one, two] = [pick().number, pick().number]
    const zeroed = Buffer.from(sound)
    yield { name: `zeroed ${one}`, file: zeroed.fill(0, one * PAGE, (one + 1) * PAGE) }
    yield copyOf('copied', one, two)
    const swapped = copyOf('swapped', one, two)
    sound.copy(swapped.file, one * PAGE, two * PAGE, (two + 1) * PAGE)
    yield swapped
    const bytes = next(sound.length + 1)
    yield { name: `cut to ${bytes}`, file: sound.subarray(0, bytes) }
    yield { name: `cut to page ${next(sound.length / PAGE)}`, file: sound.subarray(0, next(sound.length / PAGE) * PAGE) }
  }
}

t.test('damage is refused, or met by the reader, or without a meaning', async t => {
  const directory = t.testdir()
  const sound = await everything(directory)
  const whole = seen(see => checkDataFile(join(directory, 'data.mdb'), see))
  const accepted: Array<{ directory: string, name: string, found: Seen }> = []
  const counts = { refused: 0, met: 0, same: 0 }
  for (const { name, file } of damages(sound)) {
    const own = join(directory, `${accepted.length}`)
    mkdirSync(own, { recursive: true })
    writeFileSync(join(own, 'data.mdb'), file)
    let entries: ReadonlyMap<string, number> = new Map()
    try {
      const found = seen(see => { entries = checkDataFile(join(own, 'data.mdb'), see).entries })
      if (found.intact && `${[...entries.keys()]}` === `${NAMES}`) {
        if (found.digest !== whole.digest) t.fail(`${name}: not noticed`)
        counts.same++
      } else {
        counts.met++
      }
      if (`${[...entries.keys()]}` === `${NAMES}`) accepted.push({ directory: own, name, found })
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
      counts.refused++
    }
  }
  t.comment(counts)
  t.ok(Object.values(counts).every(count => count > 20), 'there were damages of each kind')

  // What is accepted LMDB must read as it was read here. Then it must be able to go on with it.
  const { child, line } = await start(`
    let step = ''
    process.on('exit', () => console.log(step))
    for (const { directory, name, found } of ${JSON.stringify(accepted)}) {
      step = name
      const { root, tables } = openTables(directory)
      const read = () => seen(see => {
        tables.forEach((table, index) => {
          for (const { key, value } of table.getRange()) if (!key.latin1Slice().startsWith('later ')) see(NAMES[index], key, value)
        })
      })
      const check = () => {
        const { digest } = read()
        if (digest !== found.digest) throw new Error('read differently')
      }
      check()
      for (let index = 0; index < 100;) {
        root.transactionSync(() => {
          do {
            const key = Buffer.from('later ' + index)
            tables[index % 4].putSync(key, valueOf(key, index ** 2, 1))
          } while (++index % 10 > 0)
        })
      }
      check()
      for (let index = 0; index < 100; index++) {
        const key = Buffer.from('later ' + index)
        if (!isIntact(key, tables[index % 4].get(key))) throw new Error('wrote differently')
      }
      await root.close()
    }
    step = 'done'
  `)
  t.equal(line, 'done')
  if (child.exitCode === null) await once(child, 'exit')
  t.equal(child.exitCode, 0)
  t.equal(child.signalCode, null)
})
