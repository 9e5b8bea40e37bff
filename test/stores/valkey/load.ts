// Stores that are watched, and accesses that go on while a test breaks something.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Access, SessionId, RemoteStore } from '../../../src/session.js'
import { StatusError } from '../../../src/status.js'
import { valkeyStore } from '../../../src/stores/valkey/store.js'
import { parseValkeyUrl } from '../../../src/stores/valkey/url.js'
import { dump, json, sessionOf, START } from '../../store-suite.js'
import type { ValkeyStoreOptions } from './gateways.js'
import { until, type Server } from './servers.js'

/**
 * Milliseconds that the stores of these tests may take for an answer: the tests wait for it again and again, and yet a machine that
 * has something else to do for a second must not seem to be an outage.
 */
export const DEADLINE_MS = 1_500

/** Seconds after which a store of these tests says why it could not be opened: long enough for several attempts of which it knows the end. */
export const TIMEOUT_S = 2 * DEADLINE_MS / 1e3

/** Milliseconds between two looks whether this process runs, and those of one pause that count as time in which it ran. */
const TICK_MS = 5
const LONGEST_TICK_MS = 20

export interface Watched {
  readonly store: RemoteStore
  /** What onAvailability() was told, in order. */
  readonly told: Array<string | undefined>
  readonly reports: string[]
}

/** Begins to open a store, which is closed with the test. */
export function watch (t: Test, url: string, options: ValkeyStoreOptions = {}): Watched {
  const told: Array<string | undefined> = []
  const reports: string[] = []
  const report = ({ message }: Error) => { reports.push(message) }
  const store = valkeyStore(parseValkeyUrl(url), { answerDeadlineMs: DEADLINE_MS, openTimeoutS: 20, report, onAvailability: reason => { told.push(reason) }, ...options })
  t.teardown(async () => await store.close())
  return { store, told, reports }
}

/** Resolves once a replica gets what its master is told: this begins some time after its first copy. */
export async function following (master: Server): Promise<void> {
  const connection = await master.connect()
  await until('a replica follows', async () => {
    await connection.send('publish', 'holdfast', '')
    return await connection.send('wait', 1, 100) === 1
  })
  connection.close()
}

export async function watchOpened (t: Test, url: string, options?: ValkeyStoreOptions): Promise<Watched> {
  const watched = watch(t, url, options)
  await watched.store.opened
  return watched
}

/** Adds one to what the session counts, and answers the sum. */
export const increment: Access<number> = {
  reads: { get: ['n'] },
  mayWrite: true,
  touch: true,
  decide (view) {
    const n = Number(view.get('n') ?? 0) + 1
    return { reply: n, writes: new Map([['n', json(n)]]) }
  },
}

/** Writes a value without reading anything. */
export function put (value: unknown, key = 'n'): Access<boolean> {
  return { reads: {}, mayWrite: true, touch: true, change: { writes: new Map([[key, json(value)]]) }, decide: () => ({ reply: true }) }
}

/** What a session has counted. */
export async function countOf (store: RemoteStore, id: SessionId): Promise<number> {
  return Number(new Map(await dump(store, id, START)).get('n') ?? 0)
}

/** The status and the detail that something was rejected with, or what it resolved with. */
export async function outcome (promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (!(error instanceof StatusError)) throw error
    return `${error.status}: ${error.message}`
  }
}

/**
 * The outcome of what the engine refuses until the deadline. When a try of it is under way just then nobody knows what becomes of
 * that, and it is tried once more: a machine that is busy can make such a moment long.
 */
export async function refusedOutcome (attempt: () => Promise<unknown>): Promise<unknown> {
  let answer: unknown
  await until('no try is under way at the deadline', async () => !/is not known/.test(String(answer = await outcome(attempt()))))
  return answer
}

/** What became of the accesses of one session. */
export interface Tally {
  /** Those that succeeded. */
  done: number
  /** Those that may have been done or not, as they were told. */
  unknown: number
  /** Those that were told that nothing was changed. */
  refused: number
}

/** What the n-th access was answered. */
export interface Fate { readonly n: number, readonly id: SessionId, readonly fate: keyof Tally }

export interface Load {
  readonly fates: readonly Fate[]
  readonly tallies: ReadonlyMap<SessionId, Tally>
  /** What should not have happened: answers that are none of these. */
  readonly strange: unknown[]
  /** Milliseconds that the slowest of the accesses took, without those for which this process was kept from running. */
  readonly slowest: number
  /** Milliseconds between two that succeeded one after the other, at most. */
  readonly gap: number
  /** Milliseconds of work for which this process did nothing else, at most. */
  readonly frozen: number
  /** Resolves once all have settled. The end of the test stops them, too. */
  stop (): Promise<void>
}

/** Has sessions made. */
export async function make (store: RemoteStore, ids: readonly SessionId[]): Promise<void> {
  await Promise.all(ids.map(async id => await store.create(id, sessionOf(), START)))
}

/** Accesses that follow each other, so many at a time and in turn on each of these sessions, until they are stopped. */
export function load (t: Test, store: RemoteStore, ids: readonly SessionId[], { width = 8, access = increment, pause = 1 }: { width?: number, access?: Access<unknown> | ((n: number) => Access<unknown>), pause?: number } = {}): Load {
  const tallies = new Map(ids.map(id => [id, { done: 0, unknown: 0, refused: 0 }]))
  const strange: unknown[] = []
  const fates: Fate[] = []
  const stopping = new AbortController()
  let [slowest, gap, frozen, turn] = [0, 0, 0, 0]
  let last = performance.now()
  let [tick, ran, worked] = [last, 0, workOf()]
  const ticking = setInterval(() => {
    frozen = Math.max(frozen, workOf() - worked)
    ran = clock()
    tick = performance.now()
    worked = workOf()
  }, TICK_MS)

  /** For how many milliseconds this process has run: its deadlines pass while it is kept from that, and it can do nothing about it. */
  function clock (): number {
    return ran + Math.min(performance.now() - tick, LONGEST_TICK_MS)
  }

  async function once (n: number): Promise<void> {
    const id = ids[n % ids.length]!
    const tally = tallies.get(id)!
    const began = clock()
    const tell = (fate: Fate['fate']) => {
      tally[fate]++
      fates.push({ n, id, fate })
    }
    try {
      const answer = await store.access(id, START, typeof access === 'function' ? access(n) : access)
      if (answer === undefined) strange.push(`session ${id} is lost`)
      tell('done')
      gap = Math.max(gap, performance.now() - last)
      last = performance.now()
    } catch (error) {
      if (!(error instanceof StatusError) || error.status !== 'StoreUnavailable') strange.push(error)
      else if (/nothing was changed/.test(error.message)) tell('refused')
      else if (/is not known|may be lost/.test(error.message)) tell('unknown')
      else strange.push(error)
    }
    slowest = Math.max(slowest, clock() - began)
  }

  async function work (): Promise<void> {
    while (!stopping.signal.aborted) {
      await once(turn++)
      await sleep(pause)
    }
  }

  const workers = Array.from({ length: width }, work)
  async function stop (): Promise<void> {
    stopping.abort()
    await Promise.all(workers)
    clearInterval(ticking)
  }
  // A test that fails must not leave the next ones a process that is busy with this.
  t.teardown(stop)
  return {
    tallies,
    strange,
    fates,
    get slowest () { return slowest },
    get gap () { return gap },
    get frozen () { return frozen },
    stop,
  }
}

/** Milliseconds for which processors have worked for this process. */
function workOf (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e3
}

/** Fails unless each session has counted every increment that succeeded, and none that it was not told of. */
export async function isCounted (t: Test, store: RemoteStore, { tallies, strange }: Load): Promise<void> {
  t.strictSame(strange, [])
  for (const [id, { done, unknown }] of tallies) {
    const count = await countOf(store, id)
    t.ok(count >= done && count <= done + unknown, `${count} of ${done} to ${done + unknown} increments`)
  }
}

/** An access that writes a key of its own, without reading anything. */
export const own = (n: number): Access<boolean> => put(n, `k${n}`)

/** Fails unless every key of own() that was acknowledged is there, and none of which it was said that nothing was changed. */
export async function isWritten (t: Test, store: RemoteStore, { tallies, strange, fates }: Load): Promise<void> {
  t.strictSame(strange, [])
  const keys = new Map(await Promise.all([...tallies.keys()].map(async id => [id, new Map(await dump(store, id, START))] as const)))
  const wrong = fates.filter(({ n, id, fate }) => fate !== 'unknown' && (keys.get(id)?.has(`k${n}`) ?? false) !== (fate === 'done'))
  t.strictSame(wrong, [], 'what is said of each change is true')
}
