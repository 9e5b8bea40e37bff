import { Type, type TSchema } from '@sinclair/typebox'
import { JSON_TYPE, MERGE_PATCH_TYPE, SELF, TOKEN_HEADER } from '../routes/http.js'
import type { Role } from '../src/caller.js'
import { EXAMPLE_TOKEN } from '../src/commands/schemas.js'
import type { JsonText } from '../src/json/text.js'
import { entityTag } from '../src/protocol/precondition.js'
import type { StatusName } from '../src/status.js'
import { mapValues, type Components, type Json } from './components.js'
import { errorReply, notReadyReply, problemReplies, transportReplies } from './failures.js'

/** An operation, without what all of them have: the replies to what fails below the protocol. */
export interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  /** As routes have it: with `:tkn` and `:key` for these parameters. */
  readonly url: string
  readonly operationId: string
  readonly tag: 'sessions' | 'keys' | 'server' | 'envelopes'
  readonly summary: string
  readonly description: string
  readonly parameters?: ReadonlyArray<keyof typeof PARAMETERS>
  readonly query?: readonly QueryParameter[]
  readonly body?: Body | undefined
  /** Replies to requests that were carried out, by HTTP status. */
  readonly replies: Readonly<Record<number, ReplyDescription>>
  /** What is answered with a problem. */
  readonly failures: readonly StatusName[]
  /** What is answered with `ERR`, on /command and /commands. */
  readonly errors?: readonly StatusName[]
  /** Whether a 503 says that the server is not ready. */
  readonly mayBeUnready?: true
  /** The least role of an API key that it takes; `any` when that is a matter of the commands in the body; undefined when it needs no key. */
  readonly role: Role | 'any' | undefined
}

export interface QueryParameter {
  readonly name: string
  readonly required: boolean
  readonly description: string
  readonly schema: TSchema
  readonly example: unknown
}

export interface Body {
  readonly schema: TSchema
  readonly description: string
  readonly required: boolean
  readonly example: unknown
  /** Whether the body may be declared as a JSON Merge Patch too. */
  readonly mergePatch?: true
}

export interface ReplyDescription {
  readonly description: string
  readonly headers?: ReadonlyArray<keyof typeof HEADERS>
  readonly content?: { readonly schema: TSchema, readonly example: unknown }
}

const EXAMPLE_TAG = entityTag('{"name":"Ada"}' as JsonText) // Which it is: the value in single-key.ts.
const TAGS = 'Entity tags in double quotes, separated by commas; or `*` for any value.'
const text = Type.String()

/** Parameters of more than one operation. */
const PARAMETERS = {
  tkn: { in: 'path', required: true, description: `\`${SELF}\`, with the token of the session in ${TOKEN_HEADER}; or the token itself.`, schema: text, example: SELF },
  [TOKEN_HEADER]: { in: 'header', required: false, description: `The token of the session, with \`${SELF}\` in the path.`, schema: text, example: EXAMPLE_TOKEN },
  key: { in: 'path', required: true, description: 'The key, percent-encoded: `a/b` is `a%2Fb`.', schema: text, example: 'user' },
  Prefer: {
    in: 'header',
    required: false,
    description: '`return=minimal` (RFC 7240): answer only the keys that were not stored, and 204 when there are none.',
    schema: text,
    example: 'return=minimal',
  },
  'If-Match': { in: 'header', required: false, description: `Go on only if the key's value has one of these. ${TAGS}`, schema: text, example: EXAMPLE_TAG },
  'If-None-Match': { in: 'header', required: false, description: `Go on only if the key's value has none of these. ${TAGS}`, schema: text, example: EXAMPLE_TAG },
}

const HEADERS = {
  Location: { description: 'The URL of the new session.', schema: Type.String({ format: 'uri-reference' }), example: `/sessions/${EXAMPLE_TOKEN}` },
  ETag: { description: 'Strong entity tag of the value: pass it in If-Match or If-None-Match.', schema: text, example: EXAMPLE_TAG },
  'WWW-Authenticate': { description: 'RFC 6750.', schema: text, example: 'Bearer realm="holdfast"' },
  'Preference-Applied': { description: 'The preference that was honoured, if there was one.', schema: text, example: 'return=minimal' },
}

/** An operation as the document has it. */
export function writeOperation (operation: Operation, components: Components): Json {
  const { operationId, tag, summary, description, body, role } = operation
  const parameters = parametersOf(operation, components)
  return {
    operationId,
    tags: [tag],
    summary,
    description,
    ...parameters.length > 0 && { parameters },
    ...role === undefined && { security: [] },
    ...body !== undefined && { requestBody: writeBody(body, components) },
    responses: responsesOf(operation, components),
  }
}

function parametersOf ({ parameters = [], query = [] }: Operation, components: Components): Json[] {
  return [
    ...parameters.map(name => components.refer('parameters', componentName(name), () => ({ name, ...withSchema(PARAMETERS[name], components) }))),
    ...query.map(parameter => ({ in: 'query', ...withSchema(parameter, components) })),
  ]
}

function withSchema<T extends { readonly schema: TSchema }> (part: T, components: Components): Json {
  return { ...part, schema: components.schema(part.schema) }
}

/** `IfMatch` of `If-Match`. */
function componentName (name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1).replaceAll('-', '')
}

function writeBody ({ description, required, mergePatch, schema, example }: Body, components: Components): Json {
  const content = withSchema({ schema, example }, components)
  // Several generators of clients send the first type, and several send application/json whatever stands here.
  return { description, required, content: { [JSON_TYPE]: content, ...mergePatch && { [MERGE_PATCH_TYPE]: content } } }
}

function responsesOf ({ method, parameters = [], replies, failures, errors, mayBeUnready, role }: Operation, components: Components): Json {
  return {
    ...mapValues(replies, reply => writeReply(reply, components)),
    ...transportReplies([408, 431, 503], components),
    ...role !== undefined && transportReplies([429], components),
    ...mayBeUnready && { 503: notReadyReply(components) },
    ...problemReplies(failures, components),
    ...errors !== undefined && { 400: errorReply(errors, failures, components) },
    // A body is looked at wherever there can be one, also where none is wanted.
    ...method !== 'get' && transportReplies([413, 415], components),
    ...parameters.includes('tkn') && transportReplies([414], components),
  }
}

function writeReply ({ description, headers = [], content }: ReplyDescription, components: Components): Json {
  const written = headers.map(name => [name, components.refer('headers', componentName(name), () => withSchema(HEADERS[name], components))])
  return {
    description,
    ...headers.length > 0 && { headers: Object.fromEntries(written) },
    ...content !== undefined && { content: { [JSON_TYPE]: withSchema(content, components) } },
  }
}
