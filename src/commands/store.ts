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

/** Keys with their values, of which all can be stored but those with a fault. */
interface Storable {
  readonly writes: ReadonlyMap<string, JsonText>
  /** By key; undefined when there is none. */
  readonly faults: ReadonlyMap<string, StatusName> | undefined
}

function storable (keys: ReadonlyMap<string, JsonText>): Storable {
  let faults: Map<string, StatusName> | undefined
  for (const [key, value] of keys) {
    const fault = entryFault(key, value)
    if (fault !== undefined) (faults ??= new Map()).set(key, fault)
  }
  if (faults === undefined) return { writes: keys, faults }
  const writes = new Map(keys)
  for (const key of faults.keys()) writes.delete(key)
  return { writes, faults }
}

/** The status of each key. @param stored gives the status number of a key that can be stored */
function statusesOf (keys: ReadonlyMap<string, JsonText>, { faults }: Storable, stored: (key: string) => number): Statuses {
  const statuses: Statuses = new Map()
  for (const key of keys.keys()) {
    const fault = faults?.get(key)
    statuses.set(key, fault === undefined ? stored(key) : statusNumber(fault))
  }
  return statuses
}

const KEY_SET = statusNumber('KeySet')
const KEY_UPDATED = statusNumber('KeyUpdated')
const KEY_EXISTS = statusNumber('KeyExists')

const isNew = (): number => KEY_SET

/** The reply of a quiet command: the keys that were not stored; undefined when all were. */
function quietReply (tkn: string, statuses: Statuses) {
  const failed = new Map([...statuses].filter(([, status]) => status !== KEY_SET && status !== KEY_UPDATED))
  return failed.size === 0 ? undefined : { tkn, keys: failed }
}

interface StoreValues { readonly tkn: string, readonly keys: ReadonlyMap<string, JsonText> }

/** Stores every key that can be stored. */
function setPlan ({ tkn, keys }: StoreValues): Plan<{ tkn: string, keys: Statuses }> {
  const all = storable(keys)
  return {
    reads: { has: Array.from(all.writes.keys()) },
    change: { writes: all.writes },
    decide: view => ({ reply: { tkn, keys: statusesOf(keys, all, key => view.has(key) ? KEY_UPDATED : KEY_SET) } }),
  }
}

/** Stores the keys that do not exist yet. */
function addPlan (quiet: boolean) {
  return ({ tkn, keys }: StoreValues): Plan<{ tkn: string, keys: Statuses }> => {
    const all = storable(keys)
    return {
      reads: { has: Array.from(all.writes.keys()) },
      decide: view => {
        const statuses = statusesOf(keys, all, key => view.has(key) ? KEY_EXISTS : KEY_SET)
        const writes = new Map<string, JsonText>()
        for (const [key, value] of all.writes) if (statuses.get(key) === KEY_SET) writes.set(key, value)
        return { reply: quiet ? quietReply(tkn, statuses) : { tkn, keys: statuses }, writes }
      },
    }
  }
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
  plan: ({ tkn, keys }) => {
    const all = storable(keys)
    return {
      reads: {},
      change: { writes: all.writes },
      decide: () => ({ reply: quietReply(tkn, statusesOf(keys, all, isNew)) }),
    }
  },
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
  plan: ({ tkn, keys }) => {
    const all = storable(keys)
    return {
      reads: {},
      change: { clear: true, writes: all.writes },
      decide: view => ({ reply: { st: statusNumber('Ok'), tkn, cnt: view.size, keys: statusesOf(keys, all, isNew) } }),
    }
  },
})
