import { Type } from '@sinclair/typebox'
import { keyCommand, type Plan } from '../protocol/command.js'
import type { JsonText } from '../json/text.js'
import { keyFault } from '../limits.js'
import { statusNumber, type StatusName } from '../status.js'
import { count, EXAMPLE_TOKEN, keysParam, KeyStatuses, st, statusReply, tknParam, Token } from './schemas.js'

/** Why a key cannot be stored with a value; undefined when it can. */
export function entryFault (key: string, value: JsonText): StatusName | undefined {
  return keyFault(key) ?? (value === 'null' ? 'ValueTypeInvalid' : undefined)
}

/** Status numbers by key. */
export type Statuses = Map<string, number>

/** The keys that can be stored. */
function storable (keys: ReadonlyMap<string, JsonText>): Map<string, JsonText> {
  return new Map([...keys].filter(([key, value]) => entryFault(key, value) === undefined))
}

/** The status of each key. @param stored gives the status of a key that can be stored */
function statusesOf (keys: ReadonlyMap<string, JsonText>, stored: (key: string) => StatusName): Statuses {
  return new Map([...keys].map(([key, value]) => [key, statusNumber(entryFault(key, value) ?? stored(key))]))
}

const KEY_SET = statusNumber('KeySet')
const KEY_UPDATED = statusNumber('KeyUpdated')

/** The reply of a quiet command: the keys that were not stored; undefined when all were. */
function quietReply (tkn: string, statuses: Statuses) {
  const failed = new Map([...statuses].filter(([, status]) => status !== KEY_SET && status !== KEY_UPDATED))
  return failed.size === 0 ? undefined : { tkn, keys: failed }
}

interface StoreValues { readonly tkn: string, readonly keys: ReadonlyMap<string, JsonText> }

/** Stores every key that can be stored. */
function setPlan ({ tkn, keys }: StoreValues): Plan<{ tkn: string, keys: Statuses }> {
  return {
    reads: { has: [...keys.keys()] },
    change: { writes: storable(keys) },
    decide: view => ({ reply: { tkn, keys: statusesOf(keys, key => view.has(key) ? 'KeyUpdated' : 'KeySet') } }),
  }
}

/** Stores the keys that do not exist yet. */
function addPlan (quiet: boolean) {
  return ({ tkn, keys }: StoreValues): Plan<{ tkn: string, keys: Statuses }> => ({
    reads: { has: [...keys.keys()] },
    decide: view => {
      const statuses = statusesOf(keys, key => view.has(key) ? 'KeyExists' : 'KeySet')
      const writes = new Map([...keys].filter(([key]) => statuses.get(key) === KEY_SET))
      return { reply: quiet ? quietReply(tkn, statuses) : { tkn, keys: statuses }, writes }
    },
  })
}

const storeParams = { keys: keysParam, tkn: tknParam }
const storeExample = { tkn: EXAMPLE_TOKEN, keys: { user: { name: 'Ada' }, visits: 1 } }

export const KV_SET = keyCommand({
  tag: 'keys',
  summary: 'Store keys',
  description: 'Stores each key, whether it exists or not. A key that cannot be stored does not stop the others.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 20, visits: 21 } } },
  plan: setPlan,
})

export const KV_SETQ = keyCommand({
  tag: 'keys',
  summary: 'Store keys quietly',
  description: 'KV_SET that answers nothing when every key was stored, and otherwise only the keys that were not.',
  params: storeParams,
  reply: statusReply,
  example: { params: { tkn: EXAMPLE_TOKEN, keys: { user: null } }, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 41 } } },
  plan: ({ tkn, keys }) => ({
    reads: {},
    change: { writes: storable(keys) },
    decide: () => ({ reply: quietReply(tkn, statusesOf(keys, () => 'KeySet')) }),
  }),
})

export const KV_ADD = keyCommand({
  tag: 'keys',
  summary: 'Store keys that do not exist yet',
  description: 'Stores each key that is new, and leaves the others as they are. Of many clients that add one key at once, exactly one is told KeySet.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 20, visits: 23 } } },
  plan: addPlan(false),
})

export const KV_ADDQ = keyCommand({
  tag: 'keys',
  summary: 'Store keys that do not exist yet, quietly',
  description: 'KV_ADD that answers nothing when every key was stored, and otherwise only the keys that were not.',
  params: storeParams,
  reply: statusReply,
  example: { params: storeExample, reply: { tkn: EXAMPLE_TOKEN, keys: { visits: 23 } } },
  plan: addPlan(true),
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
    change: { clear: true, writes: storable(keys) },
    decide: view => ({ reply: { st: statusNumber('Ok'), tkn, cnt: view.size, keys: statusesOf(keys, () => 'KeySet') } }),
  }),
})
