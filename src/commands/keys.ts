import { Type } from '@sinclair/typebox'
import { keyCommand } from '../protocol/command.js'
import type { JsonText } from '../json/text.js'
import { keyFault, MAX_REPLY_CHARACTERS } from '../limits.js'
import { optional } from '../protocol/param.js'
import { MapOf } from '../protocol/schema.js'
import type { View } from '../session.js'
import { statusNumber, StatusError } from '../status.js'
import { count, EXAMPLE_TOKEN, KeyNames, keyNamesParam, Keys, st, statusReply, tknParam, Token } from './schemas.js'

const ok = statusNumber('Ok')

/** Refuses a reply that is too long before it is built. @param length in characters @throws {StatusError} ValueSize, for `param` */
export function assertReadable (length: number, param: string): void {
  if (length > MAX_REPLY_CHARACTERS) {
    throw new StatusError('ValueSize', param, `The values together are longer than ${MAX_REPLY_CHARACTERS} characters: ask for fewer at a time.`)
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
    // The cast hides null, which stands for a key that does not exist; JsonValue's writer accepts it too.
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
    change: { writes: new Map(keys.filter(key => keyFault(key) === undefined).map(key => [key, null])) },
    decide: view => ({ reply: { tkn, keys: new Map(keys.map(key => [key, statusNumber(view.has(key) ? 'KeyRemoved' : 'KeyNotExist')])) } }),
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

/** Every cursor starts with this, so that none is empty: the empty string is a valid key, and can be the last of a page. */
const AFTER = 'a'

/** A cursor encodes the last name of the previous page, so it stays valid when keys change. @throws {StatusError} CommandSyntax */
function decodeCursor (cursor: string): string {
  const name = Buffer.from(cursor.slice(AFTER.length), 'base64url').toString()
  if (encodeCursor(name) !== cursor) throw new StatusError('CommandSyntax', 'cursor', 'Not a cursor that this server gave.')
  return name
}

function encodeCursor (name: string): string {
  return AFTER + Buffer.from(name).toString('base64url')
}

export const KV_KEYS = keyCommand({
  tag: 'keys',
  summary: 'List key names',
  description: 'Names of the keys in code point order; a page at a time when `limit` is given.',
  params: {
    prefix: optional(Type.String({ description: 'Only names that start with this.' }), { beyond: prefix => prefix.isWellFormed() ? undefined : 'ValueTypeInvalid' }),
    limit: optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description: 'Names in a page, a whole number from 1.' })),
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
  example: { params: { tkn: EXAMPLE_TOKEN, prefix: 'item:', limit: 2 }, reply: { st: 1, tkn: EXAMPLE_TOKEN, keys: ['item:1', 'item:2'], cursor: 'aaXRlbToy' } },
  readOnly: true,
  plan: ({ tkn, prefix = '', limit = Infinity, cursor }) => ({
    // One name more than the page shows whether there is a next page.
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
  plan: ({ tkn }) => ({ reads: {}, change: { clear: true }, decide: view => ({ reply: { st: ok, tkn, cnt: view.size } }) }),
})
