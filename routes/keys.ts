import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { andThen, type Awaitable } from '../src/awaitable.js'
import { dispatch, isFailure, type Call, type Report } from '../src/dispatch.js'
import type { Gateway } from '../src/protocol/gateway.js'
import type { JsonText } from '../src/json/text.js'
import { keyFault, MAX_KEY_BYTES, MAX_VALUE_CHARACTERS } from '../src/limits.js'
import { checkOf, required } from '../src/protocol/param.js'
import { entityTag, matchesWeakly, type EntityTags, type Precondition } from '../src/protocol/precondition.js'
import { opensForParams } from '../src/protocol/request.js'
import { JsonValue } from '../src/protocol/schema.js'
import { statusName, type StatusName } from '../src/status.js'
import { bodyOf, parametersIn, queryOf, refuseMergePatch, tokenOf } from './http.js'
import { asEmpty, asJson, failureProblem, Refusal, refuseAs, refuseTransport } from './problem.js'

export const KEY_URL = '/sessions/:tkn/keys/:key'

const KeyParams = Type.Object({ tkn: Type.String(), key: Type.String() })
type KeyRequest = FastifyRequest<{ Params: Static<typeof KeyParams> }>

const KEY_TOO_LONG = `A key is at most ${MAX_KEY_BYTES} bytes in UTF-8.`

/** The members of a key's representation. */
export const representation = { value: required(JsonValue) }
const checkRepresentation = checkOf(representation)
const representationOpens = opensForParams(representation)

const NO_MEMBERS = Buffer.from('{}')

/** The four routes of one key, whose representation is `{"value": …}` (PROTOCOL 5). HEAD comes with GET. */
export function mountKeys (app: FastifyInstance, gateway: Gateway, report: Report): void {
  const schema = { params: KeyParams }

  app.get<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, (request, reply) => {
    const ifNoneMatch = tags(request, 'If-None-Match')
    return andThen(read(gateway, report, request), value => {
      if (value === undefined) return refuseAs('KeyNotExist', 'key')
      reply.header('etag', entityTag(value))
      if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, value)) return asEmpty(reply, 304)
      return asJson(reply, `{"value":${value}}`)
    })
  })

  app.put<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, (request, reply) => {
    refuseMergePatch(request)
    const value = bodyValue(request)
    return andThen(change(gateway, report, 'KV_SET', request, value), status => {
      if (status === 'ValueTypeInvalid') refuseAs(status, 'value', 'null is not a value: DELETE removes a key.')
      if (status !== 'KeySet' && status !== 'KeyUpdated') refuseAs(status, 'key', KEY_TOO_LONG)
      return asEmpty(reply.header('etag', entityTag(value)), status === 'KeySet' ? 201 : 204)
    })
  })

  app.patch<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, (request, reply) => andThen(change(gateway, report, 'KV_MERGE', request, bodyValue(request)), status => {
    if (status === 'ValueSize' && keyFault(request.params.key) !== undefined) refuseAs(status, 'key', KEY_TOO_LONG)
    if (status === 'ValueSize') refuseAs(status, 'value', `A value can grow to ${MAX_VALUE_CHARACTERS} characters at most.`)
    return asEmpty(reply, 204)
  }))

  app.delete<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, (request, reply) => {
    if (bodyOf(request) !== undefined) refuseAs('CommandSyntax', '', 'This route takes no body.')
    return andThen(change(gateway, report, 'KV_RMV', request), status => {
      if (status !== 'KeyRemoved') refuseAs(status, 'key')
      return asEmpty(reply, 204)
    })
  })
}

/** Parts of a path that proxies and clients resolve, so that a request for one key would reach something else. */
const NO_PARTS = ['', '.', '..']

/** The token and the key of the request. @throws {Refusal} when there is a query, which no route here has; 404 for a key that cannot stand in a path */
function given (request: KeyRequest): { tkn: string, key: string } {
  const { key } = request.params
  if (NO_PARTS.includes(key)) refuseTransport(404, '`.`, `..` and the empty key cannot stand in a path: use ?key=')
  const [first] = queryOf(request)
  if (first !== undefined) refuseAs('CommandSyntax', first[0], 'This route takes no query.')
  return { tkn: tokenOf(request), key }
}

/** The value of the key, once If-Match holds. */
function read (gateway: Gateway, report: Report, request: KeyRequest): Awaitable<JsonText | undefined> {
  const { tkn, key } = given(request)
  const ifMatch = tags(request, 'If-Match')
  const precondition = ifMatch && { key, ifMatch, ifNoneMatch: undefined, needsKey: true }
  return andThen(succeed(gateway, { command: 'KV_GET', caller: request.caller, given: parameters(tkn, [key]), precondition, report }), reply => {
    // The reply of KV_GET, which has null for a key that does not exist.
    return (reply as { keys: Map<string, JsonText | null> }).keys.get(key) ?? undefined
  })
}

/** Carries out a command on the key alone, in one step with its preconditions; the status of the key. */
function change (gateway: Gateway, report: Report, name: 'KV_SET' | 'KV_MERGE' | 'KV_RMV', request: KeyRequest, value?: JsonText): Awaitable<StatusName> {
  const { tkn, key } = given(request)
  const keys = value === undefined ? [key] : new Map([[key, value]])
  const precondition = preconditionOf(request, key, name === 'KV_RMV')
  return andThen(succeed(gateway, { command: name, caller: request.caller, given: parameters(tkn, keys), precondition, report }), reply => {
    // The reply of these three, which has a status for each key.
    return statusName((reply as { keys: Map<string, number> }).keys.get(key) as number)
  })
}

function parameters (tkn: string, keys: unknown): Map<string, unknown> {
  return new Map([['tkn', tkn], ['keys', keys]])
}

/** The reply of a command. @throws {Refusal} when it failed as a whole */
function succeed (gateway: Gateway, call: Call): Awaitable<unknown> {
  return andThen(dispatch(gateway, call), result => {
    if (isFailure(result)) throw new Refusal(failureProblem(result))
    return result.reply
  })
}

/** @throws {Refusal} when the body is no representation of a key */
function bodyValue (request: KeyRequest): JsonText {
  const given = parametersIn(bodyOf(request) ?? NO_MEMBERS, representation, representationOpens)
  const failure = checkRepresentation(given, {})
  if (failure !== undefined) throw new Refusal(failureProblem(failure))
  return given.get('value') as JsonText // As the representation has it.
}

/** Undefined when there is none, so that what needs no old value does not read it. */
function preconditionOf (request: KeyRequest, key: string, needsKey: boolean): Precondition | undefined {
  const [ifMatch, ifNoneMatch] = [tags(request, 'If-Match'), tags(request, 'If-None-Match')]
  return ifMatch === undefined && ifNoneMatch === undefined ? undefined : { key, ifMatch, ifNoneMatch, needsKey }
}

/** RFC 9110 has recipients ignore empty elements of a list. */
const TAG_LIST = /^(?:[\s,]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?=\s*(?:,|$)))+[\s,]*$/
const TAG = /(?:W\/)?"[^"]*"/g

/** The entity tags of a header (RFC 9110, section 8.8.3). @throws {Refusal} when it has something else */
function tags (request: FastifyRequest, name: 'If-Match' | 'If-None-Match'): EntityTags | undefined {
  const header = request.headers[name.toLowerCase()]
  if (header === undefined) return undefined
  const text = String(header).trim()
  if (text === '*') return text
  if (!TAG_LIST.test(text)) refuseAs('CommandSyntax', name, `${name} is * or a list of entity tags in double quotes.`)
  return text.match(TAG) ?? []
}
