import { Type } from '@sinclair/typebox'
import { keyCommand, type Plan } from '../command.js'
import type { JsonText } from '../json/text.js'
import { keyFault } from '../key.js'
import { MAX_REPLY_LENGTH } from '../limits.js'
import { optional } from '../param.js'
import { MapOf } from '../schema.js'
import type { View } from '../session.js'
import { st as numberOf, StatusError, type StatusName } from '../status.js'
import { count, EXAMPLE_TOKEN, KeyNames, keyNamesParam, Keys, keysParam, KeyStatuses, st, tknParam, Token } from './schemas.js'

const ok = numberOf('Ok')

/** Why a key cannot be stored with a value; undefined when it can. */
export function entryFault (key: string, value: JsonText): StatusName | undefined {
  return keyFault(key) ?? (value === 'null' ? 'ValueTypeInvalid' : undefined)
}

/** The status of each key of a command, by its number. */
export type Statuses = Map<string, number>

/**
 * Stores each key that can be stored, and says of each what became of it.
 * @param keep whether a key that exists is left as it is (KV_ADD)
 * @param exists whether a key is there already
 */
function store (keys: ReadonlyMap<string, JsonText>, exists: (key: string) => boolean, keep: boolean) {
  const writes = new Map<string, JsonText>()
  const statuses: Statuses = new Map()
  for (const [key, value] of keys) {
    const fault = entryFault(key, value)
    const present = fault === undefined && exists(key)
    statuses.set(key, numberOf(fault ?? (!present ? 'KeySet' : keep ? 'KeyExists' : 'KeyUpdated')))
    if (fault === undefined && !(present && keep)) writes.set(key, value)
  }
  return { writes, statuses }
}

const KEY_SET = numberOf('KeySet')
const KEY_UPDATED = numberOf('KeyUpdated')

/** The reply of a quiet command: nothing, unless some key was not stored; then those keys. */
function quietReply (tkn: string, statuses: Statuses) {
  const failed = new Map([...statuses].filter(([, status]) => status !== KEY_SET && status !== KEY_UPDATED))
  return failed.size === 0 ? undefined : { tkn, keys: failed }
}

interface StoreValues { readonly tkn: string, readonly keys: ReadonlyMap<string, JsonText> }

/** KV_SET and its kin, which differ in whether they keep what exists and whether they are quiet. */
function storePlan (keep: boolean, quiet: boolean) {
  return ({ tkn, keys }: StoreValues): Plan<{ tkn: string, keys: Statuses }> => ({
    reads: { has: keys.keys() },
    decide: view => {
      const { writes, statuses } = store(keys, key => view.has(key), keep)
      return { reply: quiet ? quietReply(tkn, statuses) : { tkn, keys: statuses }, writes }
    },
  })
}

const storeParams = { keys: keysParam, tkn: tknParam }
const statusReply = Type.Object({ tkn: Token, keys: KeyStatuses })
const storeExample = { tkn: EXAMPLE_TOKEN, keys: { user: { name: 'Ada' }, visits: 1 } }

export const KV_SET = keyCommand({
  tag: 'keys',
  summary: 'Store keys',
  description: 'Stores each key, whether it exists or not. A key that cannot be stored does not stop the others.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 20, visits: 21 } } },
  plan: storePlan(false, false),
})

export const KV_SETQ = keyCommand({
  tag: 'keys',
  summary: 'Store keys quietly',
  description: 'KV_SET that answers nothing when every key was stored, and otherwise only the keys that were not.',
  params: storeParams,
  reply: statusReply,
  example: { params: { tkn: EXAMPLE_TOKEN, keys: { user: null } }, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 41 } } },
  plan: storePlan(false, true),
})

export const KV_ADD = keyCommand({
  tag: 'keys',
  summary: 'Store keys that do not exist yet',
  description: 'Stores each key that is new, and leaves the others as they are. Of many clients that add one key at once, exactly one is told KeySet.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 20, visits: 23 } } },
  plan: storePlan(true, false),
})

export const KV_ADDQ = keyCommand({
  tag: 'keys',
  summary: 'Store keys that do not exist yet, quietly',
  description: 'KV_ADD that answers nothing when every key was stored, and otherwise only the keys that were not.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { visits: 23 } } },
  plan: storePlan(true, true),
})

/** Refuses more text than one reply may carry, before it is put together. */
export function assertReadable (length: number, param: string): void {
  if (length > MAX_REPLY_LENGTH) {
    throw new StatusError('ValueSize', param, `The values together are longer than ${MAX_REPLY_LENGTH} characters: ask for fewer at a time.`)
  }
}

function valuesOf (view: View, keys: readonly string[]): Map<string, JsonText | null> {
  const values = new Map<string, JsonText | null>()
  let length = 0
  for (const key of keys) {
    const value = view.get(key) ?? null
    length += value?.length ?? 0
    assertReadable(length, 'keys')
    values.set(key, value)
  }
  return values
}

export const KV_GET = keyCommand({
  tag: 'keys',
  summary: 'Read keys',
  description: 'The value of each key exactly as it was stored, or null when there is no such key.',
  params: { keys: keyNamesParam, tkn: tknParam },
  reply: Type.Object({ tkn: Token, keys: Keys }),
  failures: ['ValueSize'],
  example: { params: { tkn: EXAMPLE_TOKEN, keys: ['user', 'gone'] }, reply: { tkn: EXAMPLE_TOKEN, keys: { user: { name: 'Ada' }, gone: null } } },
  readOnly: true,
  plan: ({ tkn, keys }) => ({
    reads: { get: keys },
    // JsonValue's writer takes null as well: it stands for a key that does not exist.
    decide: view => ({ reply: { tkn, keys: valuesOf(view, keys) as Map<string, JsonText> } }),
  }),
})

export const KV_RMV = keyCommand({
  tag: 'keys',
  summary: 'Remove keys',
  description: 'Removes each key that exists.',
  params: { keys: keyNamesParam, tkn: tknParam },
  reply: statusReply,
  example: { params: { tkn: EXAMPLE_TOKEN, keys: ['user', 'gone'] }, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 24, gone: 22 } } },
  plan: ({ tkn, keys }) => ({
    reads: { has: keys },
    decide: view => {
      const present = new Set(keys.filter(key => view.has(key)))
      return {
        reply: { tkn, keys: new Map(keys.map(key => [key, numberOf(present.has(key) ? 'KeyRemoved' : 'KeyNotExist')])) },
        writes: new Map([...present].map(key => [key, null])),
      }
    },
  }),
})

export const KV_CONTAINS = keyCommand({
  tag: 'keys',
  summary: 'Ask which keys exist',
  description: 'For each key whether it exists.',
  params: { keys: keyNamesParam, tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, keys: MapOf(Type.Boolean(), { $id: 'KeyPresence', description: 'For each key whether it exists.' }) }),
  example: { params: { tkn: EXAMPLE_TOKEN, keys: ['user', 'gone'] }, reply: { st: 1, tkn: EXAMPLE_TOKEN, keys: { user: true, gone: false } } },
  readOnly: true,
  plan: ({ tkn, keys }) => ({
    reads: { has: keys },
    decide: view => ({ reply: { st: ok, tkn, keys: new Map(keys.map(key => [key, view.has(key)])) } }),
  }),
})

export const KV_COUNT = keyCommand({
  tag: 'keys',
  summary: 'Count keys',
  description: 'The number of keys in the session.',
  params: { tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, cnt: count('Keys in the session.') }),
  example: { params: { tkn: EXAMPLE_TOKEN }, reply: { st: 1, tkn: EXAMPLE_TOKEN, cnt: 2 } },
  readOnly: true,
  plan: ({ tkn }) => ({ reads: {}, decide: view => ({ reply: { st: ok, tkn, cnt: view.size } }) }),
})

/** A cursor is the last name of the page before, so that it holds whatever happens to the keys meanwhile. */
function decodeCursor (cursor: string): string {
  const name = Buffer.from(cursor, 'base64url').toString()
  if (encodeCursor(name) !== cursor) throw new StatusError('CommandSyntax', 'cursor', 'Not a cursor that this server gave.')
  return name
}

function encodeCursor (name: string): string {
  return Buffer.from(name).toString('base64url')
}

export const KV_KEYS = keyCommand({
  tag: 'keys',
  summary: 'List key names',
  description: 'Names of the keys in code point order; a page at a time when `limit` is given.',
  params: {
    prefix: optional(Type.String({ description: 'Only names that start with this.' })),
    limit: optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description: 'Names in a page.' })),
    cursor: optional(Type.String({ description: 'The cursor that the page before came with.' })),
    tkn: tknParam,
  },
  reply: Type.Object({
    st,
    tkn: Token,
    keys: KeyNames,
    cursor: Type.Optional(Type.String({ description: 'Pass it to get the next page; there is none when it is missing.' })),
  }),
  failures: ['CommandSyntax', 'ValueSize'],
  example: { params: { tkn: EXAMPLE_TOKEN, prefix: 'item:', limit: 2 }, reply: { st: 1, tkn: EXAMPLE_TOKEN, keys: ['item:1', 'item:2'], cursor: 'aXRlbToy' } },
  readOnly: true,
  plan: ({ tkn, prefix = '', limit = Infinity, cursor }) => ({
    // One more than the page, to know whether there is a next one.
    reads: { list: { prefix, after: cursor === undefined ? undefined : decodeCursor(cursor), limit: limit + 1 } },
    decide: view => {
      const names = view.names()
      assertReadable(names.reduce((length, name) => length + name.length, 0), 'limit')
      const keys = names.slice(0, limit)
      const last = keys.at(-1)
      return { reply: { st: ok, tkn, keys, ...names.length > limit && last !== undefined && { cursor: encodeCursor(last) } } }
    },
  }),
})

export const KV_CLEAR = keyCommand({
  tag: 'keys',
  summary: 'Remove all keys',
  description: 'Removes every key of the session; the session stays.',
  params: { tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, cnt: count('Keys that were removed.') }),
  example: { params: { tkn: EXAMPLE_TOKEN }, reply: { st: 1, tkn: EXAMPLE_TOKEN, cnt: 2 } },
  plan: ({ tkn }) => ({ reads: {}, decide: view => ({ reply: { st: ok, tkn, cnt: view.size }, clear: true }) }),
})

export const KV_CLEAR_SET = keyCommand({
  tag: 'keys',
  summary: 'Replace all keys',
  description: 'Removes every key of the session and stores these, in one step.',
  params: storeParams,
  reply: Type.Object({ st, tkn: Token, cnt: count('Keys that were removed.'), keys: KeyStatuses }),
  example: { params: storeExample, reply: { st: 1, tkn: EXAMPLE_TOKEN, cnt: 5, keys: { user: 20, visits: 20 } } },
  plan: ({ tkn, keys }) => ({
    reads: {},
    decide: view => {
      const { writes, statuses } = store(keys, () => false, false)
      return { reply: { st: ok, tkn, cnt: view.size, keys: statuses }, clear: true, writes }
    },
  }),
})
