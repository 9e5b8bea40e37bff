import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Test } from 'tap'
import { executeOne } from '../../src/envelope.js'
import { ADMIN } from '../callers.js'
import { createGateway, type Gateway } from '../../src/protocol/gateway.js'
import type { SessionStore } from '../../src/session.js'

// Random sequences of commands, against a model so small that it can be seen to be right: a Map of values, and two times.

type Value = string | number | boolean | Value[] | { [name: string]: Value }
interface Expiry { readonly duration: number, readonly idle: number, readonly deleteSession: boolean }

/** A command by its parameters but `tkn`; or the passing of milliseconds. */
type Move = { readonly command: string, readonly params: Record<string, unknown> } | { readonly wait: number }

class Model {
  keys = new Map<string, Value>()
  now = 0
  started = 0
  used = 0
  ended = false
  constructor (readonly expiry: Expiry) {}

  deadline (): number {
    const { duration, idle } = this.expiry
    return Math.min(duration > 0 ? this.started + duration * 1000 : Infinity, idle > 0 ? this.used + idle * 1000 : Infinity)
  }

  /** Lets time pass deadline by deadline, as a store that never sleeps would. */
  wait (ms: number): void {
    const until = this.now + ms
    while (!this.ended && this.deadline() <= until) {
      this.started = this.used = this.deadline()
      this.keys.clear()
      this.ended = this.expiry.deleteSession
    }
    this.now = until
  }

  run (command: string, params: Record<string, unknown>): unknown {
    if (this.ended) return { tkn: 'T1', st: 100, m: '' }
    const reply = (this as unknown as Record<string, (params: Record<string, unknown>) => unknown>)[command]?.(params) // The moves below name its methods.
    // A command that fails as a whole changes nothing, the idle time included.
    if (!(reply instanceof Object && 'm' in reply)) this.used = this.now
    return reply
  }

  store (entries: [string, Value][], keep = false): Record<string, number> {
    return Object.fromEntries(entries.map(([key, value]) => {
      const present = this.keys.has(key)
      if (!(present && keep)) this.keys.set(key, value)
      return [key, present ? (keep ? 23 : 21) : 20]
    }))
  }

  KV_SET = ({ keys }: Record<string, unknown>) => ({ tkn: 'T1', keys: this.store(Object.entries(keys as object)) })
  KV_ADD = ({ keys }: Record<string, unknown>) => ({ tkn: 'T1', keys: this.store(Object.entries(keys as object), true) })
  KV_GET = ({ keys }: Record<string, unknown>) => ({ tkn: 'T1', keys: Object.fromEntries((keys as string[]).map(key => [key, this.keys.get(key) ?? null])) })
  KV_CONTAINS = ({ keys }: Record<string, unknown>) => ({ st: 1, tkn: 'T1', keys: Object.fromEntries((keys as string[]).map(key => [key, this.keys.has(key)])) })
  KV_COUNT = () => ({ st: 1, tkn: 'T1', cnt: this.keys.size })
  KV_KEYS = ({ prefix }: Record<string, unknown>) => ({ st: 1, tkn: 'T1', keys: [...this.keys.keys()].filter(key => key.startsWith(prefix as string)).sort() })
  KV_RMV = ({ keys }: Record<string, unknown>) => ({ tkn: 'T1', keys: Object.fromEntries((keys as string[]).map(key => [key, this.keys.delete(key) ? 24 : 22])) })
  KV_CLEAR = () => {
    const cnt = this.keys.size
    this.keys.clear()
    return { st: 1, tkn: 'T1', cnt }
  }

  KV_CLEAR_SET = ({ keys }: Record<string, unknown>) => ({ ...this.KV_CLEAR(), keys: this.store(Object.entries(keys as object)) })

  KV_APPEND = ({ keys }: Record<string, unknown>) => ({
    tkn: 'T1',
    keys: Object.fromEntries(Object.entries(keys as Record<string, Value>).map(([key, addition]) => {
      const value = this.keys.get(key)
      if (value === undefined) return [key, 22]
      const sum = Array.isArray(value) ? value.concat(addition) : typeof value === 'string' && typeof addition === 'string' ? value + addition : undefined
      if (sum === undefined && !(isObject(value) && isObject(addition))) return [key, 41]
      this.keys.set(key, sum ?? { ...value as object, ...addition as object })
      return [key, 1]
    })),
  })

  KV_UPDATE = ({ key, path, value }: Record<string, unknown>) => {
    const whole = this.keys.get(key as string)
    if (whole === undefined) return { tkn: 'T1', st: 22, m: 'key' }
    const name = (path as string).slice(1)
    if (!isObject(whole) || !Object.hasOwn(whole, name)) return { tkn: 'T1', st: 5, m: 'path' }
    this.keys.set(key as string, { ...whole, [name]: value as Value })
    return { st: 1, tkn: 'T1', key, cnt: 1 }
  }
}

const isObject = (value: Value): value is { [name: string]: Value } => typeof value === 'object' && !Array.isArray(value)

const key = fc.constantFrom('a', 'b', '', '1', '0', 'a\n', 'constructor')
const names = fc.uniqueArray(key, { maxLength: 4 })
const value = fc.oneof(fc.integer(), fc.string({ maxLength: 3 }), fc.boolean(), fc.array(fc.integer(), { maxLength: 2 }), fc.dictionary(fc.constantFrom('x', 'y'), fc.integer(), { noNullPrototype: true }))
const entries = fc.dictionary(key, value, { maxKeys: 4, noNullPrototype: true })

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.tuple(fc.constantFrom('KV_SET', 'KV_ADD', 'KV_CLEAR_SET', 'KV_APPEND'), entries).map(([command, keys]) => ({ command, params: { keys } })),
  fc.tuple(fc.constantFrom('KV_GET', 'KV_CONTAINS', 'KV_RMV'), names).map(([command, keys]) => ({ command, params: { keys } })),
  fc.constantFrom('KV_COUNT', 'KV_CLEAR').map(command => ({ command, params: {} })),
  fc.constantFrom('', 'a').map(prefix => ({ command: 'KV_KEYS', params: { prefix } })),
  fc.record({ key, path: fc.constantFrom('/x', '/y'), value: fc.integer() }).map(params => ({ command: 'KV_UPDATE', params })),
  fc.integer({ min: 1, max: 4000 }).map(wait => ({ wait }))
)

const expiry = fc.record({ duration: fc.constantFrom(0, 0, 3, 10), idle: fc.constantFrom(0, 2, 5), deleteSession: fc.boolean() })

async function ask (gateway: Gateway, command: string, params: object): Promise<unknown> {
  const { text = '' } = await executeOne(gateway, ADMIN, Buffer.from(JSON.stringify({ [command]: params })), error => { throw error })
  return (JSON.parse(text) as Record<string, unknown>)[`${command}_RSP`]
}

async function agree (store: SessionStore, expiry: Expiry, moves: readonly Move[]): Promise<void> {
  const model = new Model(expiry)
  const gateway = await createGateway(store, { now: () => model.now, newToken: () => 'T1' })
  await ask(gateway, 'SH_NEW', { name: 'model', expiry })
  for (const move of moves) {
    if ('wait' in move) model.wait(move.wait)
    else assert.deepEqual(await ask(gateway, move.command, { tkn: 'T1', ...move.params }), model.run(move.command, move.params), JSON.stringify(move))
  }
  await ask(gateway, 'SH_END_ALL', { all: true })
}

/** Has random commands agree with the model on a store. @param options of tap */
export function modelTest (t: Test, kind: string, open: (t: Test) => Promise<SessionStore>, options: { readonly skip?: string | false } = {}): void {
  t.test(`random commands agree with the model on ${kind}`, options, async t => {
    const store = await open(t)
    await fc.assert(fc.asyncProperty(expiry, fc.array(move, { maxLength: 30 }), async (expiry, moves) => {
      await agree(store, expiry, moves)
    }), { numRuns: 150 })
    await store.close()
  })
}
