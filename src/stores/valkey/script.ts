import { createHash } from 'node:crypto'
import type { JsonText } from '../../json/text.js'
import type { Session } from '../../session.js'
import { sessionOf, timesOf } from './layout.js'
import type { MergedChange } from './merged-change.js'
import { BEGINNING, CHANGES } from './script-body.js'

// What our script and its callers agree on: its operations, its arguments and its answer, and how these are written and read on both
// sides. What the script does with them is in script-body.ts, which knows neither positions nor letters, but names.
//
// The script is one atomic step on one session: the engine runs nothing else meanwhile. Its key is the first of keysOf().

/** What the script is asked to do. */
export const OPERATION = {
  /** Expire if due, read, renew the idle deadline if told to. */
  read: 'r',
  /** Read, and change nothing. */
  look: 'l',
  /** Read, and change nothing but what has ended: for a decision whose write follows. */
  peek: 'p',
  /** Expire if due, read, write; nothing when the version is not the one expected. */
  write: 'w',
  /** Add a session with its keys, unless it is alive. */
  create: 'c',
  /** End a session. */
  remove: 'd',
  /** Take back the renewal of an idle deadline, if that is still the last and nothing has been written since. */
  undo: 'u',
} as const

export type ScriptOperation = typeof OPERATION[keyof typeof OPERATION]

/** The operations that may be carried out twice, because the second time changes nothing: they are sent again when they are lost. */
const REPEATABLE: ReadonlySet<ScriptOperation> = new Set([OPERATION.look, OPERATION.peek, OPERATION.read])

/** What the script did. */
const RESULT = {
  done: 1,
  /** Nothing, because the version was another one. */
  conflict: 0,
  /** Nothing, because another gateway has the lease. */
  busy: 2,
} as const

/** What is read of the keys of a session. */
export interface Selection {
  /** The keys whose values are read, and those of which only whether they are there. */
  readonly values: readonly string[]
  readonly presences: readonly string[]
  /** Which others are read: none, every key with its value, or the names that begin with `prefix`. */
  readonly others: '' | 'entries' | 'names'
  readonly prefix: string
}

export const NO_SELECTION: Selection = { values: [], presences: [], others: '', prefix: '' }

export interface ScriptArguments {
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  readonly selection?: Selection
  readonly change?: MergedChange
  /** The version that the session must have; any unless given. */
  readonly expected?: string
  /** The version that the session has after a change. */
  readonly version?: string
  /** Whether the idle deadline is renewed; as `change` says unless given. */
  readonly touch?: boolean
  /** The name of a gateway that asks for the lease: until it has written, or LEASE_MS have passed, no other one writes. */
  readonly lessee?: string
  /** Of an undo: the times that the renewal has made, and those before it. */
  readonly renewal?: readonly [made: string, before: string]
}

/** A call of the script. */
export interface ScriptCall {
  /** As keysOf() gives them: the engine is told of the first only. */
  readonly keys: readonly [string, string]
  /** Those of EVALSHA. */
  readonly args: Array<string | number>
  /** Whether it may change something that must not be changed twice. */
  readonly changes: boolean
}

/** How many arguments stand in front of the keys that are read and written. */
const FIXED = 15

/** Times and name of a session that stays as it is. */
const UNCHANGED = ['', ''] as const

/** The arguments of EVALSHA: the SHA-1 of the script, how many keys, the key, and then those that ARGUMENTS gives names. */
export function encodeCall (keys: ScriptCall['keys'], operation: ScriptOperation, given: ScriptArguments): ScriptCall {
  const { now, selection: { values, presences, others, prefix } = NO_SELECTION, change, expected = '', version = '', touch = change?.touch ?? false, lessee = '', renewal } = given
  const sets: string[] = []
  const removals: string[] = []
  if (change !== undefined) for (const [key, value] of change.writes) value === null ? removals.push(key) : sets.push(key, value)
  const session = change?.session
  const [times, name] = renewal ?? (session === undefined ? UNCHANGED : [timesOf(session), session.name])
  const args = [
    SCRIPT_SHA, 1, keys[0],
    operation, now, expected, version, Number(touch), Number(change?.clear ?? false), times, name,
    values.length, presences.length, others, prefix, sets.length / 2, lessee, '',
    ...values, ...presences, ...sets, ...removals,
  ]
  return { keys, args, changes: !REPEATABLE.has(operation) }
}

/** Where the limit stands in the arguments of EVALSHA: the engine fills it in, by the clock of the node that it sends them to. */
export const LIMIT_AT = 3 + FIXED - 1

/** The arguments of EVAL, for a server that does not know the script, from those of EVALSHA. */
export function evalOf ([, ...args]: ReadonlyArray<string | number | Buffer>): Array<string | number | Buffer> {
  return [SCRIPT, ...args]
}

/** How many items stand in front of those that were read of the keys. */
const FOUND = 5

/** A session as the engine had it before the step: its expiry is still to be applied. */
export interface StoredSession {
  /** Whether what was asked for was done: if not, the version was another one, or another gateway has the lease. */
  readonly isDone: boolean
  readonly session: Session
  readonly version: string
  /** Number of keys. */
  readonly size: number
  readonly values: ReadonlyMap<string, JsonText | null>
  readonly presences: ReadonlyMap<string, boolean>
  /** In no particular order; undefined when they were not asked for. */
  readonly entries: ReadonlyMap<string, JsonText> | undefined
  readonly names: readonly string[] | undefined
}

/**
 * @param answer null when there is no such session, and for a create that has added one
 * @throws {StatusError} DataDamaged
 */
export function decodeAnswer (answer: unknown, selection: Selection): StoredSession | undefined {
  if (answer === null) return undefined
  // As ANSWER has it, and a hash holds what this store wrote: JSON texts.
  const read = answer as readonly unknown[]
  const [result, times, version, name, size] = read as [number, string, string, string, number]
  let at = FOUND
  const values = new Map<string, JsonText | null>()
  for (const key of selection.values) values.set(key, read[at++] as JsonText | null)
  const presences = new Map<string, boolean>()
  for (const key of selection.presences) presences.set(key, read[at++] === 1)
  const others = selection.others === '' ? [] : read.slice(at) as string[]
  return {
    isDone: result === RESULT.done,
    session: sessionOf(times, name),
    version,
    size,
    values,
    presences,
    entries: selection.others === 'entries' ? entriesOf(others) : undefined,
    names: selection.others === 'names' ? others : undefined,
  }
}

function entriesOf (flat: readonly string[]): Map<string, JsonText> {
  const entries = new Map<string, JsonText>()
  for (let at = 0; at < flat.length; at += 2) entries.set(flat[at]!, flat[at + 1] as JsonText) // As above.
  return entries
}

/** Fields or values in one call of the engine: Lua passes some 8,000 arguments at most. */
const CHUNK = 1_000

/** Gives the arguments their names. */
const ARGUMENTS = `
local call = redis.call
local main, stay = KEYS[1], KEYS[1] .. ':stay'
local op, now, expected, version, touch, clear, new_times, new_name,
  values, presences, others, prefix, sets, lessee, limit = unpack(ARGV, 1, FIXED)
now = tonumber(now)
-- Then the keys whose values are read, those whose presence is, each key that is set with its value, and the keys to remove.
local last_value = FIXED + values
local last_presence = last_value + presences
local last_set = last_presence + 2 * sets
local last_removal = #ARGV
-- Of some: new_times is '' to keep them (for an undo those to take back, and new_name those before); limit is when it is too late
-- to change anything, by the engine's clock in milliseconds, '' for never.
`

/** Makes the answer: what was there before, expiry not applied. A session that is not there yet has no times, and nothing to read. */
const ANSWER = `
local answer, count = {DONE, times, current, name, size}, FOUND
if times then
  for from = FIXED + 1, last_value, CHUNK do
    for _, value in ipairs(call('HMGET', main, unpack(ARGV, from, math.min(from + CHUNK - 1, last_value)))) do
      count = count + 1
      answer[count] = value
    end
  end
  for at = last_value + 1, last_presence do
    count = count + 1
    answer[count] = call('HEXISTS', main, ARGV[at])
  end
  -- A field that begins with the byte FF is no key.
  if others == 'entries' then
    local entries = call('HGETALL', main)
    for at = 1, #entries, 2 do
      if string.byte(entries[at]) ~= 255 then
        answer[count + 1], answer[count + 2] = entries[at], entries[at + 1]
        count = count + 2
      end
    end
  elseif others == 'names' then
    for _, key in ipairs(call('HKEYS', main)) do
      if string.byte(key) ~= 255 and string.sub(key, 1, #prefix) == prefix then
        count = count + 1
        answer[count] = key
      end
    end
  end
end
`

/** What the words in capitals stand for: the names of the operations and of the results, and RESULT, the place of the latter in the answer. */
const CONSTANTS = new Map<string, string | number>([
  ...Object.entries(OPERATION).map(([name, letter]) => [name.toUpperCase(), `'${letter}'`] as const),
  ...Object.entries(RESULT).map(([name, number]) => [name.toUpperCase(), number] as const),
  ...Object.entries({ RESULT: 1, FIXED, FOUND, CHUNK }),
])

export const SCRIPT = [ARGUMENTS, BEGINNING, ANSWER, CHANGES].join('').replace(/\b[A-Z]+\b/g, word => String(CONSTANTS.get(word) ?? word))

/** What EVALSHA calls the script by. */
export const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex')
