// Whether what the server answers is what the OpenAPI document says. For every test that sends requests.
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import { openApi } from '../openapi/document.js'
import { statusName } from '../src/status.js'

export type Json = Readonly<Record<string, unknown>>

/** The 3.1 document as a client gets it. */
export const DOCUMENT: Json = plain(openApi('3.1'))

function plain (document: object): Json {
  return JSON.parse(JSON.stringify(document)) as Json // What was an object is one.
}

/** Whether a value is an object, array or not, whose members can be looked at. */
export function isObject (value: unknown): value is Json {
  return typeof value === 'object' && value !== null
}

/** Calls back for every object inside a value, itself first. */
export function eachObject (value: unknown, visit: (object: Json, path: readonly string[]) => void, path: readonly string[] = []): void {
  if (!isObject(value)) return
  visit(value, path)
  for (const [name, item] of Object.entries(value)) eachObject(item, visit, [...path, name])
}

/** A client has to take members that it does not know, so the document allows them. The server has to have none of them. */
const strict = plain(DOCUMENT)
eachObject(strict.components, object => {
  // The copy is ours alone.
  if (isObject(object.properties) && object.additionalProperties === undefined) (object as Record<string, unknown>).additionalProperties = false
})

const ajv = new Ajv2020({ strict: false, allErrors: true })
formats.default(ajv)
ajv.addSchema(strict, 'http://document/openapi.json')

/** What stands at a path in the document, references followed, and the path where it really stands. */
export function locate (...path: readonly string[]): { readonly value: unknown, readonly path: readonly string[] } {
  let value: unknown = DOCUMENT
  let real: string[] = []
  for (const name of path) {
    value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
    real.push(name)
    while (isObject(value) && typeof value.$ref === 'string') {
      real = value.$ref.slice('#/'.length).split('/')
      value = real.reduce<unknown>((whole, part) => isObject(whole) ? whole[part] : undefined, DOCUMENT)
    }
  }
  return { value, path: real }
}

const validators = new Map<string, ValidateFunction>()

/** What is wrong with a value by the schema at a path of the document; nothing when it fits. */
export function faultsBySchema (path: readonly string[], value: unknown): string[] {
  const pointer = path.map(part => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
  const validate = validators.get(pointer) ?? ajv.compile({ $ref: `http://document/openapi.json#/${pointer}` })
  validators.set(pointer, validate)
  return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`)
}

/**
 * What of a reply is not as the document says; nothing when all is.
 * @param url of the route: `/sessions/:tkn`, or `/sessions/{tkn}`
 * @param contentType the header; undefined when there was none
 */
export function validateReply (method: string, url: string, status: number, contentType: string | undefined, body: string): string[] {
  const path = url.replaceAll(/:(\w+)/g, '{$1}')
  const { value: reply, path: place } = locate('paths', path, method.toLowerCase(), 'responses', String(status))
  if (!isObject(reply)) return [`${method} ${path}: the document has no reply ${status}`]
  return bodyFaults(reply, place, contentType, body).map(fault => `${method} ${path} ${status}: ${fault}`)
}

function bodyFaults (reply: Json, place: readonly string[], contentType = '', body: string): string[] {
  if (reply.content === undefined) return body === '' ? [] : ['the document has no body']
  const [type = ''] = contentType.split(';')
  if (!isObject(reply.content) || !Object.hasOwn(reply.content, type)) return [`the document has no body of type ${type}`]
  const value: unknown = JSON.parse(body)
  return [...faultsBySchema([...place, 'content', type, 'schema'], value), ...statusFaults(reply, value)]
}

/** The description of a failure lists the statuses that it can have. */
function statusFaults ({ description }: Json, value: unknown): string[] {
  if (!isObject(value)) return []
  const { st } = isObject(value.ERR) ? value.ERR : value
  const isFailure = isObject(value.ERR) || value.type !== undefined
  if (!isFailure || typeof st !== 'number') return []
  return String(description).includes(`\`${statusName(st)}\``) ? [] : [`the document does not say that the status can be ${statusName(st)}`]
}

/**
 * Has every reply of an application checked, except what has no operation: 405, 404 of no route, and HEAD.
 * @param report is called for each fault
 */
export function checkReplies (app: FastifyInstance, report: (fault: string) => void): void {
  app.addHook('onSend', async ({ method, routeOptions: { url } }, reply, payload) => {
    if (url === undefined || locate('paths', url.replaceAll(/:(\w+)/g, '{$1}'), method.toLowerCase()).value === undefined) return
    const contentType = reply.getHeader('content-type')
    const body = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload.toString() : ''
    for (const fault of validateReply(method, url, reply.statusCode, contentType === undefined ? undefined : String(contentType), body)) report(fault)
  })
}
