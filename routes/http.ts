import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { JsonError } from '../src/json/lexer.js'
import { scan, type Document, type Opens } from '../src/json/scanner.js'
import type { Given, Params } from '../src/protocol/param.js'
import { givenBy } from '../src/protocol/request.js'
import { Refusal, refuseAs, refuseTransport, transportProblem } from './problem.js'

/** What every route below /sessions/:tkn has in its URL. */
export const tokenParams = Type.Object({ tkn: Type.String() })
export type TokenParams = Static<typeof tokenParams>

/** Stands for the token in a path: then the header below has it, and no URL, which proxies and their logs keep. */
export const SELF = 'self'
export const TOKEN_HEADER = 'Session-Token'
/** As Node names it. */
const TOKEN_FIELD = TOKEN_HEADER.toLowerCase()

/**
 * The token of a request on /sessions/:tkn, from its path or, for `self`, from the header.
 * @throws {Refusal} SessionTokenInvalid for `self` without the header; 400 when there are two tokens
 */
export function tokenOf (request: FastifyRequest<{ Params: TokenParams }>): string {
  const header = request.headers[TOKEN_FIELD]
  const { tkn } = request.params
  if (header === undefined) return tkn === SELF ? refuseAs('SessionTokenInvalid', 'tkn', `/sessions/${SELF} wants the token in the header ${TOKEN_HEADER}.`) : tkn
  if (tkn !== SELF) refuseTransport(400, `The token stands in the path and in ${TOKEN_HEADER}: with the header the path is /sessions/${SELF}.`)
  if (header.includes(', ') && isTwice(request, TOKEN_FIELD)) refuseTransport(400, `The request has ${TOKEN_HEADER} twice.`)
  return header === '' ? refuseAs('SessionTokenInvalid', 'tkn', `${TOKEN_HEADER} is empty.`) : String(header)
}

/**
 * Whether a header was sent more than once. Node joins the values of most with a comma and a space, and takes the first of some.
 * @param field its name in lower case
 */
export function isTwice ({ raw: { rawHeaders } }: FastifyRequest, field: string): boolean {
  return rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === field).length > 1
}

/** RFC 9110, section 8.3.1, as far as the parameters. */
const MEDIA_TYPE = /^\s*[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;|$)/

const UTF8 = /;\s*charset\s*=\s*"?utf-?8"?\s*(?:;|$)/i

export const JSON_TYPE = 'application/json'
export const MERGE_PATCH_TYPE = 'application/merge-patch+json'

/** Takes bodies as bytes: the scanner of the commands says what is in them. */
export function takeBodies (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  for (const type of [JSON_TYPE, MERGE_PATCH_TYPE]) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, (request: FastifyRequest, body: Buffer, done) => {
      done(bodyFault(request, body), body.length > 0 ? body : undefined)
    })
  }
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request: FastifyRequest, body: Buffer, done) => {
    done(body.length > 0 ? unsupported(JSON_TYPE) : null, undefined)
  })
  // Generated clients send a Content-Type, even a malformed one, with requests that have no body. Without the header the parser
  // above decides by whether there is a body.
  app.addHook('onRequest', ({ headers }, _reply, done) => {
    const type = headers['content-type']
    if (type !== undefined && !MEDIA_TYPE.test(type)) delete headers['content-type']
    done()
  })
}

/** Why the bytes of a body cannot be taken for JSON; null when they can. */
function bodyFault ({ headers }: FastifyRequest, body: Buffer): Refusal | null {
  if (body.length === 0) return null
  const type = headers['content-type'] ?? ''
  if (type !== JSON_TYPE && /charset/i.test(type) && !UTF8.test(type)) return unsupported(JSON_TYPE, ' in UTF-8')
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return unsupported(JSON_TYPE, ' without a Content-Encoding')
  return null
}

function unsupported (type: string, how = ''): Refusal {
  return new Refusal(transportProblem(415, `Send the body as Content-Type: ${type}${how}.`))
}

/** The body as bytes; undefined when it is empty. */
export function bodyOf (request: FastifyRequest): Buffer | undefined {
  return request.body as Buffer | undefined // What takeBodies() makes of it.
}

/** Only a single key's PATCH is a merge patch as a whole. @throws {Refusal} 415 */
export function refuseMergePatch (request: FastifyRequest): void {
  if (request.body !== undefined && request.headers['content-type']?.toLowerCase().startsWith(MERGE_PATCH_TYPE)) throw unsupported(JSON_TYPE)
}

/**
 * The parameters in a body.
 * @param opens as opensForParams() gives it
 * @throws {Refusal} JsonInvalid, CommandType
 */
export function parametersIn (body: Buffer, params: Params, opens: Opens): Given {
  const document = scanned(body, opens)
  return givenBy(params, document, document.root) ?? refuseAs('CommandType', '', 'The parameters have to be a JSON object.')
}

function scanned (body: Buffer, opens: Opens): Document {
  try {
    return scan(body, opens)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return refuseAs('JsonInvalid', '', error.message)
  }
}

/** A query as names and values in their order. @throws {Refusal} 400 when it is not percent-encoded UTF-8 */
export function queryOf (request: FastifyRequest): Array<readonly [string, string]> {
  const start = request.raw.url?.indexOf('?') ?? -1
  if (start < 0) return []
  try {
    return (request.raw.url ?? '').slice(start + 1).split('&').filter(part => part !== '').map(part => {
      const at = part.indexOf('=')
      return at < 0 ? [decode(part), ''] as const : [decode(part.slice(0, at)), decode(part.slice(at + 1))] as const
    })
  } catch {
    return refuseTransport(400, 'The query is not well-formed: percent-encode it as UTF-8 (RFC 3986).')
  }
}

function decode (text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}

/** Refuses a precondition where it would not be kept: to ignore it would lose updates. @throws {Refusal} */
export function refusePreconditions (request: FastifyRequest): void {
  for (const name of ['If-Match', 'If-None-Match']) {
    if (request.headers[name.toLowerCase()] !== undefined) {
      refuseAs('CommandSyntax', name, `${name} works on /sessions/{tkn}/keys/{key} only.`)
    }
  }
}
