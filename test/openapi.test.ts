// The OpenAPI documents: up to date, usable by generators of clients, and true. Linters read them in linters.test.ts.
import { readFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { TSchema } from '@sinclair/typebox'
import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { openApi } from '../openapi/document.js'
import { DOCUMENTS, FOLDER, PAGES, PAGES_FOLDER, writeFiles } from '../openapi/generate.js'
import { TOKEN_HEADER } from '../routes/http.js'
import { buildApp } from '../src/app.js'
import type { Command } from '../src/protocol/command.js'
import { COMMAND_NAMES, COMMANDS } from '../src/commands/index.js'
import { EXAMPLE_TOKEN } from '../src/commands/schemas.js'
import { createGateway } from '../src/protocol/gateway.js'
import { memoryStore } from '../src/stores/memory.js'
import { DOCUMENT, eachObject, faultsBySchema, isObject, locate, validateReply, type Json } from './document.js'
import { overriding } from './overriding.js'

/** An operation of the document, and where it stands. */
interface Operation { readonly method: string, readonly path: string, readonly operation: Json, readonly place: readonly string[] }

function operationsOf ({ paths }: Json): Operation[] {
  return Object.entries(paths as Json).flatMap(([path, item]) => Object.entries(item as Json).map(([method, operation]) => // As OpenAPI has them.
    ({ method, path, operation: operation as Json, place: ['paths', path, method] })))
}

const OPERATIONS = operationsOf(DOCUMENT)

t.test('the committed documents and the page of reference are what the code makes', async t => {
  for (const [folder, files] of [[FOLDER, DOCUMENTS], [PAGES_FOLDER, PAGES]] as const) {
    const written = t.testdir()
    writeFiles(pathToFileURL(`${written}/`), files)
    for (const [name, made] of Object.entries(files)) {
      t.equal(readFileSync(new URL(name, folder), 'utf8') === made, true, `${name} is out of date: run \`npm run openapi\``)
      t.equal(readFileSync(`${written}/${name}`, 'utf8') === made, true, `${name} is written`)
    }
  }
})

t.test('both versions describe the same', async t => {
  const older = openApi('3.0') as Json
  const names = (document: Json) => operationsOf(document).map(({ method, path, operation }) => `${method} ${path} ${operation.operationId}`)
  t.strictSame(names(older), names(DOCUMENT))
  t.match([older.openapi, DOCUMENT.openapi], ['3.0.3', '3.1.0'])
  // Once null is written in one way and the version and the licence are left out, they are equal.
  const nullable = (document: unknown): unknown => JSON.parse(JSON.stringify(document, (_name, value: unknown) =>
    isObject(value) && Array.isArray(value.type) ? { ...value, type: value.type[0] as unknown, nullable: true } : value))
  const common = ({ openapi, info, ...rest }: Json) => ({ ...rest, info: { ...info as Json, license: undefined } }) // As OpenAPI has it.
  t.strictSame(nullable(common(older)), nullable(common(DOCUMENT)))
})

t.test('every operation says what a client programmer needs', async t => {
  const tags = (DOCUMENT.tags as Json[]).map(({ name, description }) => { // As OpenAPI has it.
    t.type(description, 'string', `the tag ${String(name)} is described`)
    return name
  })
  const ids = OPERATIONS.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'no id stands twice')
  for (const { method, path, operation, place } of OPERATIONS) {
    const { operationId, summary, description, tags: own } = operation
    t.match({ operationId, summary, description }, { operationId: /^[a-z][A-Za-z]+$/, summary: /^[A-Z].*[^.]$/, description: /\.$/ }, `${method} ${path}`)
    t.ok(Array.isArray(own) && own.length === 1 && tags.includes(own[0]), `${operationId} has one tag`)
    for (const name of path.match(/(?<=\{)\w+(?=\})/g) ?? []) t.ok(parametersOf(place, operation).some(parameter => parameter.in === 'path' && parameter.name === name), `${operationId} has ${name}`)
    for (const status of ['400', '408', '431', '500']) t.ok(isObject(locate(...place, 'responses', status).value), `${operationId} has ${status}`)
    for (const status of Object.keys(operation.responses as Json)) { // As OpenAPI has it.
      t.match(locate(...place, 'responses', status).value, { description: String }, `${operationId} ${status}`)
    }
  }
})

t.test('every command has an operation and stands in the envelope', async t => {
  const members = locate('components', 'schemas', 'Envelope', 'properties').value as Json // As it is made.
  t.strictSame(Object.keys(members), COMMAND_NAMES)
  const described = OPERATIONS.map(({ operation }) => String(operation.description)).join('\n')
  for (const name of COMMAND_NAMES) t.match(described, new RegExp(`(the command|it is) ${name}[.:]`), name)
})

/** What breaks one generator of clients or another. */
const AVOIDED = ['$id', 'default', 'allOf', 'anyOf', 'oneOf', 'not', 'if', 'const', 'prefixItems', 'propertyNames', 'patternProperties', 'exclusiveMinimum', 'exclusiveMaximum']

t.test('generators of clients can use the schemas', async t => {
  const schemas = locate('components', 'schemas').value as Json // As it is made.
  const names = Object.keys(schemas)
  t.strictSame(names.filter(name => !/^[A-Z][a-z]+([A-Z][a-z]+)*$/.test(name)), [], 'names are in camel case')
  t.equal(new Set(names.map(name => name.toLowerCase())).size, names.length, 'no two names differ in case only')
  t.strictSame(names.filter(name => names.includes(`New${name}`)), [], 'no name is New and another')
  eachObject(schemas, (object, path) => {
    const place = path.join('/')
    if (path.at(-1) === 'properties') {
      t.strictSame(Object.keys(object).filter(name => /\W/.test(name)), [], `${place} are names in any language`)
      return
    }
    t.strictSame(AVOIDED.filter(keyword => Object.hasOwn(object, keyword)), [], place)
    if (object.$ref !== undefined) t.strictSame(Object.keys(object), ['$ref'], place)
  })
})

t.test('schemas of one name are the same', async t => {
  const named = new Map<string, string>()
  const visit = (object: Json): void => {
    if (typeof object.$id !== 'string') return
    const text = JSON.stringify(object)
    t.equal(named.get(object.$id) ?? text, text, object.$id)
    named.set(object.$id, text)
  }
  for (const { params, reply } of Object.values<Command>(COMMANDS)) {
    for (const schema of [reply, ...Object.values(params).map(({ schema }): TSchema => schema)]) eachObject(schema, visit)
  }
  t.ok(named.size > 0)
})

function parametersOf (place: readonly string[], { parameters = [] }: Json): Json[] {
  return Object.keys(parameters as Json).map(index => locate(...place, 'parameters', index).value as Json) // As OpenAPI has them.
}

t.test('every example fits its schema', async t => {
  let examples = 0
  const fits = (place: readonly string[], value: unknown): void => {
    examples++
    t.strictSame(faultsBySchema([...place, 'schema'], value), [], place.join(' '))
  }
  eachObject(DOCUMENT, (object, path) => {
    if (object.schema === undefined) return
    if (object.example !== undefined) fits(path, object.example)
    for (const name of Object.keys(isObject(object.examples) ? object.examples : {})) fits(path, locate(...path, 'examples', name, 'value').value)
    if (path.includes('content')) t.ok(object.example !== undefined || isObject(object.examples), `${path.join(' ')} has an example`)
  })
  t.ok(examples > OPERATIONS.length)
})

/** The moment at which the examples were answered, in milliseconds. */
const NOW = (1_796_000_000 - 3600) * 1000

/** What the session of the examples holds when its example is sent. */
const KEYS: Readonly<Record<string, Json>> = {
  shInfo: { a: 1, b: 2 },
  shInfoAll: { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11, l: 12 },
  kvSet: { visits: 0 },
  kvAdd: { visits: 0 },
  kvGet: { user: { name: 'Ada' } },
  kvRmv: { user: 1 },
  kvMerge: { user: { name: 'Ada' }, old: 1 },
  kvKeys: { 'item:1': 1, 'item:2': 2, 'item:3': 3, other: 4 },
  kvCount: { a: 1, b: 2 },
  kvContains: { user: 1 },
  kvAppend: { items: ['milk'] },
  kvUpdate: { user: { address: { city: 'Paris' } } },
  kvFind: { 'item:1': { price: 10 }, 'item:2': { price: 9.5 }, 'item:7': { price: 11 } },
  kvClear: { a: 1, b: 2 },
  kvClearSet: { a: 1, b: 2, c: 3, d: 4, e: 5 },
  getKey: { user: { name: 'Ada' } },
  patchKey: { user: { name: 'Ada' } },
  deleteKey: { user: 1 },
  command: { visits: 0 },
}

/** An application as it was before the example of an operation was sent. */
async function before (t: Test, operationId: string) {
  const tokens = [EXAMPLE_TOKEN]
  const gateway = await createGateway(overriding(memoryStore(), { kind: 'lmdb' }), { now: () => NOW, newToken: () => tokens.shift() ?? `other ${Math.random()}` })
  const app = buildApp({ ...gateway, sharedToken: async () => EXAMPLE_TOKEN })
  t.teardown(async () => await app.close())
  const post = async (url: string, payload: object) => await app.inject({ method: 'POST', url, payload })
  if (operationId === 'shOpen') await post('/sessions', { name: 'settings', shared: true })
  else if (operationId !== 'shNew') {
    for (const name of ['basket', 'other', 'another']) await post('/sessions', { name, expiry: { duration: 3600, deleteSession: true } })
    await post(`/sessions/${EXAMPLE_TOKEN}/keys`, { keys: KEYS[operationId] ?? {} })
  }
  return app
}

/** The request that an operation gives as its example; a header beside the token only if it is asked for. */
function exampleOf ({ method, path, operation, place }: Operation, header?: string): InjectOptions & { url: string } {
  const parameters = parametersOf(place, operation)
  const query = parameters.filter(parameter => parameter.in === 'query' && parameter.example !== undefined)
    .flatMap(({ name, example }) => [example].flat().map(value => `${String(name)}=${encodeURIComponent(String(value))}`))
  const url = path.replaceAll(/\{(\w+)\}/g, (_match, name) => String(parameters.find(parameter => parameter.name === name)?.example))
  const body = locate(...place, 'requestBody', 'content', 'application/json', 'example').value
  const headers = parameters.filter(({ name }) => name === header || name === TOKEN_HEADER).map(({ name, example }): [string, string] => [String(name), String(example)])
  return {
    method: method.toUpperCase() as NonNullable<InjectOptions['method']>, // As OpenAPI has it, in lower case.
    url: query.length === 0 ? url : `${url}?${query.join('&')}`,
    headers: { ...Object.fromEntries(headers), ...body !== undefined && { 'content-type': 'application/json' } },
    ...body !== undefined && { payload: JSON.stringify(body) },
  }
}

interface Answer { readonly statusCode: number, readonly headers: Record<string, unknown>, readonly payload: string }

function fits (t: Test, { method, path, operation }: Operation, status: number, { statusCode, headers, payload }: Answer): void {
  const type = headers['content-type']
  t.equal(statusCode, status, `${String(operation.operationId)}: ${payload}`)
  t.strictSame(validateReply(method, path, statusCode, type === undefined ? undefined : String(type), payload), [], `${String(operation.operationId)} ${status} is as described`)
}

/** The documented headers of a reply, by their examples. */
function headersOf ({ place }: Operation, status: string): Record<string, unknown> {
  const { value } = locate(...place, 'responses', status, 'headers')
  return Object.fromEntries(Object.keys(isObject(value) ? value : {}).map(name => [name.toLowerCase(), locate(...place, 'responses', status, 'headers', name, 'example').value]))
}

t.test('every example is answered with its example', async t => {
  for (const one of OPERATIONS) {
    const id = String(one.operation.operationId)
    const app = await before(t, id)
    const [status = ''] = Object.keys(one.operation.responses as Json) // As OpenAPI has it.
    const reply = await app.inject(exampleOf(one))
    fits(t, one, Number(status), reply)
    const { value: example } = locate(...one.place, 'responses', status, 'content', 'application/json', 'example')
    if (id === 'openApi') t.strictSame(reply.json(), DOCUMENT)
    else if (example !== undefined) t.strictSame(reply.json(), example, `${id} answers its example`)
    const { 'preference-applied': preference, ...headers } = headersOf(one, status)
    t.match(reply.headers, headers, `${id} has the headers`)
  }
})

t.test('every operation fails as described', async t => {
  // These take nothing that could be wrong.
  for (const one of OPERATIONS.filter(({ operation }) => !['openApi', 'ready'].includes(String(operation.operationId)))) {
    const app = await before(t, String(one.operation.operationId))
    const { url, ...example } = exampleOf(one)
    const hasToken = url.includes('/self')
    if (hasToken) fits(t, one, 404, await app.inject({ ...example, url, headers: { ...example.headers, [TOKEN_HEADER]: 'gone' } }))
    else if (example.payload !== undefined) fits(t, one, 400, await app.inject({ ...example, url, payload: '{}' }))
    else fits(t, one, 400, await app.inject({ ...example, url: `${url}?unknown=1` }))
    if (example.payload !== undefined) fits(t, one, 415, await app.inject({ ...example, url, headers: { ...example.headers, 'content-type': 'text/plain' } }))
    if (example.payload !== undefined) fits(t, one, 413, await app.inject({ ...example, url, payload: ' '.repeat(2 ** 21) }))
    if (hasToken) fits(t, one, 414, await app.inject({ ...example, url: url.replace('self', 'x'.repeat(2 ** 12)) }))
  }
})

/** The operation with an id. */
function operation (id: string): Operation {
  const found = OPERATIONS.find(({ operation }) => operation.operationId === id)
  if (found === undefined) throw new Error(`no operation ${id}`)
  return found
}

t.test('Prefer: return=minimal', async t => {
  for (const id of ['kvSet', 'kvAdd']) {
    const app = await before(t, 'none')
    const done = await app.inject(exampleOf(operation(id), 'Prefer'))
    fits(t, operation(id), 204, done)
    t.match(done.headers, headersOf(operation(id), '204'))
    const failed = await app.inject({ ...exampleOf(operation(id), 'Prefer'), payload: '{"keys":{"user":null}}' })
    fits(t, operation(id), 200, failed)
    t.match(failed.headers, headersOf(operation(id), '200'))
  }
})

t.test('preconditions of a single key', async t => {
  const app = await before(t, 'getKey')
  const unchanged = await app.inject(exampleOf(operation('getKey'), 'If-None-Match'))
  fits(t, operation('getKey'), 304, unchanged)
  t.match(unchanged.headers, headersOf(operation('getKey'), '304'))
  const replaced = await app.inject(exampleOf(operation('putKey'), 'If-Match'))
  fits(t, operation('putKey'), 204, replaced)
  t.match(replaced.headers, headersOf(operation('putKey'), '204'))
  fits(t, operation('patchKey'), 204, await app.inject({ ...exampleOf(operation('patchKey')), headers: { [TOKEN_HEADER]: EXAMPLE_TOKEN, 'content-type': 'application/merge-patch+json' } }))
  for (const id of ['getKey', 'putKey', 'patchKey', 'deleteKey']) fits(t, operation(id), 412, await app.inject(exampleOf(operation(id), 'If-Match')))
  fits(t, operation('getKey'), 200, await app.inject(exampleOf(operation('getKey'), 'If-None-Match')))
})

t.test('a server that is not ready', async t => {
  const app = buildApp(await createGateway(memoryStore()), { readiness: { reason: 'The server is stopping.' } })
  const reply = await app.inject('/ready')
  fits(t, operation('ready'), 503, reply)
  t.match(reply, { headers: { 'retry-after': '1' } })
  t.match(reply.json(), { detail: 'The server is stopping.' })
})

t.test('headers that are too long, on a socket', async t => {
  const app = await before(t, 'openApi')
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo // As it is when it listens on a port.
  const sent = request({ port, path: '/openapi.json', headers: { 'x-long': 'x'.repeat(2 ** 15) } }).end()
  const [reply] = await once(sent, 'response') as [IncomingMessage] // As the event is documented.
  fits(t, operation('openApi'), 431, { statusCode: reply.statusCode ?? 0, headers: reply.headers, payload: await text(reply) })
})

t.test('the check of replies finds what is not described', async t => {
  const type = 'application/json; charset=utf-8'
  t.match(validateReply('GET', '/server', 200, type, '{"st":1,"serverVersion":"1","protocolVersion":"1","store":"x","more":1}'), [/additional/])
  t.match(validateReply('GET', '/server', 200, type, '{}'), [/required/, /required/, /required/, /required/])
  t.match(validateReply('GET', '/server', 200, 'text/plain', ''), [/type text\/plain/])
  t.match(validateReply('GET', '/server', 418, type, '{}'), [/no reply 418/])
  t.match(validateReply('GET', '/sessions/:tkn', 204, undefined, ''), [/no reply 204/])
  t.match(validateReply('DELETE', '/sessions/:tkn/keys/:key', 204, undefined, 'x'), [/no body/])
  t.match(validateReply('GET', '/server', 400, 'application/problem+json', '{"type":"x","title":"KeyNotExist","status":400,"detail":"x","st":22}'), [/KeyNotExist/])
})
