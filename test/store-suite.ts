import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import type { Test } from 'tap'
import { compareCodePoints } from '../src/json/codepoint.js'
import type { JsonText } from '../src/json/text.js'
import { deadline, expire, type Access, type Listing, type Outcome, type Reads, type Session, type SessionCopy, type SessionId, type SessionStore, type View } from '../src/session.js'

/** A store of its own for one test. */
export interface Opened {
  readonly store: SessionStore
  /** For a store that outlives its process: opens the same one again. The first one is closed before. */
  readonly reopen?: () => Promise<SessionStore>
}

/** Opens a fresh store; what it lies in is cleared away with the test. */
export type Open = (t: Test) => Promise<Opened>

/** Milliseconds since the Unix epoch: the time at which the tests begin. */
export const START = 1_700_000_000_000
export const ID = idOf(1)

export function idOf (n: number): SessionId {
  // As SessionId is defined: 64 hexadecimal digits.
  return n.toString(16).padStart(64, '0') as SessionId
}

export function json (value: unknown): JsonText {
  // What JSON.stringify makes of a value that is not undefined is a JSON text.
  return JSON.stringify(value) as JsonText
}

/** A session that never expires, but for what `parts` say. */
export function sessionOf (parts: Partial<Session> = {}): Session {
  return { name: 'cart', shared: false, duration: 0, idle: 0, deleteSession: true, startedAt: START, usedAt: START, ...parts }
}

type Writes = Record<string, JsonText | null> | ReadonlyMap<string, JsonText | null>

function mapOf (writes: Writes): ReadonlyMap<string, JsonText | null> {
  return writes instanceof Map ? writes : new Map(Object.entries(writes))
}

/** An access that writes what it is told and answers the number of keys that it saw. */
export function writing (parts: Omit<Outcome<unknown>, 'reply' | 'writes'> & { writes?: Writes }, touch = true): Access<number> {
  const { writes = {}, ...rest } = parts
  return { reads: {}, mayWrite: true, touch, decide: view => ({ ...rest, reply: view.size, writes: mapOf(writes) }) }
}

/** An access that answers what it reads and changes nothing. */
export function reading<T> (reads: Reads, look: (view: View) => T, touch = false): Access<T> {
  return { reads, mayWrite: false, touch, decide: view => ({ reply: look(view) }) }
}

/** An access, which begins at once, and answers or fails later: a store may do both at once. */
export async function accessLater<T> (store: SessionStore, id: SessionId, now: number, access: Access<T>): Promise<{ readonly reply: T } | undefined> {
  return await store.access(id, now, access)
}

export async function set (store: SessionStore, id: SessionId, now: number, writes: Writes): Promise<{ readonly reply: number } | undefined> {
  return await store.access(id, now, writing({ writes }))
}

/** Every key with its value, in the order the store gives them; undefined when there is no such session. */
export async function dump (store: SessionStore, id: SessionId, now: number): Promise<ReadonlyArray<readonly [string, string]> | undefined> {
  return (await store.access(id, now, reading({ all: true }, view => [...view.entries()])))?.reply
}

async function list (store: SessionStore, now: number, listing: Partial<Listing>): Promise<readonly string[] | undefined> {
  const whole = { prefix: '', after: undefined, limit: Infinity, ...listing }
  return (await store.access(ID, now, reading({ list: whole }, view => view.names())))?.reply
}

/** Keys that a store could lose, mix up or put in the wrong place, in code point order. */
const ODD_KEYS = [
  '', '\u0000', '\u0000\u0000', '\n', '\n\n', ' ', '"', '0', '1', '10', '2', '__proto__', 'a', 'a\u0000', 'a\u0000b', 'aa', 'b',
  'constructor', 'hasOwnProperty', 'toString', '~', '\u007f', '\u0080', 'e\u0301', '\u00e9', 'ü', '\ud7ff', '\ue000', '\ufeffbom', '\ufffd',
  '\uffff', '\u{10000}', '\u{1f954}', '\u{1f954}a', '\u{10ffff}',
].sort(compareCodePoints)

/** Texts whose every character has to come back. */
const ODD_VALUES = [
  '9007199254740993', '18446744073709551615', '1.10', '1e400', '-0', '0.1e-7', '""', '"\\u0000"', '"\\ud800"', '"\u{1f954}"',
  '"\ufeff"', '[]', '{}', '{"b":1,"a":2,"b":3}', '{"__proto__":{"x":null}}', 'true', 'false', '[1, 2,\n\t3]', '"\u2028\u2029"',
  // They are valid JSON, only not of the kind that JSON.stringify makes.
] as JsonText[]

/** Runs every test of the SessionStore contract on one kind of store. */
export function storeSuite (t: Test, open: Open): void {
  const test = (name: string, run: (t: Test, store: SessionStore) => Promise<void>): void => {
    t.test(name, async t => {
      const { store } = await open(t)
      t.teardown(() => store.close())
      await run(t, store)
    })
  }
  access(test)
  values(test)
  listings(test)
  expiry(test)
  sessions(test)
  durability(t, open)
  model(test)
}

type RegisterTest = (name: string, run: (t: Test, store: SessionStore) => Promise<void>) => void

function access (test: RegisterTest): void {
  test('an access on a session that is not there answers undefined and decides nothing', async (t, store) => {
    t.equal(await store.access(ID, START, { reads: {}, mayWrite: true, touch: true, decide: () => t.fail() as never }), undefined)
    t.equal(await store.access(ID, START, reading({}, () => t.fail())), undefined)
    t.equal(await store.find(ID, START), undefined)
  })

  test('of 50 increments at once none is lost', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, { n: json(0) })
    const increment: Access<number> = {
      reads: { get: ['n'] },
      mayWrite: true,
      touch: true,
      decide (view) {
        const n = Number(view.get('n')) + 1
        return { reply: n, writes: new Map([['n', json(n)]]) }
      },
    }
    const done = await Promise.all(Array.from({ length: 50 }, () => accessLater(store, ID, START, increment)))
    t.strictSame(done.map(answer => answer?.reply).sort((a, b) => Number(a) - Number(b)), Array.from({ length: 50 }, (_, i) => i + 1))
    t.strictSame(await dump(store, ID, START), [['n', '50']])
  })

  test('accesses that may write take effect in the order of the calls', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await Promise.all(Array.from({ length: 2_500 }, (_, n) => n % 500 === 0
      ? accessLater(store, ID, START, writing({ clear: true, writes: { cleared: json(n) } }))
      : set(store, ID, START, { last: json(n), [`k${n}`]: json(n) })))
    const entries = new Map(await dump(store, ID, START))
    t.equal(entries.get('cleared'), '2000')
    t.equal(entries.get('last'), '2499')
    t.equal(entries.size, 501)
  })

  test('of 100 that add one key at once exactly one wins', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    const add = (n: number): Access<boolean> => ({
      reads: { has: ['k'] },
      mayWrite: true,
      touch: true,
      decide: view => view.has('k') ? { reply: false } : { reply: true, writes: new Map([['k', json(n)]]) },
    })
    const done = await Promise.all(Array.from({ length: 100 }, (_, n) => accessLater(store, ID, START, add(n))))
    const winners = done.flatMap((answer, n) => answer?.reply === true ? [n] : [])
    t.equal(winners.length, 1)
    t.strictSame(await dump(store, ID, START), [['k', String(winners[0])]])
  })

  test('a decide that throws changes nothing and hurts nobody beside it', async (t, store) => {
    await store.create(ID, sessionOf({ idle: 10 }), START)
    const fault = new Error('of our own')
    const faulty = (mayWrite: boolean): Access<never> => ({ reads: {}, mayWrite, touch: true, decide () { throw fault } })
    const [before, thrown, readerThrown, after] = await Promise.allSettled([
      set(store, ID, START, { a: json(1) }),
      accessLater(store, ID, START + 5_000, faulty(true)),
      accessLater(store, ID, START, faulty(false)),
      set(store, ID, START, { b: json(2) }),
    ])
    t.equal(before.status, 'fulfilled')
    t.equal(after.status, 'fulfilled')
    t.equal(thrown.status === 'rejected' && thrown.reason, fault)
    t.equal(readerThrown.status === 'rejected' && readerThrown.reason, fault)
    t.strictSame(await store.find(ID, START), { session: sessionOf({ idle: 10 }), size: 2 }, 'nor was the session used')
    t.equal(await store.access(ID, START + 10_000, faulty(true)), undefined, 'once it has ended, nothing decides')
  })

  test('the View throws when asked for what reads did not name', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, { a: json(1), b: json(2) })
    const refused = async (reads: Reads, look: (view: View) => unknown): Promise<void> => {
      await t.rejects(accessLater(store, ID, START, reading(reads, look)), { name: 'Error', message: /did not name/ })
      await t.rejects(accessLater(store, ID, START, { ...reading(reads, look), mayWrite: true }), { name: 'Error', message: /did not name/ })
    }
    await refused({}, view => view.has('a'))
    await refused({ has: ['a'] }, view => view.has('b'))
    await refused({ has: ['a'] }, view => view.get('a'))
    await refused({ get: ['a'] }, view => view.get('b'))
    await refused({ get: ['a'], has: ['b'] }, view => view.get('b'))
    await refused({ get: ['a'], all: true }, view => view.names())
    await refused({ list: { prefix: '', after: undefined, limit: 1 } }, view => view.get('a'))
    await refused({ has: ['a'], get: ['a'] }, view => view.entries())
    const named = reading({ get: new Set(['a']) }, view => [view.has('a'), view.get('a'), view.size])
    t.strictSame((await store.access(ID, START, named))?.reply, [true, '1', 2], 'get names the presence too')
    const all = reading({ all: true }, view => [view.has('a'), view.has('c'), view.get('b'), view.get('c')])
    t.strictSame((await store.access(ID, START, all))?.reply, [true, false, '2', undefined], 'all names every key')
  })

  test('an access that may not write is refused a change', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    const changes: Array<Partial<Outcome<void>>> = [{ clear: true }, { writes: new Map() }, { session: sessionOf() }]
    for (const change of changes) {
      const attempt = accessLater(store, ID, START, { reads: {}, mayWrite: false, touch: false, decide: () => ({ reply: undefined, ...change }) })
      await t.rejects(attempt, { message: /mayWrite/ })
    }
  })

  test('a write counts keys: new, replaced, removed, removed without being there', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    t.strictSame(await set(store, ID, START, { a: json(1), b: json(2), c: json(3) }), { reply: 0 })
    t.strictSame(await set(store, ID, START, { a: json(4), b: null, x: null, d: json(5) }), { reply: 3 })
    t.strictSame(await store.find(ID, START), { session: sessionOf(), size: 3 })
    t.strictSame(await dump(store, ID, START), [['a', '4'], ['c', '3'], ['d', '5']])
    const gone = new Map(['a', 'c', 'd'].map(key => [key, null]))
    t.strictSame(await set(store, ID, START, gone), { reply: 3 })
    t.strictSame(await store.find(ID, START), { session: sessionOf(), size: 0 })
  })

  test('clear comes before writes, and both before session', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, { a: json(1), b: json(2) })
    const session = sessionOf({ name: 'other', shared: true, duration: 60, idle: 30, deleteSession: false, startedAt: START + 1 })
    await store.access(ID, START + 2, writing({ clear: true, writes: { b: json(3), c: null }, session }))
    t.strictSame(await dump(store, ID, START + 2), [['b', '3']])
    t.strictSame(await store.find(ID, START + 2), { session: { ...session, usedAt: START + 2 }, size: 1 })
    await store.access(ID, START + 2, writing({ clear: true }))
    t.strictSame(await store.find(ID, START + 2), { session: { ...session, usedAt: START + 2 }, size: 0 })
  })

  test('the view shows the session as it was when the access began', async (t, store) => {
    await store.create(ID, sessionOf({ idle: 10 }), START)
    const seen = await store.access(ID, START + 1, { ...reading({ get: ['a'] }, view => [view.session, view.size, view.get('a')], true), mayWrite: true })
    t.strictSame(seen?.reply, [sessionOf({ idle: 10 }), 0, undefined])
  })
}

function values (test: RegisterTest): void {
  test('values and keys come back exactly, in code point order', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    const shuffled = [...ODD_KEYS].sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
    const valueOf = (key: string): JsonText => ODD_VALUES[ODD_KEYS.indexOf(key) % ODD_VALUES.length] ?? json(null)
    for (const key of shuffled) await set(store, ID, START, new Map([[key, valueOf(key)]]))
    t.strictSame(await dump(store, ID, START), ODD_KEYS.map(key => [key, valueOf(key)]))
    const each = reading({ get: ODD_KEYS, has: ODD_KEYS }, view => ODD_KEYS.every(key => view.has(key) && view.get(key) === valueOf(key)))
    t.strictSame(await store.access(ID, START, each), { reply: true })
    await set(store, ID, START, new Map(ODD_KEYS.map(key => [key, null])))
    t.strictSame(await store.find(ID, START), { session: sessionOf(), size: 0 })
  })

  test('every value comes back exactly', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, new Map(ODD_VALUES.map((value, i) => [String(i), value])))
    const get = reading({ get: ODD_VALUES.map((_, i) => String(i)) }, view => ODD_VALUES.map((_, i) => view.get(String(i))))
    t.strictSame((await store.access(ID, START, get))?.reply, ODD_VALUES)
  })

  test('keys of 1,024 bytes are kept, longer ones are not there', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    const kept = ['x'.repeat(1_024), 'é'.repeat(512), '\u{10000}'.repeat(256), 'x'.repeat(1_023)]
    const long = ['x'.repeat(1_025), 'x'.repeat(100_000), 'é'.repeat(513), '\u{10000}'.repeat(5_000)]
    await set(store, ID, START, new Map(kept.map(key => [key, json(key)])))
    const look = reading({ get: [...kept, ...long] }, view => [...kept, ...long].map(key => [view.has(key), view.get(key)]))
    const expected = [...kept.map(key => [true, json(key)]), ...long.map(() => [false, undefined])]
    t.strictSame((await store.access(ID, START, look))?.reply, expected)
    t.strictSame(await list(store, START, {}), [...kept].sort(compareCodePoints))
    t.strictSame(await list(store, START, { prefix: 'x'.repeat(2_000) }), [])
    t.strictSame(await list(store, START, { after: 'x'.repeat(5_000) }), [...kept].sort(compareCodePoints).filter(key => !key.startsWith('x')))
  })

  test('a value of 1 MiB and 10,000 keys in one session', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    const big = json('é'.repeat(2 ** 19))
    await set(store, ID, START, { big })
    t.ok((await store.access(ID, START, reading({ get: ['big'] }, view => view.get('big') === big)))?.reply)
    const names = Array.from({ length: 10_000 }, (_, i) => `key${i}`)
    t.strictSame(await set(store, ID, START, new Map(names.map((name, i) => [name, json(i)]))), { reply: 1 })
    const entries = await dump(store, ID, START)
    t.equal(entries?.length, 10_001)
    t.ok(entries?.every(([key, value]) => key === 'big' ? value === big : key === `key${value}`))
    t.strictSame(await store.totals(START), { sessions: 1, keys: 10_001 })
    await store.access(ID, START, writing({ clear: true }))
    t.strictSame(await store.totals(START), { sessions: 1, keys: 0 })
    t.strictSame(await dump(store, ID, START), [])
  })
}

function listings (test: RegisterTest): void {
  test('a listing has a prefix, a beginning and a limit', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, new Map(ODD_KEYS.map(key => [key, json(1)])))
    t.strictSame(await list(store, START, {}), ODD_KEYS)
    for (const prefix of ['', 'a', 'a\u0000', '\u{1f954}', 'é', '\ufffd', 'nothing']) {
      t.strictSame(await list(store, START, { prefix }), ODD_KEYS.filter(key => key.startsWith(prefix)), json(prefix))
      for (const after of ['', 'a', 'aa', 'b', '\ue000', '\u{10000}', '\u{10ffff}', '!']) {
        const expected = ODD_KEYS.filter(key => key.startsWith(prefix) && compareCodePoints(key, after) > 0)
        t.strictSame(await list(store, START, { prefix, after }), expected, `${json(prefix)} after ${json(after)}`)
        for (const limit of [0, 1, 2]) {
          t.strictSame(await list(store, START, { prefix, after, limit }), expected.slice(0, limit))
        }
      }
    }
  })

  test('a listing page by page gives every name once', async (t, store) => {
    await store.create(ID, sessionOf(), START)
    await set(store, ID, START, new Map(ODD_KEYS.map(key => [key, json(1)])))
    const seen: string[] = []
    let page = await list(store, START, { limit: 4 })
    while (page !== undefined && page.length > 0) {
      seen.push(...page)
      page = await list(store, START, { limit: 4, after: page.at(-1) })
    }
    t.strictSame(seen, ODD_KEYS)
  })

  test('sessions that are neighbours never see or touch each other', async (t, store) => {
    const last = 'f'.repeat(64) as SessionId // As SessionId is defined.
    const before = ('f'.repeat(63) + 'e') as SessionId // The same.
    const ids = [idOf(0), idOf(1), idOf(2), idOf(0xff), idOf(0x100), before, last]
    const mine = (id: SessionId): ReadonlyMap<string, JsonText> => new Map(['', 'k', '\u{10ffff}'].map(key => [key, json([id, key])]))
    for (const id of ids) await store.create(id, sessionOf({ name: id }), START)
    for (const id of ids) await set(store, id, START, mine(id))
    for (const id of ids) t.strictSame(await dump(store, id, START), [...mine(id)])
    for (const [index, id] of ids.entries()) {
      if (index % 2 === 0) t.equal(await store.remove(id, START), true)
      else await store.access(id, START, writing({ clear: true }))
      for (const [later, other] of ids.entries()) {
        const expected = later > index ? [...mine(other)] : later % 2 === 0 ? undefined : []
        t.strictSame(await dump(store, other, START), expected)
      }
    }
  })
}

/** One way to expire: what the session says, and how many milliseconds after START it is due. */
const WAYS: ReadonlyArray<readonly [string, Partial<Session>, number]> = [
  ['by duration', { duration: 10 }, 10_000],
  ['by idle', { idle: 5 }, 5_000],
  ['by both, duration first', { duration: 3, idle: 5 }, 3_000],
  ['by both, idle first', { duration: 10, idle: 5 }, 5_000],
]

function expiry (test: RegisterTest): void {
  for (const [way, parts, after] of WAYS) {
    test(`expires ${way} to the millisecond, with the session`, async (t, store) => {
      const session = sessionOf(parts)
      const due = START + after
      await store.create(ID, session, START)
      await set(store, ID, START, { a: json(1) })
      t.strictSame(await store.find(ID, due - 1), { session, size: 1 })
      t.strictSame(await dump(store, ID, due - 1), [['a', '1']])
      t.strictSame(await store.totals(due - 1), { sessions: 1, keys: 1 })
      t.equal(await store.sweep(due - 1, 10), 0)
      t.equal(await store.find(ID, due), undefined)
      t.strictSame(await store.totals(due), { sessions: 0, keys: 0 })
      t.equal(await dump(store, ID, due), undefined)
      t.equal(await set(store, ID, due, { a: json(1) }), undefined)
      t.equal(await store.sweep(due, 10), 0, 'the access has dealt with it')
    })

    test(`expires ${way} to the millisecond, without the session`, async (t, store) => {
      const session = sessionOf({ ...parts, deleteSession: false })
      const due = START + after
      await store.create(ID, session, START)
      await set(store, ID, START, { a: json(1) })
      t.strictSame(await store.find(ID, due - 1), { session, size: 1 })
      const restarted = { ...session, startedAt: due, usedAt: due }
      t.strictSame(await store.find(ID, due), { session: restarted, size: 0 })
      t.strictSame(await store.totals(due), { sessions: 1, keys: 0 })
      t.strictSame(await dump(store, ID, due), [])
      t.strictSame(await store.find(ID, due), { session: restarted, size: 0 })
      t.equal(await store.sweep(due, 10), 0, 'the access has dealt with it')
    })

    test(`expires ${way}, several periods late`, async (t, store) => {
      const session = sessionOf({ ...parts, deleteSession: false })
      await store.create(ID, session, START)
      await set(store, ID, START, { a: json(1), b: json(2) })
      const now = START + 3 * after + 1_234
      const startedAt = START + 3 * after
      const restarted = { ...session, startedAt, usedAt: startedAt }
      t.strictSame(expire(session, now), restarted)
      t.strictSame(await store.find(ID, now), { session: restarted, size: 0 })
      const view = await store.access(ID, now, {
        reads: { all: true, list: { prefix: '', after: undefined, limit: 9 }, has: ['a'], get: ['b'] },
        mayWrite: true,
        touch: false,
        decide: view => ({
          reply: [view.session, view.size, view.has('a'), view.get('b'), view.names(), [...view.entries()]],
          writes: new Map([['c', json(3)]]),
        }),
      })
      t.strictSame(view?.reply, [restarted, 0, false, undefined, [], []], 'it decides on the session emptied')
      t.strictSame(await store.find(ID, now), { session: restarted, size: 1 })
      t.strictSame(await dump(store, ID, now), [['c', '3']])
      t.strictSame(await dump(store, ID, startedAt + after - 1), [['c', '3']])
      t.strictSame(await dump(store, ID, startedAt + after), [])
    })
  }

  test('only a touch renews the idle deadline, and never backwards', async (t, store) => {
    const session = sessionOf({ idle: 10, duration: 100 })
    await store.create(ID, session, START)
    const usedAt = async (now: number): Promise<number | undefined> => (await store.find(ID, now))?.session.usedAt
    await store.access(ID, START + 1_000, writing({ writes: { a: json(1) } }, false))
    t.equal(await usedAt(START + 1_000), START, 'not a write without touch')
    await store.access(ID, START + 2_000, reading({}, () => 0))
    t.equal(await usedAt(START + 2_000), START, 'not a read without touch')
    await store.find(ID, START + 3_000)
    t.equal(await usedAt(START + 3_000), START, 'not find')
    await store.access(ID, START + 4_000, reading({}, () => 0, true))
    t.equal(await usedAt(START + 4_000), START + 4_000, 'a read with touch')
    await store.access(ID, START + 9_000, writing({}))
    t.equal(await usedAt(START + 9_000), START + 9_000, 'a write with touch')
    await store.access(ID, START + 5_000, writing({}))
    await store.access(ID, START + 5_000, reading({}, () => 0, true))
    t.equal(await usedAt(START + 9_000), START + 9_000, 'a clock that went back')
    t.equal(await store.sweep(START + 18_999, 10), 0)
    t.strictSame(await store.find(ID, START + 18_999), { session: { ...session, usedAt: START + 9_000 }, size: 1 })
    t.equal(await store.sweep(START + 19_000, 10), 1)
    t.equal(await store.find(ID, START + 19_000), undefined)
  })

  test('idle does not extend the duration', async (t, store) => {
    await store.create(ID, sessionOf({ idle: 10, duration: 15 }), START)
    await set(store, ID, START + 9_000, { a: json(1) })
    t.ok(await store.find(ID, START + 14_999))
    t.equal(await store.sweep(START + 14_999, 10), 0)
    t.equal(await store.sweep(START + 15_000, 10), 1)
    t.equal(await store.find(ID, START + 15_000), undefined)
  })

  test('without idle a touch changes nothing about the session', async (t, store) => {
    await store.create(ID, sessionOf({ duration: 10 }), START)
    await set(store, ID, START + 1, { a: json(1) })
    t.strictSame(await store.find(ID, START + 1), { session: sessionOf({ duration: 10 }), size: 1 })
  })

  test('outcome.session moves the deadline: nearer, further, to never and back', async (t, store) => {
    await store.create(ID, sessionOf({ duration: 100 }), START)
    const become = (parts: Partial<Session>): Promise<unknown> => accessLater(store, ID, START, writing({ session: sessionOf(parts) }, false))
    await become({ duration: 10 })
    t.strictSame(await store.totals(START + 10_000), { sessions: 0, keys: 0 })
    await become({ duration: 20 })
    t.equal(await store.sweep(START + 19_999, 10), 0)
    t.ok(await store.find(ID, START + 19_999))
    await become({})
    t.equal(await store.sweep(START + 1e9, 10), 0)
    t.ok(await store.find(ID, START + 1e9))
    await become({ duration: 5 })
    t.equal(await store.sweep(START + 4_999, 10), 0)
    await become({ duration: 50 })
    await become({ duration: 7 })
    t.equal(await store.sweep(START + 6_999, 10), 0)
    t.equal(await store.sweep(START + 7_000, 10), 1)
    t.equal(await store.sweep(START + 1e9, 10), 0)
    await store.create(ID, sessionOf({ duration: 100 }), START)
    await become({ duration: 7 })
    t.equal(await store.sweep(START + 6_999, 10), 0)
    t.equal(await store.sweep(START + 7_000, 10), 1)
    t.equal(await store.sweep(START + 1e9, 10), 0)
  })

  test('a decide that throws on a session that is due leaves it as it was', async (t, store) => {
    const session = sessionOf({ duration: 10, deleteSession: false })
    await store.create(ID, session, START)
    await set(store, ID, START, { a: json(1) })
    const fault = new Error('of our own')
    await t.rejects(accessLater(store, ID, START + 10_000, { reads: {}, mayWrite: true, touch: true, decide () { throw fault } }), fault)
    t.strictSame(await store.find(ID, START), { session, size: 1 })
    t.equal(await store.sweep(START + 10_000, 10), 1)
  })
}

function sessions (test: RegisterTest): void {
  test('what was seen to be over stays over when the clock goes back', async (t, store) => {
    const parts = { duration: 10 }
    const sights: Array<(id: SessionId) => Promise<unknown>> = [
      id => store.find(id, START + 10_000),
      id => accessLater(store, id, START + 10_000, reading({}, () => 0)),
      id => accessLater(store, id, START + 10_000, writing({})),
    ]
    for (const [i, see] of sights.entries()) {
      const [ends, stays] = [idOf(2 * i), idOf(2 * i + 1)]
      await store.create(ends, sessionOf(parts), START)
      await store.create(stays, sessionOf({ ...parts, deleteSession: false }), START)
      for (const id of [ends, stays]) {
        await set(store, id, START, { a: json(1) })
        await see(id)
      }
      t.equal(await store.find(ends, START), undefined)
      t.equal(await dump(store, ends, START), undefined)
      t.strictSame(await dump(store, stays, START), [])
      t.equal((await store.find(stays, START))?.session.startedAt, START + 10_000)
    }
  })

  test('a session of many keys is gone at once when it is emptied, ended or due, and leaves nothing behind', async (t, store) => {
    const many = new Map(Array.from({ length: 2_345 }, (_, i) => [`k${i}`, json(i)]))
    const fill = async (id: SessionId, parts: Partial<Session>) => {
      await store.create(id, sessionOf(parts), START)
      await set(store, id, START, many)
    }
    await fill(ID, {})
    await fill(idOf(2), {})
    await fill(idOf(3), { duration: 10 })
    await fill(idOf(4), { duration: 10, deleteSession: false })
    await fill(idOf(5), { duration: 10 })
    t.strictSame(await store.access(ID, START, writing({ clear: true, writes: { b: json(1) } })), { reply: 2_345 })
    t.ok(await store.remove(idOf(2), START))
    await store.create(idOf(5), sessionOf({ name: 'next', startedAt: START + 10_000 }), START + 10_000)
    for (let swept = false; ; swept = true) {
      t.strictSame(await store.totals(START + 10_000), { sessions: 3, keys: 1 })
      t.strictSame(await dump(store, ID, START + 10_000), [['b', '1']])
      if (swept) t.strictSame(await dump(store, idOf(4), START + 10_000), [])
      if (await store.sweep(START + 10_000, 1) === 0) break
    }
    t.strictSame(await dump(store, idOf(5), START + 10_000), [])
    await set(store, idOf(4), START + 10_000, { c: json(1) })
    t.strictSame(await store.totals(START + 10_000), { sessions: 3, keys: 2 })
  })

  test('copies give every living session with its keys, and restore adds them elsewhere', async (t, store) => {
    for (let i = 0; i < 1_200; i++) await store.create(idOf(i), sessionOf({ name: `n${i}`, idle: i }), START)
    await set(store, idOf(7), START, new Map(ODD_KEYS.map(key => [key, json(key)])))
    await store.create(idOf(2_000), sessionOf({ duration: 1 }), START)
    await store.create(idOf(2_001), sessionOf({ duration: 1, deleteSession: false }), START)
    await set(store, idOf(2_001), START, { a: json(1) })
    const copies = new Map<SessionId, SessionCopy>()
    for await (const copy of store.copies(START + 1_000)) copies.set(copy.id, copy)
    // Session 1 had one second of idle time.
    t.equal(copies.size, 1_200)
    t.equal(copies.get(idOf(1)), undefined)
    t.strictSame([...copies.get(idOf(7))?.keys ?? []], ODD_KEYS.map(key => [key, json(key)]))
    t.strictSame(copies.get(idOf(2_001)), { id: idOf(2_001), session: sessionOf({ duration: 1, deleteSession: false, startedAt: START + 1_000, usedAt: START + 1_000 }), keys: new Map() })
    const left = store.copies(START)[Symbol.asyncIterator]()
    t.ok((await left.next()).value)
    await left.return?.()

    const copy: SessionCopy = { id: idOf(3_000), session: sessionOf({ name: 'copy', duration: 5 }), keys: new Map(ODD_KEYS.map(key => [key, json(key)])) }
    t.equal(await store.restore(copy, START), true)
    t.equal(await store.restore({ ...copy, keys: new Map() }, START), false, 'it is alive')
    t.strictSame(await store.find(copy.id, START), { session: copy.session, size: ODD_KEYS.length })
    t.strictSame(await dump(store, copy.id, START), [...copy.keys])
    t.equal(await store.restore({ ...copy, keys: new Map([['a', json(1)]]) }, START + 5_000), true, 'it has ended')
    t.strictSame(await dump(store, copy.id, START), [['a', '1']])
    t.equal((await store.totals(START)).sessions, 1_203)
  })

  test('create: a living session stays as it is, one that has ended is replaced', async (t, store) => {
    const first = sessionOf({ name: 'first', duration: 10, shared: true })
    const second = sessionOf({ name: 'sécond 🥔', idle: 3 })
    t.strictSame(await store.create(ID, first, START), first)
    await set(store, ID, START, { a: json(1) })
    t.strictSame(await store.create(ID, second, START + 9_999), first)
    t.strictSame(await store.find(ID, START + 9_999), { session: first, size: 1 })
    const later = { ...second, startedAt: START + 10_000, usedAt: START + 10_000 }
    t.strictSame(await store.create(ID, later, START + 10_000), later)
    t.strictSame(await store.find(ID, START + 10_000), { session: later, size: 0 })
    t.strictSame(await dump(store, ID, START + 10_000), [])
    t.equal(await store.sweep(START + 12_999, 10), 0)
    t.equal(await store.sweep(START + 13_000, 10), 1)
    t.equal(await store.find(ID, START + 10_000), undefined)
  })

  test('create: a session that restarts is alive', async (t, store) => {
    const session = sessionOf({ duration: 10, deleteSession: false })
    await store.create(ID, session, START)
    await set(store, ID, START, { a: json(1) })
    const restarted = { ...session, startedAt: START + 20_000, usedAt: START + 20_000 }
    t.strictSame(await store.create(ID, sessionOf({ name: 'other' }), START + 25_000), restarted)
    t.strictSame(await store.find(ID, START + 25_000), { session: restarted, size: 0 })
  })

  test('create: of many at once one wins', async (t, store) => {
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => store.create(ID, sessionOf({ name: `n${i}` }), START)))
    const found = await store.find(ID, START)
    t.equal(new Set(made.map(session => session.name)).size, 1)
    t.strictSame(found?.session, made[0])
  })

  test('every field of a session comes back', async (t, store) => {
    const odd = sessionOf({
      name: 'ünï\u0000\n🥔', shared: true, deleteSession: false, duration: 4_294_967_296, idle: Number.MAX_SAFE_INTEGER, startedAt: 0, usedAt: START + 1,
    })
    await store.create(ID, odd, START)
    t.strictSame(await store.find(ID, START), { session: odd, size: 0 })
    t.equal(await store.sweep(START, 10), 0)
    t.equal(await store.sweep(deadline(odd), 10), 1)
    await store.create(idOf(2), sessionOf({ name: '' }), START)
    t.strictSame(await store.find(idOf(2), START), { session: sessionOf({ name: '' }), size: 0 })
  })

  test('remove ends a session whatever its expiry says', async (t, store) => {
    t.equal(await store.remove(ID, START), false, 'never there')
    for (const parts of [{}, { duration: 10 }, { duration: 10, deleteSession: false }]) {
      await store.create(ID, sessionOf(parts), START)
      await set(store, ID, START, { a: json(1) })
      t.equal(await store.remove(ID, START + 9_999), true)
      t.equal(await store.find(ID, START), undefined)
      t.equal(await dump(store, ID, START), undefined)
      t.equal(await store.remove(ID, START), false)
      t.equal(await store.sweep(START + 1e9, 10), 0)
      await store.create(ID, sessionOf(), START)
      t.strictSame(await dump(store, ID, START), [], 'a new one does not inherit its keys')
      await store.remove(ID, START)
    }
    await store.create(ID, sessionOf({ duration: 10 }), START)
    t.equal(await store.remove(ID, START + 10_000), false, 'ended')
    await store.create(ID, sessionOf({ duration: 10, deleteSession: false }), START)
    t.equal(await store.remove(ID, START + 10_000), true, 'restarted')
    t.strictSame(await store.totals(START), { sessions: 0, keys: 0 })
  })

  test('totals count what can be read, swept or not', async (t, store) => {
    t.strictSame(await store.totals(START), { sessions: 0, keys: 0 })
    const parts = [{}, { duration: 10 }, { duration: 20, deleteSession: false }, { idle: 30 }, { idle: 5, deleteSession: false }]
    for (const [i, some] of parts.entries()) {
      await store.create(idOf(i), sessionOf(some), START)
      await set(store, idOf(i), START, Object.fromEntries(Array.from({ length: i + 1 }, (_, k) => [`k${k}`, json(k)])))
    }
    const expected: ReadonlyArray<readonly [number, number, number]> = [
      [0, 5, 15], [4_999, 5, 15], [5_000, 5, 10], [10_000, 4, 8], [19_999, 4, 8], [20_000, 4, 5], [30_000, 3, 1], [1e9, 3, 1],
    ]
    for (const [after, sessions, keys] of expected) {
      t.strictSame(await store.totals(START + after), { sessions, keys }, `after ${after} ms`)
    }
    for (const [after, sessions, keys] of expected) {
      await store.sweep(START + after, Infinity)
      t.strictSame(await store.totals(START + after), { sessions, keys }, `swept after ${after} ms`)
    }
  })

  test('sweep deals with the due ones, at most limit at a time', async (t, store) => {
    for (let i = 0; i < 10; i++) {
      await store.create(idOf(i), sessionOf({ duration: 10, deleteSession: i % 2 === 0 }), START)
      await set(store, idOf(i), START, { a: json(1) })
    }
    for (let i = 10; i < 15; i++) await store.create(idOf(i), sessionOf({ duration: 11 }), START)
    t.equal(await store.sweep(START + 9_999, 4), 0)
    t.equal(await store.sweep(START + 10_000, 0), 0)
    t.equal(await store.sweep(START + 10_000, 4), 4)
    t.strictSame(await store.totals(START + 10_000), { sessions: 10, keys: 0 })
    t.equal(await store.sweep(START + 10_000, 4), 4)
    t.equal(await store.sweep(START + 10_000, 4), 2)
    t.equal(await store.sweep(START + 10_000, 4), 0)
    t.strictSame(await store.totals(START + 10_000), { sessions: 10, keys: 0 })
    t.equal(await store.sweep(START + 11_000, 100), 5)
    t.equal(await store.sweep(START + 20_000, 100), 5, 'those that stayed are due again')
    t.strictSame(await store.totals(START + 20_000), { sessions: 5, keys: 0 })
  })

  test('clear ends every session and counts the living', async (t, store) => {
    t.equal(await store.clear(START), 0)
    const secret = await store.secret(() => Buffer.alloc(32, 7))
    for (let i = 0; i < 6; i++) {
      await store.create(idOf(i), sessionOf({ duration: i < 4 ? 10 : 0, deleteSession: i % 2 === 0 }), START)
      await set(store, idOf(i), START, { a: json(1) })
    }
    t.equal(await store.clear(START + 10_000), 4)
    t.strictSame(await store.totals(START), { sessions: 0, keys: 0 })
    t.equal(await store.find(idOf(5), START), undefined)
    t.equal(await store.sweep(START + 1e9, 10), 0)
    t.strictSame(await store.secret(() => Buffer.alloc(32, 8)), secret, 'the secret stays')
    await store.create(idOf(5), sessionOf(), START)
    t.strictSame(await dump(store, idOf(5), START), [])
  })

  test('the secret is made once', async (t, store) => {
    const secrets = await Promise.all([1, 2, 3].map(n => store.secret(() => Buffer.alloc(32, n))))
    for (const secret of secrets) t.ok(secret.equals(secrets[0] ?? Buffer.of()))
    t.equal(secrets[0]?.length, 32)
    t.ok((await store.secret(() => t.fail() as never)).equals(secrets[0] ?? Buffer.of()))
  })
}

function durability (t: Test, open: Open): void {
  t.test('what a durable store has is there when it is opened again', async t => {
    const { store, reopen } = await open(t)
    await store.create(ID, sessionOf({ duration: 10 }), START)
    await store.create(idOf(2), sessionOf({ name: 'ended' }), START)
    await set(store, ID, START, new Map(ODD_KEYS.map(key => [key, json(key)])))
    await store.remove(idOf(2), START)
    const secret = await store.secret(() => Buffer.alloc(32, 9))
    await store.close()
    if (reopen === undefined) return
    const again = await reopen()
    t.teardown(() => again.close())
    t.strictSame(await again.find(ID, START), { session: sessionOf({ duration: 10 }), size: ODD_KEYS.length })
    t.strictSame(await dump(again, ID, START), ODD_KEYS.map(key => [key, json(key)]))
    t.equal(await again.find(idOf(2), START), undefined)
    t.ok((await again.secret(() => t.fail() as never)).equals(secret))
    t.equal(await again.sweep(START + 10_000, 10), 1)
  })
}

/** The contract in its simplest form: what every store has to agree with. */
interface Model {
  session: Session
  keys: Map<string, JsonText>
}

interface Step {
  readonly id: SessionId
  readonly later: number
  readonly name: 'create' | 'access' | 'read' | 'throw' | 'remove' | 'sweep' | 'clear'
  readonly session: Session
  readonly touch: boolean
  readonly clear: boolean
  readonly writes: ReadonlyMap<string, JsonText | null>
  readonly replace: boolean
  readonly listing: Listing
}

const IDS = [idOf(1), idOf(2), idOf(3)]
const key = fc.oneof(fc.constantFrom(...ODD_KEYS), fc.string({ unit: 'binary', maxLength: 3 }))
const seconds = fc.constantFrom(0, 0, 1, 2, 5)

const step: fc.Arbitrary<Step> = fc.record({
  id: fc.constantFrom(...IDS),
  later: fc.constantFrom(0, 0, 1, 500, 1_000, 2_500),
  name: fc.constantFrom('create', 'create', 'access', 'access', 'access', 'access', 'access', 'read', 'throw', 'remove', 'sweep', 'clear'),
  session: fc.record({ duration: seconds, idle: seconds, deleteSession: fc.boolean(), name: fc.string({ unit: 'binary', maxLength: 4 }) })
    .map(parts => sessionOf(parts)),
  touch: fc.boolean(),
  clear: fc.boolean(),
  writes: fc.array(fc.tuple(key, fc.option(fc.jsonValue().map(json))), { maxLength: 5 }).map(entries => new Map(entries)),
  replace: fc.boolean(),
  listing: fc.record({ prefix: key, after: fc.option(key, { nil: undefined }), limit: fc.constantFrom(0, 1, 3, Infinity) }),
})

/** What the model answers to a read: everything that a View can show. */
function shown (model: Model, listing: Listing): unknown {
  const names = [...model.keys.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const { prefix, after, limit } = listing
  const listed = names.filter(name => name.startsWith(prefix) && (after === undefined || Buffer.compare(Buffer.from(name), Buffer.from(after)) > 0))
  return [model.session, names.length, listed.slice(0, limit), names.map(name => [name, model.keys.get(name)])]
}

function seen (view: View): unknown {
  return [view.session, view.size, view.names(), [...view.entries()]]
}

/** The model of `id` with expiry applied, and forgotten when it has ended. */
function current (models: Map<SessionId, Model>, id: SessionId, now: number): Model | undefined {
  const model = models.get(id)
  const session = model && expire(model.session, now)
  if (session === undefined) models.delete(id)
  else if (session !== model?.session) models.set(id, { session, keys: new Map() })
  return models.get(id)
}

/** Applies an outcome to the model as the documentation of Outcome and Access says. */
function applyToModel (model: Model, now: number, { clear, writes, replace, session, touch }: Step): void {
  if (clear) model.keys.clear()
  for (const [key, value] of writes) value === null ? model.keys.delete(key) : model.keys.set(key, value)
  if (replace) model.session = { ...session, startedAt: now, usedAt: now }
  if (touch && model.session.idle > 0) model.session = { ...model.session, usedAt: Math.max(model.session.usedAt, now) }
}

/** Takes one step in the store and in the model; what each of them answers. */
async function take (store: SessionStore, models: Map<SessionId, Model>, now: number, step: Step): Promise<readonly [unknown, unknown]> {
  const { id, name, touch, listing } = step
  const fresh = { ...step.session, startedAt: now, usedAt: now }
  const model = current(models, id, now)
  const reads = { all: true, list: listing } as const
  switch (name) {
    case 'create': {
      if (model === undefined) models.set(id, { session: fresh, keys: new Map() })
      return [await store.create(id, fresh, now), models.get(id)?.session]
    }
    case 'access': {
      const expected = model && { reply: shown(model, listing) }
      const { clear, writes, replace } = step
      const outcome = { clear, writes, ...(replace ? { session: fresh } : {}) }
      const answer = await store.access(id, now, { reads, mayWrite: true, touch, decide: view => ({ reply: seen(view), ...outcome }) })
      if (model !== undefined) applyToModel(model, now, step)
      return [answer, expected]
    }
    case 'read': {
      const expected = model && { reply: shown(model, listing) }
      const answer = await store.access(id, now, { reads, mayWrite: false, touch, decide: view => ({ reply: seen(view) }) })
      if (model !== undefined) applyToModel(model, now, { ...step, clear: false, writes: new Map(), replace: false })
      return [answer, expected]
    }
    case 'throw': {
      const thrown = accessLater(store, id, now, { reads, mayWrite: true, touch, decide (view) { throw Object.assign(new Error('ours'), { seen: seen(view) }) } })
      return [await thrown.catch(error => error.seen), model && shown(model, listing)]
    }
    case 'remove': {
      models.delete(id)
      return [await store.remove(id, now), model !== undefined]
    }
    case 'sweep': {
      while (await store.sweep(now, 2) > 0);
      return [await store.sweep(now, 2), 0]
    }
    case 'clear': {
      for (const other of [...models.keys()]) current(models, other, now)
      const count = models.size
      models.clear()
      return [await store.clear(now), count]
    }
  }
}

function model (test: RegisterTest): void {
  test('random steps: the store agrees with the model', async (_t, store) => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async steps => {
      const models = new Map<SessionId, Model>()
      let now = START
      await store.clear(now)
      for (const step of steps) {
        now += step.later
        const [answer, expected] = await take(store, models, now, step)
        deepStrictEqual(answer, expected)
        for (const id of [...models.keys()]) current(models, id, now)
        const keys = [...models.values()].reduce((sum, { keys }) => sum + keys.size, 0)
        deepStrictEqual(await store.totals(now), { sessions: models.size, keys })
        for (const id of IDS) {
          const model = models.get(id)
          deepStrictEqual(await store.find(id, now), model && { session: model.session, size: model.keys.size })
        }
      }
    }), { numRuns: 60 })
  })
}
