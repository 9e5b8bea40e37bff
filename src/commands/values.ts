import { Type } from '@sinclair/typebox'
import { keyCommand } from '../protocol/command.js'
import { append, mergePatch, replace } from '../json/edit.js'
import { JsonError } from '../json/lexer.js'
import { openAll, scanText, type Document, type Node } from '../json/scanner.js'
import { along, descend } from '../json/pointer.js'
import type { JsonText } from '../json/text.js'
import { keyFault, MAX_VALUE_CHARACTERS } from '../limits.js'
import { required } from '../protocol/param.js'
import { JsonValue, MapOf } from '../protocol/schema.js'
import type { View } from '../session.js'
import { statusNumber, StatusError, type StatusName } from '../status.js'
import { entryFault, type Statuses } from './store.js'
import { parsePath, pathParam, searching, type Path } from './path.js'
import { count, EXAMPLE_TOKEN, keyParam, keysParam, st, statusReply, tknParam, Token } from './schemas.js'

/** The outcome for one key: its status, and its new value if it changes (null removes the key). */
interface Change {
  readonly status: StatusName
  readonly value?: JsonText | null
}

/** Applies `change` to every key; a key keeps its value when the change has none. */
function changeEach (keys: ReadonlyMap<string, JsonText>, view: View, change: (operand: JsonText, current: JsonText | undefined, key: string) => Change) {
  const writes = new Map<string, JsonText | null>()
  const statuses: Statuses = new Map()
  for (const [key, operand] of keys) {
    const { status, value } = change(operand, view.get(key), key)
    statuses.set(key, statusNumber(status))
    if (value !== undefined) writes.set(key, value)
  }
  return { writes, statuses }
}

function appended (operand: JsonText, current: JsonText | undefined, key: string): Change {
  const fault = entryFault(key, operand)
  if (fault !== undefined) return { status: fault }
  if (current === undefined) return { status: 'KeyNotExist' }
  const value = append(current, operand)
  if (value === undefined) return { status: 'ValueTypeInvalid' }
  return value.length > MAX_VALUE_CHARACTERS ? { status: 'ValueSize' } : { status: 'Ok', value }
}

export const KV_APPEND = keyCommand({
  tag: 'keys',
  summary: 'Append to values',
  description: 'Array and array concatenate, array and any other value appends it, string and string concatenate, object and object add members. The rest of the value keeps its exact text.',
  params: { keys: keysParam, tkn: tknParam },
  reply: statusReply,
  example: { params: { tkn: EXAMPLE_TOKEN, keys: { items: ['tea'], gone: 1 } }, reply: { tkn: EXAMPLE_TOKEN, keys: { items: 1, gone: 22 } } },
  plan: ({ tkn, keys }) => ({
    reads: { get: [...keys.keys()] },
    decide: view => {
      const { writes, statuses } = changeEach(keys, view, appended)
      return { reply: { tkn, keys: statuses }, writes }
    },
  }),
})

function merged (patch: JsonText, current: JsonText | undefined, key: string): Change {
  const fault = keyFault(key)
  if (fault !== undefined) return { status: fault }
  if (patch === 'null') return { status: 'KeyRemoved', value: null }
  const value = mergePatch(current, patch)
  if (value.length > MAX_VALUE_CHARACTERS) return { status: 'ValueSize' }
  return { status: current === undefined ? 'KeySet' : 'KeyUpdated', value }
}

export const KV_MERGE = keyCommand({
  tag: 'keys',
  summary: 'Merge into values',
  description: 'Applies a JSON Merge Patch (RFC 7396) to each key: members given are set, members that are null are removed, a patch that is null removes the key. Members that are not named keep their exact text.',
  params: {
    keys: required(MapOf(JsonValue, { $id: 'MergePatches', description: 'A JSON Merge Patch (RFC 7396) for each key.' })),
    tkn: tknParam,
  },
  reply: statusReply,
  example: { params: { tkn: EXAMPLE_TOKEN, keys: { user: { email: 'ada@example.org' }, old: null } }, reply: { tkn: EXAMPLE_TOKEN, keys: { user: 21, old: 24 } } },
  plan: ({ tkn, keys }) => ({
    reads: { get: [...keys.keys()] },
    decide: view => {
      const { writes, statuses } = changeEach(keys, view, merged)
      return { reply: { tkn, keys: statuses }, writes }
    },
  }),
})

/** Scans a value as deep as a path needs, and finds the nodes that the path selects. */
function places (path: Path, current: JsonText): { document: Document, nodes: Node[] } {
  const document = scanText(current, path.kind === 'pointer' ? along(path.tokens, undefined) : openAll)
  const locations = path.kind === 'pointer' ? [path.tokens] : path.select(current).map(({ location }) => location)
  return { document, nodes: locations.map(location => descend(document, location)).filter(node => node !== undefined) }
}

function updated (path: Path, current: JsonText, value: JsonText): { text: JsonText, cnt: number } {
  const { document, nodes } = places(path, current)
  if (nodes.length === 0) throw new StatusError('PathNotExist', 'path')
  if (current.length + nodes.length * value.length > MAX_VALUE_CHARACTERS) {
    throw new StatusError('ValueSize', 'value', `A value can grow to ${MAX_VALUE_CHARACTERS} characters at most.`)
  }
  const { text, count } = replace(document, nodes, value)
  // The text is null only when the path selects the whole value.
  if (text === 'null') throw new StatusError('ValueTypeInvalid', 'value')
  assertDepth(text)
  return { text, cnt: count }
}

/** Refuses a value that, put into another one, nests too deep. @throws {StatusError} ValueSize */
function assertDepth (text: JsonText): void {
  try {
    scanText(text, undefined)
  } catch (error) {
    throw new StatusError('ValueSize', 'value', error instanceof JsonError ? `The new value would not be accepted: ${error.message}.` : undefined)
  }
}

export const KV_UPDATE = keyCommand({
  tag: 'keys',
  summary: 'Replace parts of a value',
  description: 'Replaces the value at every place that a path selects: a JSON Pointer (RFC 6901) or a JSONPath (RFC 9535). The rest of the value keeps its exact text.',
  params: { key: keyParam, path: pathParam, value: required(JsonValue), tkn: tknParam },
  reply: Type.Object({ st, tkn: Token, key: Type.String({ description: 'Name of the key.' }), cnt: count('Places whose value was replaced.') }),
  failures: ['KeyNotExist', 'PathInvalid', 'PathNotExist', 'ValueSize', 'ValueTypeInvalid'],
  example: {
    params: { tkn: EXAMPLE_TOKEN, key: 'user', path: '/address/city', value: 'London' },
    reply: { st: 1, tkn: EXAMPLE_TOKEN, key: 'user', cnt: 1 },
  },
  plan: ({ tkn, key, path: text, value }) => {
    const path = parsePath(text)
    return {
      reads: { get: [key] },
      decide: view => {
        const current = view.get(key)
        if (current === undefined) throw new StatusError('KeyNotExist', 'key')
        const { text, cnt } = searching(() => updated(path, current, value))
        return { reply: { st: statusNumber('Ok'), tkn, key, cnt }, writes: new Map([[key, text]]) }
      },
    }
  },
})
