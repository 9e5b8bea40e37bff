import { createHash } from 'node:crypto'
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { dataStores } from '../stores/data-stores.js'
import { exportSessions } from '../../src/data/export.js'
import { checkExport } from '../../src/data/import.js'
import { InputError } from '../../src/stores/input-error.js'
import { progressOn, type Terminal } from '../../src/data/progress.js'
import { copying, inspected, reading, salvaged, salvaging } from '../../src/data/reports.js'
import { salvageSessions } from '../../src/data/salvage.js'
import { runCommand, type Surroundings } from '../../src/cli/run-subcommand.js'
import type { DataStore, Inspection } from '../../src/stores/data-store.js'
import type { Subcommand } from '../../src/cli/subcommands.js'
import { valkeyData } from '../../src/stores/valkey/data.js'
import { quoted, size } from '../../src/data/words.js'
import type { JsonText } from '../../src/json/text.js'
import { reason } from '../../src/reason.js'
import type { Session, SessionCopy, SessionStore } from '../../src/session.js'
import { StatusError } from '../../src/status.js'
import { lmdbStore } from '../../src/stores/lmdb/open.js'
import type { Losses, Salvage } from '../../src/stores/salvage.js'
import { memoryStore } from '../../src/stores/memory.js'
import { parseStoreUrl, placeOf } from '../../src/stores/table.js'
import { idOf, json, sessionOf, START } from '../store-suite.js'
import { waitingStore } from '../process/waiting-store.js'
import { overriding } from '../overriding.js'

const URL = parseStoreUrl('lmdb:./data')
const HEADER = `{"holdfast":"export","format":1,"exportedAtMs":${START}}`
const END = '{"holdfast":"end"}'

/** A stream that keeps what is written to it, and may pass for a terminal. */
function sink (parts: { isTTY?: boolean, columns?: number } = {}): Terminal & { text (): string } {
  const chunks: Buffer[] = []
  const stream = new Writable({ write (chunk, _encoding, done) { chunks.push(chunk); done() } })
  return Object.assign(stream, parts, { text: () => Buffer.concat(chunks).toString() })
}

/** A memory store that survives being closed, as one on a disk does. */
function lasting (store = memoryStore()): SessionStore & { closed: number } {
  const parts = { closed: 0, close: async () => { parts.closed++ } }
  return overriding(store, parts)
}

const never = async (): Promise<never> => { throw new Error('this was not to be called') }

/** Any location has this. */
function of (data: DataStore): Surroundings['dataOf'] {
  return async () => data
}

interface Run { readonly code: number, readonly stdout: string, readonly stderr: string }

/** Runs a command on a store, or on whatever `parts` put in place of it. */
async function run (command: Subcommand, store: SessionStore, parts: Partial<Surroundings> & { input?: string | Buffer } = {}): Promise<Run> {
  const { input = '', ...rest } = parts
  const [stdout, stderr] = [sink(), sink()]
  const dataOf = of({ open: async () => store, backup: never, inspect: never, verify: never })
  const code = await runCommand(command, { stdin: Readable.from([Buffer.from(input)]), stdout, stderr, dataOf, now: () => START, ...rest })
  return { code, stdout: stdout.text(), stderr: stderr.text() }
}

const exportTo = (file: string): Subcommand => ({ name: 'export', store: URL, file })
const importFrom = (file: string): Subcommand => ({ name: 'import', store: URL, file })

function copyOf (n: number, keys: Record<string, string> = {}, parts: Partial<Session> = {}): SessionCopy {
  // The cast stands for: the tests write valid JSON.
  return { id: idOf(n), session: sessionOf(parts), keys: new Map(Object.entries(keys) as Array<[string, JsonText]>) }
}

async function storeOf (...copies: SessionCopy[]): Promise<SessionStore & { closed: number }> {
  const store = lasting()
  for (const copy of copies) await store.restore(copy, START)
  return store
}

async function copiesIn (store: SessionStore, now = START): Promise<SessionCopy[]> {
  const copies: SessionCopy[] = []
  for await (const copy of store.copies(now)) copies.push(copy)
  return copies.sort((a, b) => a.id < b.id ? -1 : 1)
}

/** The line of a session, with some of its members in other words; undefined takes one away. */
function line (members: Record<string, string | undefined> = {}, expiry: Record<string, string | undefined> = {}): string {
  const object = (parts: Record<string, string | undefined>): string =>
    `{${Object.entries(parts).flatMap(([name, text]) => text === undefined ? [] : [`"${name}":${text}`]).join()}}`
  return object({
    id: `"${idOf(1)}"`,
    name: '"cart"',
    shared: 'false',
    expiry: object({ duration: '0', idle: '0', deleteSession: 'true', startedAtMs: `${START}`, usedAtMs: `${START}`, ...expiry }),
    keys: '{}',
    ...members,
  })
}

const fileOf = (...lines: string[]): string => [HEADER, ...lines, END, ''].join('\n')
const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

const ODD_KEYS = ['', '\u0000', '\n', '"', '__proto__', 'constructor', '10', '9', 'é', 'e\u0301', '\u2028', '\ufeff', '\uffff', '\u{1f954}', 'x'.repeat(1024)]
const ODD_VALUES = [
  '9007199254740993', '18446744073709551615', '1.10', '1e400', '-0', '0.1e-7', '""', '"\\u0000"', '"\\ud800"', '"\u{1f954}"', '"\\r\\n"',
  '[]', '{}', '{"b":1,"a":2,"b":3}', '{"__proto__":{"x":null}}', 'true', 'false', '"\u2028\ufeff"', '[ 1,\t2 ]', nest(128),
]

t.test('the format: what an export looks like', async t => {
  const store = await storeOf(
    copyOf(1, { cart: '["tea",\r\n\n "milk"]', visits: '1.10' }, { name: 'a "b"', shared: true, duration: 60, idle: 5, deleteSession: false, usedAt: START + 1 }),
    copyOf(2))
  const { code, stdout, stderr } = await run(exportTo('-'), store)
  t.equal(stdout, fileOf(
    `{"id":"${idOf(1)}","name":"a \\"b\\"","shared":true,"expiry":{"duration":60,"idle":5,"deleteSession":false,"startedAtMs":${START},"usedAtMs":${START + 1}},` +
      '"keys":{"cart":["tea", "milk"],"visits":1.10}}',
    `{"id":"${idOf(2)}","name":"cart","shared":false,"expiry":{"duration":0,"idle":0,"deleteSession":true,"startedAtMs":${START},"usedAtMs":${START}},"keys":{}}`))
  t.equal(stderr, `exported 2 sessions with 2 keys (${stdout.length} bytes)\n`)
  t.equal(code, 0)
  t.equal(store.closed, 1)
})

t.test('random sessions go from one store to another as they are', async t => {
  const seconds = fc.constantFrom(0, 0, 60, 10_000_000_000)
  const value = fc.oneof(fc.constantFrom(...ODD_VALUES), fc.jsonValue().filter(value => value !== null).map(value => json(value)))
  const key = fc.oneof(fc.constantFrom(...ODD_KEYS), fc.string({ unit: 'binary', maxLength: 5 }))
  const session = fc.record({
    name: fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    shared: fc.boolean(),
    duration: seconds,
    idle: seconds,
    deleteSession: fc.boolean(),
    startedAt: fc.integer({ min: START - 50_000, max: START }),
    usedAt: fc.integer({ min: START - 50_000, max: START }),
  }, { noNullPrototype: true })
  const copies = fc.array(fc.record({ session, keys: fc.array(fc.tuple(key, value), { maxLength: 8 }) }), { maxLength: 5 })
  await fc.assert(fc.asyncProperty(copies, async copies => {
    const original = await storeOf(...copies.map(({ session, keys }, n) => ({ id: idOf(n), session, keys: new Map(keys) as SessionCopy['keys'] }))) // Valid JSON.
    const { stdout } = await run(exportTo('-'), original)
    const target = lasting()
    const { code, stdout: report } = await run(importFrom('-'), target, { input: stdout })
    assert.equal(code, 0)
    assert.match(report, new RegExp(`^imported ${copies.length} session`))
    assert.deepEqual(await copiesIn(target), await copiesIn(original))
  }), { numRuns: 60 })
  const all = copyOf(1, Object.fromEntries(ODD_VALUES.map((value, n) => [ODD_KEYS[n] ?? `k${n}`, value])))
  const { stdout } = await run(exportTo('-'), await storeOf(all))
  const target = lasting()
  t.match(await run(importFrom('-'), target, { input: stdout }), { code: 0, stderr: '' })
  t.strictSame(new Map((await copiesIn(target))[0]?.keys), new Map(all.keys), 'every odd value')
})

t.test('a large session, with a value longer than appending can make, and lines across the chunks of a read', async t => {
  const keys = new Map(Array.from({ length: 60_000 }, (_, n) => [`key${String(n).padStart(8, '0')}`, json(`value ${n}`)]))
  keys.set('zzz', json('é'.repeat(5_000_000)))
  const file = join(t.testdir(), 'export')
  const original = await storeOf({ ...copyOf(1), keys }, copyOf(2, { a: '1' }))
  t.match(await run(exportTo(file), original), { code: 0, stdout: '', stderr: /^exported 2 sessions with 60,002 keys \(\d\d\.\d MiB\)\n$/ })
  const target = lasting()
  t.strictSame(await run(importFrom(file), target),
    { code: 0, stdout: 'imported 2 sessions with 60,002 keys; kept 0 that the store had already; left out 0 that have expired\n', stderr: '' })
  const [large] = await copiesIn(target)
  t.equal(large?.keys.size, keys.size)
  t.ok([...keys].every(([key, value]) => large?.keys.get(key) === value))
})

t.test('an export waits for its output, and takes the next session only then', async t => {
  const keys = { big: json('x'.repeat(100_000)) }
  const store = await storeOf(...Array.from({ length: 5 }, (_, n) => copyOf(n, keys)))
  let taken = 0
  const counting = { async * copies (now: number) { for await (const copy of store.copies(now)) { taken++; yield copy } } }
  const written: Array<() => void> = []
  const output = new Writable({ write (_chunk, _encoding, done) { written.push(done) } })
  const done = exportSessions(counting, START, output)
  for (let n = 1; n <= 5; n++) {
    while (written.length === 0) await setImmediate()
    t.equal(taken, n)
    written.shift()?.()
  }
  while (written.length === 0) await setImmediate()
  written.shift()?.()
  t.match(await done, { sessions: 5, keys: 5 })
  await t.rejects(exportSessions(store, START, sink(), {}, 100_000), { message: `session ${idOf(0)} takes a line of more than 97.7 KiB` })
})

t.test('a file is made whole or not at all, and for its owner alone', async t => {
  const directory = t.testdir({ there: 'something' })
  const store = await storeOf(copyOf(1, { a: '1' }))
  t.match(await run(exportTo(join(directory, 'new')), store), { code: 0, stdout: '', stderr: /^exported 1 session with 1 key / })
  t.equal(statSync(join(directory, 'new')).mode & 0o777, 0o600)
  t.strictSame(readdirSync(directory).sort(), ['new', 'there'])

  const untouched: DataStore = { open: never, backup: never, inspect: never, verify: never }
  const unopened = { dataOf: of(untouched) }
  const existing = await run(exportTo(join(directory, 'there')), store, unopened)
  t.strictSame(existing, { code: 2, stdout: '', stderr: `holdfast export: ${join(directory, 'there')} exists already, and is left as it is\n` })
  t.equal(readFileSync(join(directory, 'there'), 'utf8'), 'something')
  const nowhere = await run(exportTo(join(directory, 'no', 'new')), store, unopened)
  t.strictSame(nowhere, { code: 2, stdout: '', stderr: `holdfast export: cannot make a file in ${join(directory, 'no')}: no such file or directory\n` })

  const failing: SessionStore = overriding(store, { async * copies () { yield copyOf(1); throw new Error('the store\nis gone') } })
  t.strictSame(await run(exportTo(join(directory, 'failed')), failing), { code: 1, stdout: '', stderr: 'holdfast export: the store is gone\n' })
  const late: SessionStore = overriding(store, { async * copies () { writeFileSync(join(directory, 'late'), 'other') } })
  t.match(await run(exportTo(join(directory, 'late')), late), { code: 2, stderr: /late exists already/ })
  t.equal(readFileSync(join(directory, 'late'), 'utf8'), 'other')
  const absent = { dataOf: of({ ...untouched, open: async () => { throw new InputError('there is no store in ./data') } }) }
  t.strictSame(await run(exportTo(join(directory, 'absent')), store, absent),
    { code: 2, stdout: '', stderr: 'holdfast export: there is no store in ./data\n' })
  t.strictSame(readdirSync(directory).sort(), ['late', 'new', 'there'], 'nothing unfinished is left')
})

t.test('standard output that is closed ends an export quietly; one that fails otherwise does not', async t => {
  const failing = (code: string): Writable => new Writable({ write (_chunk, _encoding, done) { done(Object.assign(new Error('write failed'), { code })) } })
  const store = await storeOf(copyOf(1))
  t.strictSame(await run(exportTo('-'), store, { stdout: failing('EPIPE') }), { code: 1, stdout: '', stderr: '' }, 'it is not complete')
  t.strictSame(await run(exportTo('-'), store, { stdout: failing('EIO') }), { code: 1, stdout: '', stderr: 'holdfast export: write failed\n' })
  t.equal(store.closed, 2)
  const report = await run(importFrom('-'), lasting(), { input: fileOf(), stdout: failing('EPIPE') })
  t.strictSame(report, { code: 0, stdout: '', stderr: '' }, 'nor is anything made of a report that nobody reads')
})

t.test('an import keeps what is there, leaves out what has ended, and empties what has started again', async t => {
  const before = copyOf(1, { a: '"here"' }, { name: 'here' })
  const target = await storeOf(before, copyOf(2, { a: '"over"' }, { duration: 1, startedAt: START - 10_000 }))
  const restarting = copyOf(4, { a: '1' }, { duration: 10, deleteSession: false, startedAt: START - 25_000, usedAt: START - 25_000 })
  const source = [copyOf(1, { b: '1' }), copyOf(2, { b: '1', c: '2' }), copyOf(3, { b: '1' }, { idle: 10, usedAt: START - 10_000 }), restarting]
  const copies = { async * copies () { yield * source } }
  const { stdout } = await run(exportTo('-'), { ...target, ...copies })
  const result = await run(importFrom('-'), target, { input: stdout })
  t.strictSame(result, { code: 0, stdout: 'imported 2 sessions with 2 keys; kept 1 that the store had already; left out 1 that have expired\n', stderr: '' })
  const restarted = { ...restarting, session: { ...restarting.session, startedAt: START - 5_000, usedAt: START - 5_000 }, keys: new Map() }
  t.strictSame(await copiesIn(target), [before, source[1], restarted])
})

t.test('an import takes a time that is ahead of now for now', async t => {
  const target = lasting()
  const year9000 = '221845392000000'
  const input = fileOf(
    line({}, { duration: '10', startedAtMs: year9000, usedAtMs: year9000 }),
    line({ id: `"${idOf(2)}"`, keys: '{"a":1}' }, { idle: '10', startedAtMs: `${START - 1_000}`, usedAtMs: `${START + 1}` }))
  t.match(await run(importFrom('-'), target, { input }), { code: 0, stdout: /^imported 2 sessions with 1 key; / })
  t.strictSame(await copiesIn(target), [copyOf(1, {}, { duration: 10 }), copyOf(2, { a: '1' }, { idle: 10, startedAt: START - 1_000 })])
  t.strictSame(await copiesIn(target, START + 10_000), [])
})

t.test('when the disk gets full in the middle, it says how much is imported, and can be run again', async t => {
  const all = Array.from({ length: 2_500 }, (_, n) => copyOf(n, { n: `${n}` }))
  const { stdout: input } = await run(exportTo('-'), await storeOf(...all))
  const target = lasting()
  let room = 1_700
  const full = Object.assign(new Error('The transaction failed'), { cause: Object.assign(new Error('write'), { errno: -28 }) })
  const filling = overriding<Pick<SessionStore, 'restore'>>(target, {
    async restore (copy, now) {
      if (room-- <= 0) throw full
      return await target.restore(copy, now)
    },
  })
  t.strictSame(await run(importFrom('-'), filling, { input }), {
    code: 1,
    stdout: '',
    stderr: 'holdfast import: stopped when 1,700 of 2,500 sessions were imported, and can be run again to go on: ' +
      'The transaction failed: no space left on device\n',
  })
  t.equal((await copiesIn(target)).length, 1_700)
  t.match(await run(importFrom('-'), target, { input }), { code: 0, stdout: /^imported 800 sessions with 800 keys; kept 1,700 / })
  t.strictSame(await copiesIn(target), all)
})

t.test('every fault of a line is named, with the number of the line, and nothing is imported', async t => {
  const hex = idOf(1)
  const secret = 'swordfish'
  const number = (member: string, most: number) => `${member}: must be a whole number from 0 to ${most}`
  const [seconds, safe] = [10_000_000_000, Number.MAX_SAFE_INTEGER]
  const ID = 'id: must be 64 lower-case hexadecimal digits, the SHA-256 of a token'
  const NAME = 'name: must be a string of well-formed Unicode, 1 to 256 bytes long'
  const KEY = 'must be well-formed Unicode of at most 1024 bytes'
  const faults: Array<readonly [string, string | Buffer]> = [
    ['is not JSON: byte 0: expected a value', ''],
    ['is not JSON: byte 0: expected a value', secret],
    ["is not JSON: byte 218: expected ',' or '}'", line().slice(0, -1)],
    ['is not JSON: byte 220: expected the end', `${line()} {}`],
    ['is not JSON: byte 7: expected well-formed UTF-8', Buffer.from('{"id":"\xff"}', 'latin1')],
    ['it: must be an object', '[]'],
    ['it: must be an object', '17'],
    ...['id', 'name', 'shared', 'expiry', 'keys'].map(name => [`${name}: is missing`, line({ [name]: undefined })] as const),
    ...['duration', 'idle', 'deleteSession', 'startedAtMs', 'usedAtMs'].map(name => [`expiry.${name}: is missing`, line({}, { [name]: undefined })] as const),
    ['"tkn": there is no such member', line({ tkn: `"${secret}"` })],
    ['expiry."time": there is no such member', line({}, { time: '0' })],
    ['shared: stands twice', line().replace('"shared"', '"shared":true,"shared"')],
    ...[`"${hex.slice(1)}"`, `"${hex}0"`, `"${hex.slice(1)}A"`, `"\\u0030${hex.slice(1)}"`, '17', 'null', `"${secret.repeat(1_000)}"`].map(id => [ID, line({ id })] as const),
    ...['""', '17', 'null', '["cart"]', '"\\ud800"', json('é'.repeat(129)), `"${'\\u0061'.repeat(257)}"`, `"\\u0061${'é'.repeat(5_000)}"`]
      .map(name => [NAME, line({ name })] as const),
    ...['0', '"true"', 'null'].map(shared => ['shared: must be true or false', line({ shared })] as const),
    ['expiry.deleteSession: must be true or false', line({}, { deleteSession: '1' })],
    ['expiry: must be an object', line({ expiry: 'null' })],
    ['expiry: must be an object', line({ expiry: '[]' })],
    ...['-1', '-0', '1.0', '1e3', '"1"', 'null', '10000000001', '9'.repeat(5_000)].flatMap(duration =>
      [[number('expiry.duration', seconds), line({}, { duration })], [number('expiry.idle', seconds), line({}, { idle: duration })]] as const),
    ...['-1', '9007199254740992', '1.5'].flatMap(time =>
      [[number('expiry.startedAtMs', safe), line({}, { startedAtMs: time })], [number('expiry.usedAtMs', safe), line({}, { usedAtMs: time })]] as const),
    ['keys: must be an object', line({ keys: '[]' })],
    ['keys: must be an object', line({ keys: '"x"' })],
    [`keys, "${'x'.repeat(60)}…": ${KEY}`, line({ keys: `{"${'x'.repeat(1_025)}":1}` })],
    [`keys, "a\\udc00": ${KEY}`, line({ keys: '{"a\\udc00":1}' })],
    ['keys, "a": stands twice', line({ keys: `{"a":1,"b":2,"\\u0061":"${secret}"}` })],
    ['keys, "\\u{7f}\\u001b\\u{202e}": null is not a value', line({ keys: '{"a":1,"\\u007f\\u001b\\u202e":null}' })],
    ['keys, "a": the value is longer than 16.0 MiB', line({ keys: `{"a":"${'x'.repeat(2 ** 24)}"}` })],
    ['is not JSON: byte 349: expected at most 130 levels of nesting', line({ keys: `{"a":${nest(129)}}` })],
    ['id: stands on an earlier line too', `${line()}\n${line()}`],
  ]
  for (const [fault, content] of faults) {
    const extra = content.includes('\n') ? 3 : 2
    const input = Buffer.concat([`${HEADER}\n`, content, `\n${END}\n`].map(part => Buffer.from(part)))
    const { code, stdout, stderr } = await run(importFrom('-'), lasting(), { input, dataOf: of({ open: never, backup: never, inspect: never, verify: never }) })
    const message = 'holdfast import: nothing is imported, because this is not an export of Holdfast without faults\n'
    t.strictSame({ code, stdout, stderr }, { code: 2, stdout: '', stderr: `${message}  line ${extra}: ${fault}\n` })
    t.notMatch(stderr, secret)
  }
})

t.test('spaces, another order of members and of keys, and other line ends are no faults', async t => {
  const keys = { c: '1', a: '[ 1 ]', b: '2', '\u{1f954}': '3', '\uffff': '4' }
  const content = line({ id: undefined, keys: json(keys).replace(/"(\d|\[ 1 \])"/g, '$1') }).replace('{', `{ "id" : "${idOf(7)}" , `)
  const input = ['\ufeff' + HEADER.replaceAll(':', ' : '), content, '{"holdfast": "end"}'].join('\r\n')
  const target = lasting()
  t.match(await run(importFrom('-'), target, { input }), { code: 0, stderr: '' })
  const [copy] = await copiesIn(target)
  t.strictSame([...copy?.keys ?? []], [['a', '[ 1 ]'], ['b', '2'], ['c', '1'], ['\uffff', '4'], ['\u{1f954}', '3']])
  t.equal(copy?.id, idOf(7))
  const given: SessionCopy[] = []
  const watching = overriding<Pick<SessionStore, 'restore'>>(target, { async restore (copy) { given.push(copy); return true } })
  await run(importFrom('-'), watching, { input })
  t.strictSame([...given[0]?.keys.keys() ?? []], ['a', 'b', 'c', '\uffff', '\u{1f954}'], 'a store is given the keys in order')
})

t.test('what is no export, or not all of one, is refused', async t => {
  const faultsOf = async (input: string | Buffer): Promise<string[]> => {
    const { code, stderr } = await run(importFrom('-'), lasting(), { input, dataOf: of({ open: never, backup: never, inspect: never, verify: never }) })
    t.equal(code, 2)
    return stderr.split('\n').slice(1, -1).map(detail => detail.trim())
  }
  const foreign = 'line 1: is not what an export begins with'
  for (const input of ['', '\n', 'x'.repeat(5_000), line(), END, '[]', '17', '{}', '{"holdfast":"other"}', Buffer.from([0x1f, 0x8b, 8, 0, 0xff]), `\n${fileOf()}`]) {
    t.strictSame(await faultsOf(input), [foreign])
  }
  for (const format of ['2', '"1"', '1.0']) {
    t.strictSame(await faultsOf(fileOf().replace('"format":1', `"format":${format},"more":0`)), ['line 1: format: this version of Holdfast reads format 1'])
  }
  t.strictSame(await faultsOf(HEADER.replace(`${START}`, '"x"')), [`line 1: exportedAtMs: must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`])
  const missing = 'the line that ends an export is missing, so that this is not all of it'
  t.strictSame(await faultsOf(HEADER), [`line 2: ${missing}`])
  t.strictSame(await faultsOf(`${HEADER}\n${line()}\n`), [`line 3: ${missing}`])
  t.strictSame(await faultsOf(`${HEADER}\n${line()}\n${END.slice(0, -1)}`), ['line 3: is not JSON: byte 17: expected \',\' or \'}\'', `line 4: ${missing}`])
  t.strictSame(await faultsOf(fileOf(line()) + fileOf()), ['line 4: nothing can follow the line that ends an export'])
  const wrong = line({ shared: '1' })
  t.strictSame(await faultsOf(fileOf(wrong, line(), wrong)), ['line 2', 'line 4'].map(at => `${at}: shared: must be true or false`), 'all of them')
  const many = await faultsOf(fileOf(...Array.from({ length: 20 }, () => wrong)))
  t.equal(many.length, 11)
  t.equal(many.at(-1), 'Faulty lines after these are not listed.')

  const path = join(t.testdir({ file: fileOf(line({ keys: json({ a: 'x'.repeat(1_000) }) })) }), 'file')
  const file = await open(path)
  await t.rejects(checkExport(file, {}, 500), { name: 'InputError', message: 'line 2 is longer than 500 bytes' })
  t.equal(await checkExport(file, {}, 2_000), 1)
  await file.close()
})

t.test('what cannot be opened', async t => {
  const directory = t.testdir()
  const missing = await run(importFrom(join(directory, 'missing')), lasting())
  t.strictSame(missing, { code: 2, stdout: '', stderr: `holdfast import: cannot open ${join(directory, 'missing')}: no such file or directory\n` })
  const folder = await run(importFrom(directory), lasting())
  t.strictSame(folder, { code: 2, stdout: '', stderr: `holdfast import: cannot import ${directory}: it is a directory\n` })
})

/** Has temporary files made in a directory of the test's own. */
function temporaryIn (t: Test, directory: string): void {
  const before = process.env.TMPDIR
  process.env.TMPDIR = directory
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
}

t.test('standard input is read twice from a file that has no name', async t => {
  const directory = t.testdir()
  temporaryIn(t, directory)
  t.equal(tmpdir(), directory)
  const target = lasting()
  let left: string[] | undefined
  const looking = overriding<Pick<SessionStore, 'restore'>>(target, { async restore (copy, now) { left = readdirSync(directory); return await target.restore(copy, now) } })
  t.match(await run(importFrom('-'), looking, { input: fileOf(line()) }), { code: 0 })
  t.strictSame(left, [])
  const broken = new Readable({ read () { this.destroy(new Error('the other end is gone')) } })
  const message = `holdfast import: cannot keep what comes in, which has to be read twice, in ${directory}: the other end is gone\n`
  t.strictSame(await run(importFrom('-'), target, { stdin: broken }), { code: 1, stdout: '', stderr: message })
  t.strictSame(readdirSync(directory), [])
  process.env.TMPDIR = join(directory, 'missing')
  t.match(await run(importFrom('-'), target, { input: fileOf() }), { code: 1, stderr: /in \S+\/missing: no such file or directory\n$/ })
})

t.test('so is a pipe', async t => {
  const pipe = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [pipe])
  const writer = spawn('sh', ['-c', 'cat > "$0"', pipe], { stdio: ['pipe', 'ignore', 'inherit'] })
  writer.stdin.end(fileOf(line()))
  t.match(await run(importFrom(pipe), lasting()), { code: 0, stdout: /^imported 1 session with 0 keys; / })
})

t.test('a command that is interrupted says so, and clears away', async t => {
  const stopping = new AbortController()
  const { signal } = stopping
  const waiting = run(importFrom('-'), lasting(), { stdin: new PassThrough(), signal })
  await setImmediate()
  stopping.abort(new Error('interrupted by SIGINT'))
  t.strictSame(await waiting, { code: 1, stdout: '', stderr: 'holdfast import: interrupted by SIGINT\n' })

  const directory = t.testdir({ file: fileOf(line()) })
  t.strictSame(await run(importFrom(join(directory, 'file')), lasting(), { signal }), { code: 1, stdout: '', stderr: 'holdfast import: interrupted by SIGINT\n' })
  const store = await storeOf(copyOf(1))
  t.strictSame(await run(exportTo(join(directory, 'new')), store, { signal }), { code: 1, stdout: '', stderr: 'holdfast export: interrupted by SIGINT\n' })
  t.strictSame(readdirSync(directory), ['file'])

  const all = Array.from({ length: 1_500 }, (_, n) => copyOf(n))
  const { stdout: input } = await run(exportTo('-'), await storeOf(...all))
  const later = new AbortController()
  const target = lasting()
  const aborting = overriding<Pick<SessionStore, 'restore'>>(target, { async restore (copy, now) { later.abort(new Error('interrupted')); return await target.restore(copy, now) } })
  const { code, stderr } = await run(importFrom('-'), aborting, { input, signal: later.signal })
  t.equal(code, 1)
  t.equal(stderr, 'holdfast import: stopped when 1,000 of 1,500 sessions were imported, and can be run again to go on: interrupted\n')
  t.equal((await copiesIn(target)).length, 1_000)
})

t.test('progress: one line, written a few times a second, and taken away', async t => {
  const terminal = sink({ isTTY: true, columns: 11 })
  let time = 0
  const progress = progressOn(terminal, () => time)
  progressOn(Object.assign(sink({ isTTY: true, columns: 0 }), { write: (text: string) => t.equal(text, '\r\u001b[Ka line') })).show(() => 'a line')
  progress.clear()
  for (time = 0; time < 1_000; time += 10) progress.show(() => `at ${time} of 1000`)
  progress.clear()
  progress.clear()
  const erase = '\r\u001b[K'
  t.equal(terminal.text(), ['at 0 of 10', 'at 250 of ', 'at 500 of ', 'at 750 of ', ''].map(text => erase + text).join(''))

  const nobody = sink()
  progressOn(nobody).show(() => { throw new Error('nobody asked') })
  t.equal(nobody.text(), '')

  const store = await storeOf(copyOf(1, { a: '1' }))
  const shown = sink({ isTTY: true })
  const { stdout } = await run(exportTo('-'), store, { stderr: shown })
  t.equal(shown.text(), `${erase}exported 1 session, ${stdout.length - END.length - 1} bytes${erase}exported 1 session with 1 key (${stdout.length} bytes)\n`)
  const screen = sink({ isTTY: true })
  const alone = sink({ isTTY: true })
  t.equal((await run(exportTo('-'), store, { stdout: screen, stderr: alone })).code, 0)
  t.match(alone.text(), /^exported 1 session with 1 key/, 'none in the midst of the data')

  const importing = sink({ isTTY: true })
  t.match(await run(importFrom('-'), lasting(), { input: stdout, stderr: importing }), { stdout: /^imported 1 session with 1 key; / })
  t.match(importing.text().split(erase), ['', /^checked \d+ bytes of \d+ bytes \(\d\d %\)$/, ''])
  const failing = sink({ isTTY: true })
  await run(importFrom('-'), lasting(), { input: fileOf(line(), line({ keys: '0' })), stderr: failing })
  t.match(failing.text().split(erase), ['', /^checked /, /^holdfast import: nothing/], 'a fault is not printed behind it')
})

const INSPECTION: Inspection = { kind: 'lmdb', format: '2', sessions: 1_203, keys: 10_400, bytes: 3_355_443, diskBytes: 4_194_304, expired: 12 }

t.test('inspect prints what the store holds, and what --verify finds', async t => {
  const stores = { open: never, backup: never, inspect: async () => INSPECTION, verify: never }
  const command: Subcommand = { name: 'inspect', store: URL, verify: false }
  const plain = 'store     lmdb, format 2\nsessions  1,203\nkeys      10,400\n' +
    'bytes     3,355,443 of keys and values, 4,194,304 on the disk\nexpired   12 not swept yet\n'
  t.strictSame(await run(command, lasting(), { dataOf: of(stores) }), { code: 0, stdout: plain, stderr: '' })
  const stderr = sink({ isTTY: true })
  const verify: DataStore['verify'] = async ({ report }) => {
    report?.({ done: 500, of: 1_000 })
    return { records: 1_000, damaged: 0, examples: [] }
  }
  t.match(await run({ ...command, verify: true }, lasting(), { dataOf: of({ ...stores, verify }), stderr }), { code: 0, stdout: `${plain}verified  1,000 records, none is damaged\n` })
  t.equal(stderr.text(), '\r\u001b[Kchecked 500 records of 1,000 (50 %)\r\u001b[K')

  const damaged = { records: 1_000, damaged: 2, examples: ['session 0a: key 3', 'session 0b'] }
  t.match(await run({ ...command, verify: true }, lasting(), { dataOf: of({ ...stores, verify: async () => damaged }) }),
    { code: 1, stdout: `${plain}verified  1,000 records, damaged 2:\n  session 0a: key 3\n  session 0b\n`, stderr: '' })
  t.match(inspected(INSPECTION, { ...damaged, damaged: 1_900 }).text, 'verified  1,000 records, damaged 1,900; 2 of them:\n')

  const absent = { ...stores, inspect: async () => { throw new InputError('there is no Holdfast store in ./data') } }
  t.strictSame(await run(command, lasting(), { dataOf: of(absent) }), { code: 2, stdout: '', stderr: 'holdfast inspect: there is no Holdfast store in ./data\n' })
})

t.test('backup prints what was copied', async t => {
  const command: Subcommand = { name: 'backup', store: URL, directory: '/backups/monday' }
  const done = { sessions: 1, keys: 10_400, bytes: 4_194_304, damaged: 0 }
  const stderr = sink({ isTTY: true })
  const asked: unknown[] = []
  const backup: DataStore['backup'] = async (directory, now, { report }) => {
    asked.push(directory, now)
    report?.({ done: 1024, of: 4_194_304 })
    return done
  }
  const stores = { open: never, backup, inspect: never, verify: never }
  const made = 'backed up 1 session with 10,400 keys to /backups/monday (4.0 MiB)\n'
  t.match(await run(command, lasting(), { dataOf: of(stores), stderr }), { code: 0, stdout: made })
  t.strictSame(asked, ['/backups/monday', START])
  t.equal(stderr.text(), '\r\u001b[Kcopied 1.0 KiB of 4.0 MiB (0 %)\r\u001b[K')
  t.equal(copying({ done: 5, of: 4 }), 'copied 5 bytes of 4 bytes (100 %)')
  t.equal(copying({ done: 0, of: 0 }), 'copied 0 bytes of 0 bytes')
  const damaged = { ...stores, backup: async () => ({ ...done, damaged: 2 }) }
  t.strictSame(await run(command, lasting(), { dataOf: of(damaged) }),
    { code: 1, stdout: `${made}damaged, in the store as in its backup: 2 records; holdfast inspect --verify says which\n`, stderr: '' })
  const used = { ...stores, backup: async () => { throw new InputError('/backups/monday is not empty') } }
  t.strictSame(await run(command, lasting(), { dataOf: of(used) }), { code: 2, stdout: '', stderr: 'holdfast backup: /backups/monday is not empty\n' })
})

t.test('a store on Valkey or Redis', async t => {
  const location = parseStoreUrl('valkey://u:hunter2@h')
  const { store, tell } = waitingStore()
  const asked: unknown[] = []
  const data = valkeyData(async (...given) => {
    asked.push(given)
    return store
  }, placeOf(location))
  const opening = data.open('import')
  tell(undefined)
  t.equal(await opening, store)
  t.strictSame(asked, [[{ openTimeoutS: 10, answerDeadlineMs: 10_000 }]])

  let closed = 0
  const absent = overriding(memoryStore(), { opened: Promise.reject(new Error('nobody answers')), close: async () => { closed++ } })
  const dataOf = of(valkeyData(async () => absent, placeOf(location)))
  const command: Subcommand = { name: 'export', store: location, file: '-' }
  t.strictSame(await run(command, store, { dataOf }), { code: 1, stdout: '', stderr: 'holdfast export: cannot open the data on valkey at h:6379/0: nobody answers\n' })
  t.equal(closed, 1)

  const refusals: Array<readonly [Subcommand, string]> = [
    [{ name: 'backup', store: location, directory: '/nowhere' }, 'is backed up by its snapshots (valkey-cli --rdb, redis-cli --rdb) or by holdfast export'],
    [{ name: 'inspect', store: location, verify: true }, 'is looked into with valkey-cli or redis-cli, and its sessions are counted by GET /sessions'],
  ]
  for (const [command, refusal] of refusals) {
    t.strictSame(await run(command, store, { dataOf }), { code: 2, stdout: '', stderr: `holdfast ${command.name}: a store on Valkey or Redis ${refusal}\n` })
  }
  await t.rejects(dataStores.verify('valkey://h', {}), InputError)
})

t.test('keygen prints a key and its line', async t => {
  const { code, stdout, stderr } = await run({ name: 'keygen', key: 'web', role: 'client', prefix: 'shop:' }, memoryStore())
  const [key = '', line = '', ...rest] = stdout.split('\n')
  t.strictSame([code, stderr, rest], [0, '', ['']])
  t.match(key, /^[\w-]{43}$/)
  t.equal(line, `web client ${createHash('sha256').update(key).digest('hex')} prefix=shop:`)
})

const salvageTo = (path: string, file: string): Subcommand => ({ name: 'salvage', path, file })

t.test('salvage writes what is whole of a damaged store as an export, and says what is lost', async t => {
  const directory = t.testdir()
  const data = join(directory, 'data')
  const store = await lmdbStore(data)
  const copies = [copyOf(1, { a: '"needle"', b: '[1.10,\r\n2]', c: '3' }, { name: 'a "b"', shared: true }), copyOf(2, { d: '4' }), copyOf(3, {}, { duration: 1, startedAt: START - 5_000 })]
  for (const copy of copies) await store.restore(copy, START - 5_000)
  const { stdout: exported } = await run(exportTo('-'), lasting(store))
  const taken = await run(salvageTo(data, '-'), store)
  t.match(taken, { code: 2, stdout: '', stderr: /^holdfast salvage: process \d+ on \S+, since \S+, has it, and has to be stopped first\n$/ })
  await store.close()

  t.strictSame(await run(salvageTo(data, '-'), store), {
    code: 0, stdout: exported, stderr: `salvaged 2 sessions with 4 keys (${exported.length} bytes)\nnothing is lost: the data file is whole\n`,
  })
  const file = readFileSync(join(data, 'data.mdb'))
  for (let at = file.indexOf('needle'); at >= 0; at = file.indexOf('needle', at + 1)) file[at]! ^= 1
  const damaged = Buffer.concat([Buffer.alloc(4096), file.subarray(4096)])
  writeFileSync(join(data, 'data.mdb'), damaged)
  await t.rejects(lmdbStore(data), { message: 'data.mdb is damaged, or no file of LMDB\'s: page 0: is not of LMDB; restore a backup, or save what is whole with `holdfast salvage <directory> <file>`' })
  const out = join(directory, 'out')
  t.match(await run(salvageTo(data, out), store), {
    code: 1,
    stdout: '',
    stderr: new RegExp(`^salvaged 2 sessions with 3 keys \\(\\d+ bytes\\)\nlost: 1 key of sessions that are salvaged without them\n  session ${idOf(1)}: 1 key: "a"\n` +
      'the data file is damaged: 2 faults\n  page 0: is not of LMDB\n  the table "keys": records that are damaged: 1\n$'),
  })
  t.equal(statSync(out).mode & 0o777, 0o600)
  t.ok(readFileSync(join(data, 'data.mdb')).equals(damaged), 'the damaged file is left as it is')
  const target = lasting()
  t.match(await run(importFrom(out), target), { code: 0, stdout: /^imported 2 sessions with 3 keys; / })
  const [first, second] = copies
  t.strictSame(await copiesIn(target), [{ ...first, keys: new Map([['b', '[1.10,2]'], ['c', '3']]) }, second])

  t.match(await run(salvageTo(data, out), store), { code: 2, stderr: `holdfast salvage: ${out} exists already, and is left as it is\n` })
  writeFileSync(join(data, 'data.mdb'), 'a text')
  t.match(await run(salvageTo(data, join(directory, 'other')), store), { code: 2, stderr: /^holdfast salvage: \S+data\.mdb is no data file of a store: / })
  writeFileSync(join(data, 'data.mdb'), Buffer.from(file).fill(7, 40, 4096).fill(7, 4136, 8192))
  t.match(await run(salvageTo(data, join(directory, 'other')), store), { code: 1, stderr: /^holdfast salvage: nothing of \S+ can be saved, .*; restore a backup\n$/ })
  t.strictSame(readdirSync(directory).sort(), ['data', 'out'], 'nothing is made that would hold nothing')

  const screen = sink({ isTTY: true })
  writeFileSync(join(data, 'data.mdb'), file)
  t.equal((await run(salvageTo(data, '-'), store, { stdout: screen, stderr: screen })).code, 1)
  t.match(screen.text(), /^\{"holdfast":"export",/, 'no progress in the midst of the data')
})

/** A damaged store of whose sessions no more is known than this. */
function salvageOf (copies: ReadonlyArray<Omit<SessionCopy, 'keys'> & { keys: Iterable<readonly [string, JsonText]> }>, losses: Partial<Losses> = {}): Salvage {
  return {
    async * sessions () { yield * copies },
    losses: () => ({ faults: { some: [], count: 0 }, sessions: 0, keys: 0, unowned: 0, examples: [], ...losses }),
    close () {},
  }
}

t.test('what no import takes is no reason to salvage nothing', async t => {
  const text = (texts: Record<string, string>) => Object.entries(texts) as Array<[string, JsonText]> // Some are none.
  const odd = { a: '1', b: '', c: 'null', d: '{"a":}', e: nest(129), f: `"${'x'.repeat(2 ** 24)}"`, ['x'.repeat(1_025)]: '1', '\ud800': '1', g: '2' }
  const good = copyOf(2, { a: '"x"' })
  const copies = [{ ...copyOf(1), keys: text(odd) }, { ...copyOf(3, {}, { name: '' }), keys: text({ a: '1' }) }, { ...copyOf(4, {}, { usedAt: NaN }), keys: [] }, good]
  const output = sink()
  const told: unknown[] = []
  const made = await salvageSessions(salvageOf(copies), START, output, { report: state => { told.push(state) } })
  t.match(made, { sessions: 2, keys: 3, unfit: { sessions: 2, keys: 7 } })
  t.equal(made.bytes, Buffer.byteLength(output.text()))
  t.equal(told.length, 2)
  const target = lasting()
  t.match(await run(importFrom('-'), target, { input: output.text() }), { code: 0 })
  t.strictSame(await copiesIn(target), [copyOf(1, { a: '1', g: '2' }), good])

  const short = sink()
  const keys = text({ a: `"${'x'.repeat(100)}"`, b: `"${'x'.repeat(1_000)}"`, c: `"${'é'.repeat(10)}"` })
  const head = line({ keys: '{}' }).length
  t.match(await salvageSessions(salvageOf([{ ...copyOf(1), keys }]), START, short, {}, head + 150), { keys: 2, unfit: { keys: 1 } })
  const written = short.text().split('\n')[1]!
  t.ok(Buffer.byteLength(written) <= head + 150, 'no line is longer than one that is imported')
  t.strictSame(Object.keys((JSON.parse(written) as { keys: object }).keys), ['a', 'c'])
  await t.rejects(salvageSessions(salvageOf([good]), START, sink(), { signal: AbortSignal.abort(new Error('interrupted')) }), { message: 'interrupted' })
})

t.test('salvage prints what was saved and what was not', async t => {
  const made = { sessions: 1_203, keys: 1, bytes: 2_048, unfit: { sessions: 0, keys: 0 } }
  const none: Losses = { faults: { some: [], count: 0 }, sessions: 0, keys: 0, unowned: 0, examples: [] }
  const first = 'salvaged 1,203 sessions with 1 key (2.0 KiB)\n'
  t.strictSame(salvaged({ ...made, losses: none }), { text: `${first}nothing is lost: the data file is whole\n`, damaged: false })
  t.strictSame(salvaged({ ...made, losses: { ...none, faults: { some: ['page 3: has 0 nodes'], count: 1 } } }),
    { text: `${first}nothing is lost\nthe data file is damaged: 1 fault\n  page 3: has 0 nodes\n`, damaged: false })
  t.strictSame(salvaged({ ...made, losses: { ...none, sessions: undefined } }).text, `${first}lost: sessions, and it is not known how many\n`)
  const examples = [{ id: idOf(1), keys: 2, names: ['a', '\u0007'] }, { id: idOf(2), keys: 3, names: ['b'] }, { id: idOf(3), keys: 4, names: [] }]
  t.strictSame(salvaged({ ...made, losses: { faults: { some: ['x'], count: 9 }, sessions: 1, keys: 9, unowned: 2, examples }, unfit: { sessions: 1, keys: 2 } }), {
    damaged: true,
    text: first +
      'lost: 1 session; 9 keys of sessions that are salvaged without them; 2 keys of sessions that are lost; ' +
      '1 session that can be read, but not be imported; 2 keys that can be read, but not be imported\n' +
      `  session ${idOf(1)}: 2 keys: "a", "\\u0007"\n  session ${idOf(2)}: 3 keys, such as "b"\n  session ${idOf(3)}: 4 keys\n` +
      'the data file is damaged: 9 faults; 1 of them\n  x\n',
  })
  t.equal(reading({ done: 1024, of: 4096 }), 'read 1.0 KiB of 4.0 KiB (25 %)')
  t.equal(salvaging({ ...made, sessions: 2 }), 'salvaged 2 sessions, 2.0 KiB')
})

t.test('numbers and names in words', async t => {
  const sizes = [0, 1, 1023, 1024, 1536, 1024 ** 2 - 1, 1024 ** 2, 5 * 1024 ** 3, 3 * 1024 ** 4, 5_000 * 1024 ** 4].map(size)
  t.strictSame(sizes, ['0 bytes', '1 byte', '1,023 bytes', '1.0 KiB', '1.5 KiB', '1.0 MiB', '1.0 MiB', '5.0 GiB', '3.0 TiB', '5,000.0 TiB'])
  t.equal(quoted('\u{1f954}'.repeat(40)), `"${'\u{1f954}'.repeat(30)}…"`)
  t.equal(quoted(`x${'\u{1f954}'.repeat(40)}`), `"x${'\u{1f954}'.repeat(29)}\\ud83e…"`)
  t.equal(reason('gone'), 'gone')
  t.equal(reason(new Error('it failed', { cause: 'x' })), 'it failed')
  t.equal(reason(new StatusError('LimitExceeded', '', 'The disk is full.', { cause: new Error('EIO') })), 'The disk is full.')
})
