import { Kind } from '@sinclair/typebox'
import { JSON_TYPE } from '../routes/http.js'
import { failureProblem, Problem, PROBLEM_TYPE, transportProblem } from '../routes/problem.js'
import type { Command } from '../src/protocol/command.js'
import { MAX_KEY_BYTES } from '../src/limits.js'
import type { Param } from '../src/protocol/param.js'
import { failureOf, STATUSES, type StatusName } from '../src/status.js'
import type { Components, Json } from './components.js'
import { ErrorReply } from './schemas.js'

/** Where in a request a parameter stands. */
export type Place = 'path' | 'query' | 'body'

const LONG = 'x'.repeat(MAX_KEY_BYTES + 1)
const LONE = '\ud800'

// What a parameter can fail with is found by asking it about values of each kind that can reach it, so that the document
// says what the code does. A URL has well-formed strings only. A body can have anything, and a JSON value in it is always right.
const FROM_BODY = [null, true, -1, 0.5, '', LONG, LONE, [], [0], [LONG], [LONE], {}, new Map()]
const FROM_URL: Readonly<Record<string, readonly unknown[]>> = { String: ['', LONG], Integer: ['x', 0], Boolean: ['x', false], Array: [['', LONG]] }

function faultsOf ({ schema, missing, optional, fault }: Param, place: Place): Array<StatusName | undefined> {
  const inBody = schema[Kind] === 'JsonText' ? [] : FROM_BODY
  const values = place === 'body' ? inBody : FROM_URL[schema[Kind]] ?? []
  return [optional || place === 'path' ? undefined : missing, ...values.map(fault)]
}

/** What a command can fail with as a whole, by itself and by its parameters. */
export function failuresOf ({ params, failures }: Command, placeOf: (name: string) => Place): StatusName[] {
  const faults = Object.entries(params).flatMap(([name, param]) => faultsOf(param, placeOf(name)))
  return [...failures, ...faults.filter(fault => fault !== undefined)]
}

/** What an API key can be wrong with. */
export const KEY_FAILURES: readonly StatusName[] = ['Unauthorized', 'Forbidden']

/** What any body can be wrong with. */
export const IN_BODY: readonly StatusName[] = ['JsonInvalid', 'CommandType']

interface Failure extends Json {
  readonly description: string
  readonly content: Json
}

const STATUS_NAMES = Object.keys(STATUSES) as StatusName[] // The table's own keys.

/** The replies to requests that were refused or could not be carried out, by HTTP status. */
export function problemReplies (failures: readonly StatusName[], components: Components): Record<number, Json> {
  const all = new Set<StatusName>([...failures, 'Unknown'])
  const statuses = STATUS_NAMES.filter(status => all.has(status))
  const codes = new Set([400, ...statuses.map(status => STATUSES[status].http)])
  return Object.fromEntries([...codes].map(code => {
    const ofCode = statuses.filter(status => STATUSES[status].http === code)
    const reply = () => problemReply(code, ofCode, components)
    return [code, code === 400 ? reply() : components.refer('responses', ofCode.join('Or'), reply)]
  }))
}

const BUSY = 'The command was carried out, but its long reply cannot be kept while so many others wait for their clients to read them: read again after the seconds in Retry-After.'
const RETRY_HEADERS = { headers: { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' }, example: 1 } } }
const CHALLENGE_HEADERS = { headers: { 'WWW-Authenticate': { description: 'RFC 6750.', schema: { type: 'string' }, example: 'Bearer realm="holdfast"' } } }
const MALFORMED = 'The HTTP or the URL of the request is not well-formed.'

function problemReply (code: number, statuses: readonly StatusName[], components: Components): Failure {
  const lines = statuses.map(lineOf)
  const examples: Record<string, Json> = Object.fromEntries(statuses.map(status => [status, statusExample(status, components)]))
  if (code === 503) {
    lines.push(`- no \`st\`: ${BUSY}`)
    examples.Busy = transportExample('Busy', code, BUSY, components)
  } else if (code === 400) {
    // Whatever the operation, its request can be malformed.
    lines.push(`- no \`st\`: ${MALFORMED}`)
    examples.Malformed = transportExample('Malformed', code, MALFORMED, components)
  }
  return { description: lines.join('\n'), ...code === 503 && RETRY_HEADERS, ...code === 401 && CHALLENGE_HEADERS, content: { [PROBLEM_TYPE]: { schema: components.schema(Problem), examples } } }
}

export function lineOf (status: StatusName): string {
  return `- \`${status}\` (${STATUSES[status].st}): ${STATUSES[status].meaning}`
}

function statusExample (status: StatusName, components: Components): Json {
  return components.refer('examples', status, () => ({ summary: STATUSES[status].meaning, value: failureProblem(failureOf(status)) }))
}

function transportExample (name: string, code: number, detail: string, components: Components): Json {
  return components.refer('examples', name, () => ({ summary: detail, value: transportProblem(code, detail) }))
}

/** The reply 400 of /command and /commands, which is `ERR` for what they could read. */
export function errorReply (errors: readonly StatusName[], failures: readonly StatusName[], components: Components): Failure {
  const { description, content } = problemReply(400, failures, components)
  return {
    description: ['With `ERR`, as application/json:', ...errors.map(lineOf), '', 'As a problem:', description].join('\n'),
    content: {
      [JSON_TYPE]: { schema: components.schema(ErrorReply), example: { ERR: { st: STATUSES.JsonInvalid.st, m: 'byte 0: expected a value' } } },
      ...content,
    },
  }
}

/** What fails below the protocol, by HTTP status. */
export const TRANSPORT = {
  408: { name: 'RequestTimeout', description: 'The request did not arrive in time.' },
  413: { name: 'ContentTooLarge', description: 'The body is larger than this server takes.' },
  414: { name: 'UriTooLong', description: 'A part of the path is longer than any token or key can be.' },
  415: { name: 'UnsupportedMediaType', description: 'The body is not declared as JSON in UTF-8; `detail` says what to send.' },
  429: { name: 'TooManyRequests', description: 'More commands than `--rate-limit` lets one API key, or one address, send in a time. The server says how many in RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset.' },
  431: { name: 'HeadersTooLarge', description: 'The headers, URL included, are longer than 16 kB.' },
  503: { name: 'Busy', description: BUSY },
}

/** References to the replies to what fails below the protocol, by HTTP status. */
export function transportReplies (codes: ReadonlyArray<keyof typeof TRANSPORT>, components: Components): Record<number, Json> {
  return Object.fromEntries(codes.map(code => [code, transportReply(code, TRANSPORT[code], components)]))
}

/** A reference to the reply 503 of a server that requests should not be sent to. */
export function notReadyReply (components: Components): Json {
  return transportReply(503, { name: 'NotReady', description: 'The server is stopping, or its store has failed: `detail` says which.' }, components)
}

function transportReply (code: number, { name, description }: { name: string, description: string }, components: Components): Json {
  return components.refer('responses', name, () => ({
    description,
    ...(code === 503 || code === 429) && RETRY_HEADERS,
    content: { [PROBLEM_TYPE]: { schema: components.schema(Problem), examples: { [name]: transportExample(name, code, description, components) } } },
  }))
}
