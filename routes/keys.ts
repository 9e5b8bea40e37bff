import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { COMMANDS } from '../src/commands/index.js'
import type { Gateway } from '../src/protocol/gateway.js'
import { scan } from '../src/json/scanner.js'
import type { JsonText } from '../src/json/text.js'
import { keyFault } from '../src/key.js'
import { MAX_KEY_BYTES, MAX_VALUE_LENGTH } from '../src/limits.js'
import { checkerOf, required, type Values } from '../src/protocol/param.js'
import { entityTag, matchesWeakly, type EntityTags, type Precondition } from '../src/protocol/precondition.js'
import { givenBy, opensForParams } from '../src/protocol/request.js'
import { JsonValue } from '../src/protocol/schema.js'
import { statusName, StatusError, type StatusName } from '../src/status.js'
import { bodyOf, queryOf, refuseMergePatch } from './http.js'
import { sendJson } from './problem.js'

export const KEY_URL = '/sessions/:tkn/keys/:key'

const KeyParams = Type.Object({ tkn: Type.String(), key: Type.String() })
type KeyRequest = FastifyRequest<{ Params: Static<typeof KeyParams> }>

const KEY_TOO_LONG = `A key is at most ${MAX_KEY_BYTES} bytes in UTF-8.`

/** The members of a key's representation. */
export const representation = { value: required(JsonValue) }
const checkRepresentation = checkerOf(representation)
const representationOpens = opensForParams(representation)

/** The four routes of one key, whose representation is `{"value": …}` (PROTOCOL 5). HEAD comes with GET. */
export function mountKeys (app: FastifyInstance, gateway: Gateway): void {
  const schema = { params: KeyParams }

  app.get<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, async (request, reply) => {
    const ifNoneMatch = tags(request, 'If-None-Match')
    const value = await read(gateway, request)
    if (value === undefined) throw new StatusError('KeyNotExist', 'key')
    reply.header('etag', entityTag(value))
    if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, value)) return await reply.code(304).send()
    return await sendJson(reply, `{"value":${value}}`)
  })

  app.put<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, async (request, reply) => {
    refuseMergePatch(request)
    const { value } = bodyValue(request)
    const status = await change(gateway, 'KV_SET', request, value)
    if (status === 'ValueTypeInvalid') throw new StatusError(status, 'value', 'null is not a value: DELETE removes a key.')
    if (status !== 'KeySet' && status !== 'KeyUpdated') throw new StatusError(status, 'key', KEY_TOO_LONG)
    return await reply.code(status === 'KeySet' ? 201 : 204).header('etag', entityTag(value)).send()
  })

  app.patch<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, async (request, reply) => {
    const status = await change(gateway, 'KV_MERGE', request, bodyValue(request).value)
    if (status === 'ValueSize' && keyFault(request.params.key) !== undefined) throw new StatusError(status, 'key', KEY_TOO_LONG)
    if (status === 'ValueSize') throw new StatusError(status, 'value', `A value can grow to ${MAX_VALUE_LENGTH} characters at most.`)
    return await reply.code(204).send()
  })

  app.delete<{ Params: Static<typeof KeyParams> }>(KEY_URL, { schema }, async (request, reply) => {
    if (bodyOf(request) !== undefined) throw new StatusError('CommandSyntax', '', 'This route takes no body.')
    const status = await change(gateway, 'KV_RMV', request)
    if (status !== 'KeyRemoved') throw new StatusError(status, 'key')
    return await reply.code(204).send()
  })
}

/** The key of the URL. @throws {StatusError} when there is a query, which no route here has */
function given (request: KeyRequest): { tkn: string, key: string } {
  const [first] = queryOf(request)
  if (first !== undefined) throw new StatusError('CommandSyntax', first[0], 'This route takes no query.')
  return request.params
}

/** The value of the key, once If-Match holds. */
async function read (gateway: Gateway, request: KeyRequest): Promise<JsonText | undefined> {
  const { tkn, key } = given(request)
  const ifMatch = tags(request, 'If-Match')
  const reply = await COMMANDS.KV_GET.run(gateway, new Map<string, unknown>([['tkn', tkn], ['keys', [key]]]), ifMatch && { key, ifMatch, ifNoneMatch: undefined, needsKey: true })
  // The reply of KV_GET, which has null for a key that does not exist.
  return (reply as { keys: Map<string, JsonText | null> }).keys.get(key) ?? undefined
}

/** Carries out a command on the key alone, in one step with its preconditions; the status of the key. */
async function change (gateway: Gateway, name: 'KV_SET' | 'KV_MERGE' | 'KV_RMV', request: KeyRequest, value?: JsonText): Promise<StatusName> {
  const { tkn, key } = given(request)
  const keys = value === undefined ? [key] : new Map([[key, value]])
  const parameters = new Map<string, unknown>([['tkn', tkn], ['keys', keys]])
  const reply = await COMMANDS[name].run(gateway, parameters, precondition(request, key, name === 'KV_RMV'))
  // The reply of these three, which has a status for each key.
  return statusName((reply as { keys: Map<string, number> }).keys.get(key) as number)
}

function bodyValue (request: KeyRequest): Values<typeof representation> {
  const document = scan(bodyOf(request) ?? Buffer.from('{}'), representationOpens)
  return checkRepresentation(givenBy(representation, document, document.root))
}

/** Undefined when there is none, so that what needs no old value does not read it. */
function precondition (request: KeyRequest, key: string, needsKey: boolean): Precondition | undefined {
  const [ifMatch, ifNoneMatch] = [tags(request, 'If-Match'), tags(request, 'If-None-Match')]
  return ifMatch === undefined && ifNoneMatch === undefined ? undefined : { key, ifMatch, ifNoneMatch, needsKey }
}

/** RFC 9110 has recipients ignore empty elements of a list. */
const TAG_LIST = /^(?:[\s,]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?=\s*(?:,|$)))+[\s,]*$/
const TAG = /(?:W\/)?"[^"]*"/g

/** The entity tags of a header (RFC 9110, section 8.8.3). @throws {StatusError} when it has something else */
function tags (request: FastifyRequest, name: 'If-Match' | 'If-None-Match'): EntityTags | undefined {
  const header = request.headers[name.toLowerCase()]
  if (header === undefined) return undefined
  const text = String(header).trim()
  if (text === '*') return text
  if (!TAG_LIST.test(text)) throw new StatusError('CommandSyntax', name, `${name} is * or a list of entity tags in double quotes.`)
  return text.match(TAG) ?? []
}
