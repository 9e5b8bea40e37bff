// What Holdfast has to hold: a state, and what each command makes of it and answers. Texts are compared, never numbers.

/**
 * Everything that one writer may find: for a session, under its label, how it was started; for a key, under its cell, the
 * text of its value.
 */
export type State = ReadonlyMap<string, string>

/** A session: the label is the test's own name for it. */
export interface Session { readonly label: string, readonly tkn: string }

/** Texts of values by key. */
export type Keys = ReadonlyMap<string, string>

/** A command on a session, with what has to come of it. */
export interface Command {
  readonly name: string
  readonly session: Session
  /** Its parameters beside `tkn`, as the members of a JSON object. */
  readonly members: string
  /** The keys that it names. */
  readonly keys: readonly string[]
  readonly after: State
  /** What stands in `<COMMAND>_RSP`; undefined for a quiet command that has nothing to say. */
  readonly content: string | undefined
}

/** The name of a key's value in a state. Labels have no line feed in them. */
export const cell = (label: string, key: string) => `${label}\n${key}`

export function keysOf (state: State, label: string): string[] {
  const start = cell(label, '')
  return [...state.keys()].filter(name => name.startsWith(start)).map(name => name.slice(start.length))
}

const quote = (text: string) => JSON.stringify(text)
const object = (entries: Iterable<readonly [string, string | number]>) => `{${Array.from(entries, ([key, text]) => `${quote(key)}:${text}`).join()}}`

const KEY = { set: 20, updated: 21, missing: 22, exists: 23, removed: 24 }
const OK = 1
const VALUE_TYPE_INVALID = 41

/** What becomes of one key: its value afterwards, undefined for none, and its status. */
type Change = (operand: string, current: string | undefined) => { value: string | undefined, status: number }

/** A command that changes each of its keys by itself. */
function changing (name: string, state: State, session: Session, keys: Keys, change: Change): Command {
  const after = new Map(state)
  const statuses = Array.from(keys, ([key, operand]) => {
    const at = cell(session.label, key)
    const { value, status } = change(operand, after.get(at))
    if (value === undefined) after.delete(at)
    else after.set(at, value)
    return [key, status] as const
  })
  const content = `{"tkn":${quote(session.tkn)},"keys":${object(statuses)}}`
  return { name, session, members: `"keys":${object(keys)}`, keys: [...keys.keys()], after, content }
}

export function set (state: State, session: Session, keys: Keys, quiet = false): Command {
  const command = changing('KV_SET', state, session, keys, (value, current) => ({ value, status: current === undefined ? KEY.set : KEY.updated }))
  return quiet ? { ...command, name: 'KV_SETQ', content: undefined } : command
}

export function add (state: State, session: Session, keys: Keys): Command {
  return changing('KV_ADD', state, session, keys, (value, current) => ({ value: current ?? value, status: current === undefined ? KEY.set : KEY.exists }))
}

export function remove (state: State, session: Session, keys: readonly string[]): Command {
  const operands = new Map(keys.map(key => [key, '']))
  const command = changing('KV_RMV', state, session, operands, (_, current) => ({ value: undefined, status: current === undefined ? KEY.missing : KEY.removed }))
  return { ...command, members: `"keys":${JSON.stringify(keys)}` }
}

const isObject = (text: string | undefined) => text?.startsWith('{') === true

/** An object of a writer's has its number in its first member. */
const withNumber = (text: string, number: string) => text.replace(/^\{"n":[^,}]*/, `{"n":${number}`)

/** @param keys for each the number that a patch of the member "n" brings, or null to remove the key */
export function merge (state: State, session: Session, keys: Keys): Command {
  const patches = new Map(Array.from(keys, ([key, number]) => [key, number === 'null' ? number : `{"n":${number}}`]))
  return changing('KV_MERGE', state, session, patches, (patch, current) => {
    if (patch === 'null') return { value: undefined, status: KEY.removed }
    const value = isObject(current) ? withNumber(current!, patch.slice('{"n":'.length, -1)) : patch
    return { value, status: current === undefined ? KEY.set : KEY.updated }
  })
}

/** Appends the number as an array takes it, or a string, or (replacing its member "n") an object. */
export function append (state: State, session: Session, keys: readonly string[], number: string): Command {
  const operands = keys.map(key => {
    const current = state.get(cell(session.label, key))
    return [key, current?.startsWith('"') === true ? `"+${number}"` : isObject(current) ? `{"n":${number}}` : `[${number}]`] as const
  })
  return changing('KV_APPEND', state, session, new Map(operands), (operand, current) => {
    if (current === undefined) return { value: current, status: KEY.missing }
    if (isObject(current)) return { value: withNumber(current, number), status: OK }
    if (current.startsWith('"')) return { value: current.slice(0, -1) + operand.slice(1), status: OK }
    if (current.startsWith('[')) return { value: `${current.slice(0, -1)},${operand.slice(1)}`, status: OK }
    return { value: current, status: VALUE_TYPE_INVALID }
  })
}

/** Replaces the number of a value that is an object. */
export function update (state: State, session: Session, key: string, number: string): Command {
  const at = cell(session.label, key)
  return {
    name: 'KV_UPDATE',
    session,
    members: `"key":${quote(key)},"path":"/n","value":${number}`,
    keys: [key],
    after: new Map(state).set(at, withNumber(state.get(at) ?? '', number)),
    content: `{"st":${OK},"tkn":${quote(session.tkn)},"key":${quote(key)},"cnt":1}`,
  }
}

/** The state without a session's keys. */
function emptied (state: State, { label }: Session): Map<string, string> {
  const start = cell(label, '')
  return new Map([...state].filter(([name]) => !name.startsWith(start)))
}

export function clear (state: State, session: Session): Command {
  const cnt = keysOf(state, session.label).length
  return { name: 'KV_CLEAR', session, members: '', keys: [], after: emptied(state, session), content: `{"st":${OK},"tkn":${quote(session.tkn)},"cnt":${cnt}}` }
}

export function clearSet (state: State, session: Session, keys: Keys): Command {
  const { members, after, content } = set(emptied(state, session), session, keys)
  const cnt = keysOf(state, session.label).length
  const reply = content!.replace('"keys":', `"cnt":${cnt},"keys":`).replace('{', `{"st":${OK},`)
  return { name: 'KV_CLEAR_SET', session, members, keys: [...keys.keys()], after, content: reply }
}

/** Ends the session. */
export function end (state: State, session: Session): Command {
  const after = emptied(state, session)
  after.delete(session.label)
  return { name: 'SH_END', session, members: '', keys: [], after, content: `{"st":${OK},"tkn":${quote(session.tkn)}}` }
}

/** How a session expires, as SH_NEW takes it. Durations are in seconds, and longer than any test. */
export interface Expiry { readonly duration: number, readonly deleteSession: boolean, readonly idle?: number }

/** What is said of a session in a state. SH_INFO says the same, and more. */
export function description (name: string, shared: boolean, { duration, deleteSession, idle = 0 }: Expiry): string {
  return JSON.stringify({ name, shared, duration, deleteSession: deleteSession && duration + idle > 0, idle })
}
