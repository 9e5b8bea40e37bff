import { Type } from '@sinclair/typebox'
import { keyCommand } from '../protocol/command.js'
import { compareCodePoints } from '../json/codepoint.js'
import { comparison, type Operator } from '../json/compare.js'
import type { Selected } from '../json/jsonpath.js'
import { along, descend } from '../json/pointer.js'
import { openAll, scanText } from '../json/scanner.js'
import type { JsonText } from '../json/text.js'
import { optional, type Given } from '../protocol/param.js'
import { jsonValue, MapOf, namesOrValues } from '../protocol/schema.js'
import type { View } from '../session.js'
import { StatusError, type StatusName } from '../status.js'
import { assertReadable } from './keys.js'
import { parsePath, pathParamOf, searching, type Path } from './path.js'
import { EXAMPLE_TOKEN, optionalKeyNamesParam, tknParam, Token } from './schemas.js'

type Found = Array<readonly [string, JsonText]>

/** The values to search, sorted by key. @throws {StatusError} ValueSize when they are too long together */
function candidates (view: View, keys: readonly string[] | undefined): Found {
  const found: Found = []
  let length = 0
  for (const entry of keys === undefined ? view.entries() : named(view, keys)) {
    length += entry[1].length
    assertReadable(length, 'keys')
    found.push(entry)
  }
  return found
}

function * named (view: View, keys: readonly string[]): Iterable<readonly [string, JsonText]> {
  for (const key of [...new Set(keys)].sort(compareCodePoints)) {
    const value = view.get(key)
    if (value !== undefined) yield [key, value]
  }
}

/** Searches the values and returns the reply without the token. */
type Search = (entries: Found) => { keys?: string[] | Map<string, JsonText>, paths?: Map<string, string[]> }

function searchByOperator (path: Path, operator: Operator, operand: JsonText): Search {
  if (path.kind !== 'pointer') throw new StatusError('PathInvalid', 'path', 'With an operator the path is a JSON Pointer; with rsp it is a JSONPath.')
  const { tokens } = path
  return entries => {
    const holds = comparison(operator, operand)
    const matches = entries.filter(([, value]) => {
      const document = scanText(value, along(tokens, openAll))
      const node = descend(document, tokens)
      return node !== undefined && holds(document, node)
    })
    return { keys: matches.map(([key]) => key) }
  }
}

const RSP = ['keys', 'paths', 'kv']

function searchByQuery (path: Path, rsp: string): Search {
  if (!RSP.includes(rsp)) throw new StatusError('CommandSyntax', 'rsp', 'rsp is one of keys, paths and kv.')
  if (path.kind !== 'jsonpath') throw new StatusError('PathInvalid', 'path', 'With rsp the path is a JSONPath; with an operator it is a JSON Pointer.')
  return entries => {
    if (rsp === 'paths') return { paths: pathsOf(path.select, entries) }
    const found = entries.filter(([, value]) => path.selectsAny(value))
    return { keys: rsp === 'keys' ? found.map(([key]) => key) : new Map(found) }
  }
}

/** The normalized paths that a query selects, by key; a key in whose value it selects nothing is left out. */
function pathsOf (select: (value: JsonText) => Selected[], entries: Found): Map<string, string[]> {
  const selected = entries.map(([key, value]) => [key, select(value).map(({ path }) => path)] as const)
  return new Map(selected.filter(([, paths]) => paths.length > 0))
}

function operand (sign: string) {
  return optional(jsonValue({ description: `Finds the values that are ${sign} this one.` }))
}

const operators = {
  '==': operand('equal to'),
  '>': operand('greater than'),
  '>=': operand('greater than or equal to'),
  '<': operand('less than'),
  '<=': operand('less than or equal to'),
} satisfies Record<Operator, object>

const OPERATORS = Object.keys(operators) as Operator[] // `satisfies` allows no other keys.

/** The status for an unknown parameter: in a command without an operator, the client meant it as one. */
function unknown (given: Given): StatusName {
  return given.has('rsp') || OPERATORS.some(operator => given.has(operator)) ? 'CommandSyntax' : 'FindInvalidOperator'
}

/** The operator of the command, if any. @throws {StatusError} CommandSyntax when there is a second one, or one and rsp */
function theOperator (values: { readonly [O in Operator]?: JsonText }, rsp: string | undefined): Operator | undefined {
  const [operator, second] = OPERATORS.filter(operator => values[operator] !== undefined)
  const extra = rsp === undefined ? second : operator
  if (extra !== undefined) throw new StatusError('CommandSyntax', extra, 'Give one operator, or rsp.')
  return operator
}

export const KV_FIND = keyCommand({
  tag: 'keys',
  summary: 'Find keys by their values',
  description: 'With a JSON Pointer and one operator: the names of the keys whose value there compares so. With a JSONPath and `rsp`: the keys whose value it selects something in, as names (`keys`), normalized paths (`paths`) or names and values (`kv`). `keys` limits the search.',
  params: {
    path: pathParamOf('FindNoPath'),
    rsp: optional(Type.String({ enum: RSP, description: 'What to answer: keys, paths or kv.' })),
    keys: optionalKeyNamesParam,
    ...operators,
    tkn: tknParam,
  },
  reply: Type.Object({
    tkn: Token,
    keys: Type.Optional(namesOrValues({ description: 'Names of keys; with rsp kv, an object of values by key.' })),
    paths: Type.Optional(MapOf(Type.Array(Type.String()), { $id: 'KeyPaths', description: 'With rsp paths: normalized paths (RFC 9535) by key.' })),
  }),
  failures: ['CommandSyntax', 'FindInvalidOperator', 'FindNoOperator', 'PathInvalid', 'ValueSize'],
  example: { params: { tkn: EXAMPLE_TOKEN, path: '/price', '>=': 10 }, reply: { tkn: EXAMPLE_TOKEN, keys: ['item:1', 'item:7'] } },
  readOnly: true,
  unknown,
  plan: ({ tkn, path: text, rsp, keys, ...values }) => {
    const operator = theOperator(values, rsp)
    if (operator === undefined && rsp === undefined) throw new StatusError('FindNoOperator', '', 'Give one operator (==, >, >=, < or <=) and a JSON Pointer as path, or rsp (keys, paths or kv) and a JSONPath.')
    const path = parsePath(text)
    const search = operator === undefined
      ? searchByQuery(path, rsp as string)
      : searchByOperator(path, operator, values[operator] as JsonText)
    return {
      reads: keys === undefined ? { all: true } : { get: keys },
      decide: view => {
        const entries = candidates(view, keys)
        return { reply: { tkn, ...searching(() => search(entries)) } }
      },
    }
  },
})
