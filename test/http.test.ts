// The HTTP layer on the store in memory: by injection where that is enough, over a socket where the wire matters.
import { once } from 'node:events'
import { METHODS, STATUS_CODES } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions } from 'fastify'
import pino from 'pino'
import t, { type Test } from 'tap'
import { KEY_URL } from '../routes/keys.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { buildApp, type AppOptions } from '../src/app.js'
import { COMMANDS, COMMAND_NAMES } from '../src/commands/index.js'
import { createGateway, sessionId } from '../src/protocol/gateway.js'
import { GREATEST_BODY_BYTES } from '../src/limits.js'
import type { SessionStore } from '../src/session.js'
import { memoryStore } from '../src/stores/memory.js'
import { overriding } from './overriding.js'

const NOW = 1_800_000_000_000
const JSON_TYPE = 'application/json'
const MERGE_PATCH_TYPE = 'application/merge-patch+json'
const ROUTES: readonly RestRoute[] = REST

/** PROTOCOL 3, as far as REST can answer it here: `st` and HTTP status. */
const STATUS = {
  JsonInvalid: [3, 400],
  PathInvalid: [4, 400],
  PathNotExist: [5, 404],
  CommandType: [12, 400],
  CommandSyntax: [13, 400],
  KeyNotExist: [22, 404],
  KeyExists: [23, 412],
  ParamMissing: [26, 400],
  KeyTypeInvalid: [27, 400],
  ValueMissing: [40, 400],
  ValueTypeInvalid: [41, 400],
  ValueSize: [42, 400],
  FindNoPath: [60, 400],
  FindNoOperator: [61, 400],
  FindInvalidOperator: [62, 400],
  SessionNotExist: [100, 404],
  SessionTokenInvalid: [101, 400],
  SessionOpenFail: [102, 404],
  PreconditionFailed: [202, 412],
  Unknown: [1000, 500],
} as const
type Status = keyof typeof STATUS

/** A header that is undefined is left out, also one that would be there by default. */
type Headers = Record<string, string | undefined>

interface Reply { readonly statusCode: number, readonly headers: Record<string, unknown>, readonly payload: string }

/** An application with one session. */
async function start (t: Test, options: AppOptions = {}, wrap = (store: SessionStore) => store) {
  const gateway = await createGateway(wrap(memoryStore()), { now: () => NOW })
  const app = buildApp(gateway, options)
  t.teardown(async () => await app.close())

  async function send (method: string, url: string, body?: string | Buffer, headers: Headers = {}): Promise<Reply> {
    const all = { ...body !== undefined && { 'content-type': JSON_TYPE }, ...headers }
    return await app.inject({
      method: method as NonNullable<InjectOptions['method']>, // Its type knows fewer methods than it takes.
      url,
      headers: Object.fromEntries(Object.entries(all).flatMap(([name, value]) => value === undefined ? [] : [[name, value]])),
      ...body !== undefined && { payload: body },
    })
  }
  async function newSession (): Promise<string> {
    return JSON.parse((await send('POST', '/sessions', '{"name":"x"}')).payload).tkn
  }
  const tkn = await newSession()
  /** @param params as they stand in the text after `tkn`, such as `,"keys":["a"]` */
  async function command (name: string, params = '', token = tkn): Promise<string> {
    return (await send('POST', '/command', `{"${name}":{"tkn":"${token}"${params}}}`)).payload
  }
  return { app, gateway, send, newSession, command, tkn, session: `/sessions/${tkn}` }
}

/** What nobody outside should read: a frame of a stack trace, a file. */
const LEAK = /\n\s*at |\\n\s*at |\.[cm]?[jt]s\b|node_modules|\/(?:work|home|usr|etc|tmp)\//

/** Checks a problem: of the protocol by the status' name, or of HTTP by its number. */
function problem (t: Test, reply: Reply, expected: Status | number, param?: string, name = `${expected} ${param}`): void {
  const [st, status] = typeof expected === 'number' ? [undefined, expected] as const : STATUS[expected]
  t.equal(reply.statusCode, status, name)
  t.match(reply.headers['content-type'], /^application\/problem\+json(?:;|$)/, name)
  if (!/problem/.test(String(reply.headers['content-type']))) return
  const { type, detail, ...rest } = JSON.parse(reply.payload)
  const title = typeof expected === 'number' ? STATUS_CODES[status] : expected
  t.strictSame(rest, { title, status, ...st !== undefined && { st }, ...param !== undefined && { param } }, name)
  t.equal(type, typeof expected === 'number' ? 'about:blank' : `urn:holdfast:status:${title}`, name)
  t.match(detail, /^\S.+\S$/, name)
  t.notMatch(reply.payload, LEAK, name)
}

async function listen (app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port // It listens on TCP.
}

/** Writes bytes to a socket, and reads until the server closes it. */
async function wire (t: Test, port: number, request: string): Promise<Reply> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.setEncoding('latin1').on('data', chunk => { text += chunk })
  socket.on('error', () => {}) // The server may close before it has read everything.
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.write(request, 'latin1')
  await closed
  const [head = '', payload = ''] = text.split(/\r\n\r\n(.*)/s)
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map(line => [line.replace(/:.*/, '').toLowerCase(), line.replace(/^[^:]*: */, '')]))
  return { statusCode: Number(first.split(' ')[1]), headers, payload }
}

function head (method: string, url: string, ...lines: string[]): string {
  return [`${method} ${url} HTTP/1.1`, 'Host: x', 'Connection: close', ...lines, '', ''].join('\r\n')
}

/** Every URL that is mounted, with its methods. */
function mounted (): Map<string, Set<string>> {
  const urls = new Map([
    ['/command', new Set(['POST'])],
    ['/commands', new Set(['POST'])],
    ['/openapi.json', new Set(['GET', 'HEAD'])],
    ['/ready', new Set(['GET', 'HEAD'])],
    [KEY_URL, new Set(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'])],
  ])
  for (const { method, url } of ROUTES) {
    const methods = urls.get(url) ?? new Set()
    urls.set(url, methods.add(method))
    if (method === 'GET') methods.add('HEAD')
  }
  return urls
}

function nested (levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels)
}

t.test('transport faults are problems', async t => {
  const { send, session } = await start(t, { bodyLimit: 1000 })
  const rows: ReadonlyArray<readonly [name: string, status: number, method: string, url: string, body?: string, headers?: Headers]> = [
    ['no route', 404, 'GET', '/nope'],
    ['no route, with a body', 404, 'POST', '/nope', '{"a":1}'],
    ['the root', 404, 'GET', '/'],
    ['another case', 404, 'POST', '/Command', '{}'],
    ['one part too many', 404, 'GET', `${session}/keys/a/b`],
    ['percent encoding of the path', 400, 'GET', `${session}/keys/%zz`],
    ['half a percent encoding', 400, 'GET', `${session}/keys/a%2`],
    ['not UTF-8 in the path', 400, 'GET', `${session}/keys/%ff`],
    ['a surrogate in the path', 400, 'GET', `${session}/keys/%ED%A0%80`],
    ['in an unknown path', 400, 'PUT', '/%zz'],
    ['percent encoding of the query', 400, 'GET', `${session}/keys?key=%zz`],
    ['percent encoding of a name in the query', 400, 'DELETE', `${session}/keys?%ff=a`],
    ['percent encoding of a query that no one asked for', 400, 'GET', `${session}/keys/a?%zz`],
    ['a token too long', 414, 'GET', `/sessions/${'a'.repeat(3073)}`],
    ['a key too long', 414, 'PUT', `${session}/keys/${'a'.repeat(3073)}`, '{"value":1}'],
    ['a body over the limit', 413, 'POST', '/command', `"${'a'.repeat(999)}"`],
    ['a body over the limit, of another kind', 413, 'PUT', `${session}/keys/a`, 'a'.repeat(1001), { 'content-type': 'text/plain' }],
    ['a body that is shorter than it says', 400, 'POST', '/command', '{}', { 'content-length': '3' }],
  ]
  for (const [name, status, method, url, body, headers] of rows) problem(t, await send(method, url, body, headers), status, undefined, name)
  t.equal((await send('PUT', `${session}/keys/a`, `{"value":"${'a'.repeat(988)}"}`)).statusCode, 201, 'a body of exactly the limit')
  t.equal((await send('GET', `${session}/keys/${'%C3%A9'.repeat(512)}`)).statusCode, 404, 'the longest key, percent-encoded')
  t.equal((await send('GET', `${session}/keys/a`)).statusCode, 200)

  const { send: sendToDefault } = await start(t)
  t.match(JSON.parse((await sendToDefault('POST', '/command', `"${'a'.repeat(2 ** 20 - 2)}"`)).payload), { ERR: { st: 13 } }, 'the limit is 1 MiB')
  problem(t, await sendToDefault('POST', '/command', `"${'a'.repeat(2 ** 20 - 1)}"`), 413)
})

t.test('the largest value that can be stored can be read', async t => {
  const { send, tkn, session } = await start(t, { bodyLimit: GREATEST_BODY_BYTES })
  const frame = '{"value":""}'
  const value = `"${'a'.repeat(GREATEST_BODY_BYTES - frame.length)}"`
  t.equal((await send('PUT', `${session}/keys/a`, `{"value":${value}}`)).statusCode, 201)
  t.equal((await send('GET', `${session}/keys/a`)).payload === `{"value":${value}}`, true)
  t.equal((await send('GET', `${session}/keys?key=a`)).payload === `{"tkn":"${tkn}","keys":{"a":${value}}}`, true)
  const { payload } = await send('POST', '/command', `{"KV_GET":{"tkn":"${tkn}","keys":["a"]}}`)
  t.equal(payload === `{"KV_GET_RSP":{"tkn":"${tkn}","keys":{"a":${value}}}}`, true)
})

t.test('any other method is 405, and Allow says which ones there are', async t => {
  const { send, tkn } = await start(t)
  const methods = METHODS.filter(method => !['CONNECT', 'QUERY'].includes(method)) // See 'the wire' for these.
  t.ok(['OPTIONS', 'PROPFIND', 'TRACE', 'PURGE'].every(method => methods.includes(method)))
  for (const [url, allowed] of mounted()) {
    for (const method of methods) {
      const reply = await send(method, url.replace(':tkn', tkn).replace(':key', 'a'))
      const name = `${method} ${url}`
      if (allowed.has(method)) t.notOk([405, 501].includes(reply.statusCode), name)
      else {
        t.strictSame(String(reply.headers.allow).split(', ').sort(), [...allowed].sort(), name)
        if (method === 'HEAD') t.match(reply, { statusCode: 405, payload: '' }, name)
        else problem(t, reply, 405, undefined, name)
      }
    }
  }
})

t.test('the wire', async t => {
  const { app, session } = await start(t, { bodyLimit: 1000 })
  const port = await listen(app)
  const json = `Content-Type: ${JSON_TYPE}`
  const chunked = `${json}\r\nTransfer-Encoding: chunked`
  const rows: ReadonlyArray<readonly [name: string, status: number, request: string]> = [
    ['20 kB of headers', 431, head('GET', '/server', `X-A: ${'a'.repeat(20_000)}`)],
    ['20 kB of URL', 431, head('GET', `/${'a'.repeat(20_000)}`)],
    ['not HTTP', 400, 'hello\r\n\r\n'],
    ['TLS', 400, '\x16\x03\x01\x02\x00\x01'],
    ['HTTP/2', 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a method that there is not', 400, head('NOPE', '/server')],
    ['two lengths', 400, head('POST', '/command', json, 'Content-Length: 2', 'Content-Length: 3') + '{}'],
    ['length and chunks', 400, head('POST', '/command', chunked, 'Content-Length: 2') + '2\r\n{}\r\n0\r\n\r\n'],
    ['a chunk without a size', 400, head('POST', '/command', chunked) + 'zz\r\n\r\n'],
    ['bytes over 127 in the URL', 400, head('GET', '/\xff')],
    ['chunks over the limit', 413, head('POST', '/command', chunked) + `3e8\r\n${'a'.repeat(1000)}\r\n1\r\na\r\n0\r\n\r\n`],
    ['a length over the limit', 413, head('POST', '/command', json, 'Content-Length: 1001')],
    ['no route', 404, head('OPTIONS', '*')],
    ['malformed percent encoding', 400, head('GET', '/%zz')],
    ['a body without a type', 415, head('POST', '/command', 'Transfer-Encoding: chunked') + '2\r\n{}\r\n0\r\n\r\n'],
  ]
  for (const [name, status, request] of rows) problem(t, await wire(t, port, request), status, undefined, name)

  t.match(await wire(t, port, head('POST', '/command', chunked) + '8\r\n{"SV_INF\r\n6\r\nO":{}}\r\n0\r\n\r\n'),
    { statusCode: 200, payload: /^\{"SV_INFO_RSP":/ }, 'a body in chunks')
  for (const key of ['', '.', '..', '%2e', '%2e%2E', '.%2e']) {
    for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
      const body = method === 'PUT' || method === 'PATCH' ? '{"value":"x"}' : ''
      const reply = await wire(t, port, head(method, `${session}/keys/${key}`, ...body === '' ? [] : [json, 'Content-Length: 13']) + body)
      problem(t, reply, 404, undefined, `${method} the key ${key}`)
      t.match(reply, { payload: /cannot stand in a path: use \?key=/ })
    }
    t.match(await wire(t, port, head('HEAD', `${session}/keys/${key}`)), { statusCode: 404, payload: '' })
  }
  t.match(await wire(t, port, head('GET', `${session}/key-names`)), { payload: /"keys":\[\]/ }, 'nothing was written')
  t.match(await wire(t, port, head('PUT', `${session}/keys`, json, 'Content-Length: 28') + '{"keys":{"":0,".":1,"..":2}}'), { statusCode: 200 })
  t.match(await wire(t, port, head('GET', `${session}/keys?key=&key=.&key=..`)), { payload: /"keys":\{"":0,".":1,"..":2\}/ })
  t.match(await wire(t, port, head('GET', 'http://elsewhere/server')), { statusCode: 200 }, 'a whole URL, as proxies send it')

  const gone = connect(port, '127.0.0.1')
  gone.write(head('POST', '/command', json, 'Content-Length: 100') + '{')
  await new Promise(resolve => app.server.once('request', resolve))
  gone.resetAndDestroy()
  t.match(await wire(t, port, head('GET', '/server')), { statusCode: 200 }, 'a client that resets its connection is nobody else\'s trouble')
})

// A timeout that does not hold would be Node's own, which is longer than a minute.
t.test('a request that does not arrive in full is 408', { timeout: 30_000 }, async t => {
  const { app } = await start(t, { requestTimeout: 200 })
  const port = await listen(app)
  for (const request of [head('POST', '/command', `Content-Type: ${JSON_TYPE}`, 'Content-Length: 100') + '{', 'POST /command HTTP/1.1\r\nHost: x\r\n']) {
    problem(t, await wire(t, port, request), 408)
  }
})

t.test('content types', async t => {
  const { send, session } = await start(t)
  const accepted = [JSON_TYPE, `${JSON_TYPE}; charset=utf-8`, 'APPLICATION/JSON;charset="UTF-8"', `${JSON_TYPE} ; charset=utf-8`, `${JSON_TYPE};a=b; Charset=utf-8`]
  const refused = [
    undefined, '', 'text/plain', 'text/json', 'garbage', 'application/', `${JSON_TYPE}x`, `${JSON_TYPE}+x`, 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
    `${JSON_TYPE}; charset=latin1`, `${JSON_TYPE}; charset=iso-8859-1`, `${JSON_TYPE};charset="utf-16"`, `${JSON_TYPE}; charset=utf-80`, `${MERGE_PATCH_TYPE}; charset=latin1`,
  ]
  const bodies = [
    ['POST', '/command', '{"SV_INFO":{}}'], ['POST', '/commands', '[]'], ['POST', '/sessions', '{"name":"x"}'], ['POST', `${session}/clear`, '{}'],
    ['PUT', `${session}/keys`, '{"keys":{"a":1}}'], ['PATCH', `${session}/keys`, '{"keys":{"a":1}}'], ['PUT', `${session}/keys/a`, '{"value":1}'], ['PATCH', `${session}/keys/a`, '{"value":1}'],
  ] as const
  for (const [method, url, body] of bodies) {
    const isMergePatch = method === 'PATCH' && url.endsWith('/a')
    for (const type of [...refused, ...isMergePatch ? [] : [MERGE_PATCH_TYPE, `${MERGE_PATCH_TYPE};a=b`]]) {
      const reply = await send(method, url, body, { 'content-type': type })
      problem(t, reply, 415, undefined, `${type} ${method} ${url}`)
      t.match(JSON.parse(reply.payload).detail, 'application/json', 'it says what to send')
    }
    t.match(JSON.parse((await send('GET', `${session}/count`)).payload), { cnt: 0 }, 'nothing was stored')
  }
  for (const [method, url, body] of bodies) {
    for (const type of accepted) t.match(await send(method, url, body, { 'content-type': type }), { statusCode: /^20[014]$/ }, `${type} ${method} ${url}`)
  }
  for (const type of [MERGE_PATCH_TYPE, `${MERGE_PATCH_TYPE}; charset=UTF-8`]) {
    t.equal((await send('PATCH', `${session}/keys/a`, '{"value":1}', { 'content-type': type })).statusCode, 204, type)
  }
})

t.test('an empty body is none, whatever its type', async t => {
  const { app, send, session } = await start(t)
  const port = await listen(app)
  const rows = [
    ['DELETE', `${session}/keys/a`, 404], ['DELETE', `${session}/keys?key=a`, 200], ['POST', `${session}/clear`, 200], ['POST', `${session}/touch`, 200],
    ['GET', `${session}/count`, 200], ['GET', '/server', 200], ['PUT', `${session}/keys`, 400], ['PATCH', `${session}/keys/a`, 400], ['POST', '/command', 400],
  ] as const
  const types = [JSON_TYPE, `${JSON_TYPE}; charset=latin1`, MERGE_PATCH_TYPE, 'text/plain', undefined]
  const malformed = ['garbage', '', 'application/json;;=', '/']
  for (const [method, url, status] of rows) {
    for (const type of [...types, ...malformed]) {
      t.equal((await send(method, url, undefined, { 'content-type': type, 'content-length': '0' })).statusCode, status, `${type} ${method} ${url}`)
    }
    for (const type of types) {
      const line = type === undefined ? [] : [`Content-Type: ${type}`]
      t.equal((await send(method, url, undefined, { 'content-type': type })).statusCode, status, `no length, ${type} ${method} ${url}`)
      t.equal((await wire(t, port, head(method, url, ...line, 'Transfer-Encoding: chunked') + '0\r\n\r\n')).statusCode, status, `no chunk, ${type} ${method} ${url}`)
    }
  }
  problem(t, await send('PUT', `${session}/keys`, undefined, { 'content-type': 'garbage', 'content-length': '0' }), 'ParamMissing', 'keys')
  problem(t, await send('PUT', `${session}/keys/a`), 'ParamMissing', 'value')
  t.match(await send('POST', '/command'), { payload: /^\{"ERR":\{"st":3,"m":"byte 0:/ })
})

t.test('bodies are taken as they are: nothing is coerced', async t => {
  const { send, session, command, tkn } = await start(t)
  const withExpiry = (expiry: string): string => `{"name":"x","expiry":${expiry}}`
  const rows: ReadonlyArray<readonly [status: Status, param: string | undefined, url: string, body: string]> = [
    ...['"60"', '60.5', '-1', '1e400', '10000000001', 'null', 'true', '[60]'].map(duration =>
      ['CommandSyntax', 'expiry', '/sessions', withExpiry(`{"duration":${duration},"deleteSession":true}`)] as const),
    ...['"true"', '1', 'null', '{}'].map(flag => ['CommandSyntax', 'expiry', '/sessions', withExpiry(`{"duration":60,"deleteSession":${flag}}`)] as const),
    ...['null', '[]', '60', '{}', '{"duration":60}', '{"deleteSession":true}', '{"duration":60,"deleteSession":true,"idel":5}', '{"duration":60,"deleteSession":true,"__proto__":{"idle":5}}'].map(expiry =>
      ['CommandSyntax', 'expiry', '/sessions', withExpiry(expiry)] as const),
    ...['5', 'null', 'true', '["x"]', '{}'].map(name => ['ValueTypeInvalid', 'name', '/sessions', `{"name":${name}}`] as const),
    ...['"true"', '1', 'null'].map(shared => ['ValueTypeInvalid', 'shared', '/sessions', `{"name":"x","shared":${shared}}`] as const),
    ...['"60"', '60.5', '-1', 'null'].map(duration => ['ValueTypeInvalid', 'duration', `${session}/touch`, `{"duration":${duration}}`] as const),
    ['ValueMissing', 'name', '/sessions', '{}'],
    ['ValueSize', 'name', '/sessions', '{"name":""}'],
    ['CommandSyntax', 'nmae', '/sessions', '{"name":"x","nmae":1}'],
    ['ValueTypeInvalid', 'keys', `${session}/contains`, '{"keys":"a"}'],
    ['KeyTypeInvalid', 'keys', `${session}/contains`, '{"keys":["a",1]}'],
    ['KeyTypeInvalid', 'keys', `${session}/contains`, '{"keys":["a",{"b":1},["c"]]}'],
    ['KeyTypeInvalid', 'keys', `${session}/contains`, '{"keys":["\\ud800"]}'],
    ['ValueTypeInvalid', 'keys', `${session}/append`, '{"keys":["a"]}'],
    ['ParamMissing', 'keys', `${session}/append`, '{"key":{"a":1}}'],
    ['ValueTypeInvalid', 'tkns', '/sessions/exists', '{"tkns":[1]}'],
    ['SessionOpenFail', undefined, '/sessions/open', '{"name":"x"}'],
    ['KeyNotExist', 'key', `${session}/update`, '{"key":"a","path":"","value":1}'],
    ['PathInvalid', 'path', `${session}/update`, '{"key":"a","path":"b","value":1}'],
    ['PathNotExist', 'path', `${session}/update`, '{"key":"k","path":"/b","value":1}'],
    ['FindNoPath', 'path', `${session}/find`, '{"==":1}'],
    ['FindNoOperator', undefined, `${session}/find`, '{"path":""}'],
    ['FindInvalidOperator', '!=', `${session}/find`, '{"path":"","!=":1}'],
    ['CommandType', undefined, `${session}/clear`, '[]'],
    ['CommandType', undefined, `${session}/clear`, 'null'],
    ['JsonInvalid', undefined, `${session}/clear`, '{"a":}'],
    ['JsonInvalid', undefined, `${session}/clear`, nested(129)],
    ['SessionNotExist', undefined, '/sessions/nope/clear', '{}'],
    ['SessionTokenInvalid', 'tkn', '/sessions//clear', '{}'],
  ]
  await send('PUT', `${session}/keys/k`, '{"value":{}}')
  for (const [status, param, url, body] of rows) problem(t, await send('POST', url, body), status, param, `${url} ${body}`)
  t.match(JSON.parse((await send('POST', `${session}/clear`, '{"a":}')).payload).detail, /^byte 5: expected /)

  for (const duration of ['60.0', '6e1', '60']) {
    const reply = await send('POST', '/sessions', withExpiry(`{"duration":${duration},"deleteSession":true,"idle":0.0}`))
    t.match(JSON.parse((await send('GET', String(reply.headers.location))).payload), { expiry: { duration: 60, time: NOW / 1000 + 60 } }, duration)
  }
  for (const limit of ['"5"', '5.5', '0', 'null', '[5]']) {
    t.strictSame(JSON.parse(await command('KV_KEYS', `,"limit":${limit}`)), { KV_KEYS_RSP: { tkn, st: 41, m: 'limit' } }, limit)
  }
  for (const limit of ['x', '5.0', '0', '-5', '', '1e1', '99999999999999999999']) problem(t, await send('GET', `${session}/key-names?limit=${limit}`), 'ValueTypeInvalid', 'limit', limit)
  t.match(JSON.parse((await send('GET', `${session}/key-names?limit=5`)).payload), { st: 1, keys: ['k'] })
})

const KEYS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'tkn', 'keys', 'key', 'st', '', '1', '0', 'a\nb', 'a/b', 'a%2Fb', '%', '+', ' ', '?', '#', '&=', ';', '\\', '"', '\0', 'é', '\u{1f600}', '\uffee']

t.test('no key and no parameter is special', async t => {
  const { send, newSession, command, tkn, session } = await start(t)
  const object = (value: string | number, keys = KEYS): string => `{${keys.map(key => `${JSON.stringify(key)}:${value}`).join(',')}}`
  const names = JSON.stringify(KEYS)
  const sorted = [...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const query = `/keys?${KEYS.map(key => `key=${encodeURIComponent(key)}`).join('&')}`
  const cnt = KEYS.length
  // The method and path on REST; then the parameters, and the reply without the token.
  const steps = [
    ['KV_SET', 'PUT /keys', `"keys":${object(1)}`, `"keys":${object(20)}`],
    ['KV_SET', 'PUT /keys', `"keys":${object('{"a":0}')}`, `"keys":${object(21)}`],
    ['KV_ADD', 'POST /keys', `"keys":${object(2)}`, `"keys":${object(23)}`],
    ['KV_ADDQ', 'POST /keys', `"keys":${object(2)}`, `"keys":${object(23)}`],
    ['KV_MERGE', 'PATCH /keys', `"keys":${object('{"a":1}')}`, `"keys":${object(21)}`],
    ['KV_APPEND', 'POST /append', `"keys":${object('{"b":2}')}`, `"keys":${object(1)}`],
    ['KV_GET', `GET ${query}`, `"keys":${names}`, `"keys":${object('{"a":1,"b":2}')}`],
    ['KV_CONTAINS', 'POST /contains', `"keys":${names}`, `"keys":${object('true')}`],
    ['KV_FIND', 'POST /find', '"path":"/b","==":2', `"keys":${JSON.stringify(sorted)}`],
    ['KV_FIND', 'POST /find', `"path":"$.b","rsp":"kv","keys":${names}`, `"keys":${object('{"a":1,"b":2}', sorted)}`],
    ['KV_FIND', 'POST /find', '"path":"$.b","rsp":"paths"', `"paths":${object('["$[\'b\']"]', sorted)}`],
    ['KV_KEYS', 'GET /key-names', '', `"keys":${JSON.stringify(sorted)}`],
    ['KV_COUNT', 'GET /count', '', `"cnt":${cnt}`],
    ['KV_CLEAR_SET', 'POST /replace', `"keys":${object(3)}`, `"cnt":${cnt},"keys":${object(20)}`],
    ['KV_RMV', `DELETE ${query}`, `"keys":${names}`, `"keys":${object(24)}`],
    ['KV_RMV', `DELETE ${query}`, `"keys":${names}`, `"keys":${object(22)}`],
    ['KV_ADD', 'POST /keys', `"keys":${object(2)}`, `"keys":${object(20)}`],
    ['KV_CLEAR', 'POST /clear', '', `"cnt":${cnt}`],
    ['KV_GET', `GET ${query}`, `"keys":${names}`, `"keys":${object('null')}`],
  ] as const
  const other = await newSession()
  for (const [index, [name, rest, params, reply]] of steps.entries()) {
    const content = (tkn: string): string => `{"tkn":"${tkn}",${reply}}`
    const [method = '', path = ''] = rest.split(' ')
    const minimal = name.endsWith('Q') ? { prefer: 'return=minimal' } : {}
    const { payload } = await send(method, session + path, method === 'GET' || method === 'DELETE' ? undefined : `{${params}}`, minimal)
    t.equal(payload.replace('"st":1,"tkn"', '"tkn"'), content(tkn), `${index} ${rest.slice(0, 20)}`)
    const envelope = await command(name, params === '' ? '' : `,${params}`, other)
    t.equal(envelope.replace('"st":1,"tkn"', '"tkn"'), `{"${name}_RSP":${content(other)}}`, `${index} ${name}`)
  }
  for (const key of KEYS.filter(key => key !== '')) {
    const url = `${session}/keys/${encodeURIComponent(key)}`
    const update = `{"key":${JSON.stringify(key)},"path":"/__proto__","value":{"polluted":1}}`
    t.equal((await send('PUT', url, '{"value":{"__proto__":0,"a":1}}')).statusCode, 201, key)
    t.equal((await send('POST', `${session}/update`, update)).payload, `{"st":1,"tkn":"${tkn}","key":${JSON.stringify(key)},"cnt":1}`)
    t.equal((await send('PATCH', url, '{"value":{"a":null,"constructor":{"prototype":{"polluted":1}}}}')).statusCode, 204)
    const text = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'
    t.equal((await send('GET', url)).payload, `{"value":${text}}`)
    t.equal(await command('KV_GET', `,"keys":[${JSON.stringify(key)}]`), `{"KV_GET_RSP":{"tkn":"${tkn}","keys":{${JSON.stringify(key)}:${text}}}}`)
    t.equal((await send('HEAD', url)).statusCode, 200)
    t.equal((await send('DELETE', url)).statusCode, 204)
    problem(t, await send('GET', url), 'KeyNotExist', 'key', key)
  }

  for (const name of COMMAND_NAMES) {
    const { params, example } = COMMANDS[name]
    for (const param of ['__proto__', 'constructor', 'toString']) {
      const members = [...Object.entries(example.params).map(([name, value]) => `"${name}":${JSON.stringify(value)}`), `"${param}":{"polluted":1}`]
      const { payload } = await send('POST', '/command', `{"${name}":{${members.join(',')}}}`)
      t.match(JSON.parse(payload), { [`${name}_RSP`]: { st: 13, m: param } }, `${name} ${param}`)
    }
    if (!Object.hasOwn(params, 'tkn')) continue
    for (const tkn of ['__proto__', 'constructor', 'nope']) {
      const { payload } = await send('POST', '/command', JSON.stringify({ [name]: { ...example.params, tkn } }))
      t.strictSame(JSON.parse(payload), { [`${name}_RSP`]: { tkn, st: 100, m: '' } }, `${name} of ${tkn}`)
    }
  }
  for (const param of ['__proto__', 'constructor', 'toString', 'tkn']) {
    for (const { method, url } of ROUTES.filter(({ method }) => method !== 'GET' && method !== 'DELETE')) {
      const reply = await send(method, url.replace(':tkn', tkn), `{"name":"x","keys":{},"tkns":[],"key":"a","path":"","value":1,"==":1,"${param}":{"polluted":1}}`)
      t.match(JSON.parse(reply.payload), { status: 400 }, `${param} ${method} ${url}`)
    }
    problem(t, await send('POST', `${session}/clear`, `{"${param}":{"polluted":1}}`), 'CommandSyntax', param)
    problem(t, await send('PUT', `${session}/keys/a`, `{"value":1,"${param}":{"polluted":1}}`), 'CommandSyntax', param)
    problem(t, await send('GET', `${session}/keys?${param}=1`), 'CommandSyntax', param)
    problem(t, await send('GET', `/sessions/${param}`), 'SessionNotExist')
    problem(t, await send('PUT', `/sessions/${param}/keys/polluted`, '{"value":1}'), 'SessionNotExist')
  }
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

interface Expected { readonly [reply: string]: { readonly [member: string]: unknown } }

t.test('POST /command', async t => {
  const { send, command, tkn, session } = await start(t)
  const err = (st: number, m: string | RegExp): Expected => ({ ERR: { st, m } })
  const rsp = (name: string, st: number, m: string, tkn: string | null = null): Expected => ({ [`${name}_RSP`]: { tkn, st, m } })
  const deep = (levels: number): string => `{"KV_SET":{"tkn":"${tkn}","keys":{"deep":${nested(levels - 3)}}}}`
  const keys = `"tkn":"${tkn}","keys"`
  const rows: ReadonlyArray<readonly [http: number, body: string | Buffer, reply: Expected]> = [
    [400, '', err(3, /^byte 0: /)],
    [400, 'nope', err(3, /^byte 1: /)],
    [400, '{"SV_INFO":{}', err(3, /^byte 13: /)],
    [400, '{"SV_INFO":{}} x', err(3, /^byte 15: /)],
    [400, '\ufeff x', err(3, /^byte 4: /)],
    [400, '{"é":01}', err(3, /^byte 7: /)],
    [400, Buffer.from('{"SV_INFO":{"\xff":1}}', 'latin1'), err(3, /^byte 13: .*UTF-8/)],
    [400, deep(129), err(3, new RegExp(`^byte ${deep(129).indexOf(']') - 1}: .*128`))],
    [400, '{}', err(13, /./)],
    ...['[]', '1', '"SV_INFO"', 'null', 'true', '[{"SV_INFO":{}}]'].map(body => [400, body, err(13, /./)] as const),
    ...['FOO', 'kv_get', '', 'SV_INFO ', '__proto__', 'constructor', 'KV_GET_RSP'].map(name => [400, `{"${name}":{}}`, err(10, name)] as const),
    [400, '{"\\ud800":{}}', err(10, '\ud800')],
    ...['[]', 'null', '1', '"x"', 'true'].map(content => [200, `{"SV_INFO":${content}}`, rsp('SV_INFO', 12, '')] as const),
    [200, '{"KV_GET":{},"KV_SET":{}}', rsp('KV_GET', 11, '')],
    [200, '{"FOO":{},"KV_SET":{}}', rsp('FOO', 11, '')],
    [200, `{"KV_SET":{${keys}:{"a":1}},"KV_SET":{${keys}:{"a":2}}}`, rsp('KV_SET', 11, '')],
    [200, '{"SV_INFO":{"x":1}}', rsp('SV_INFO', 13, 'x')],
    [200, '{"SH_NEW":{}}', rsp('SH_NEW', 40, 'name')],
    [200, '{"SH_INFO":{}}', rsp('SH_INFO', 101, 'tkn')],
    ...['KV_SET', 'KV_SETQ', 'KV_ADD', 'KV_ADDQ', 'KV_CLEAR_SET', 'KV_APPEND', 'KV_MERGE', 'KV_GET', 'KV_RMV', 'KV_CONTAINS'].flatMap(name => {
      const [right, wrong] = ['KV_GET', 'KV_RMV', 'KV_CONTAINS'].includes(name) ? ['[]', '{}'] : ['{}', '[]']
      return [
        [200, `{"${name}":{"x":1,"tkn":5}}`, rsp(name, 26, 'keys')],
        ...[wrong, 'null', '1', '"a"'].map(keys => [200, `{"${name}":{"x":1,"tkn":5,"keys":${keys}}}`, rsp(name, 41, 'keys')] as const),
        [200, `{"${name}":{"x":1,"tkn":5,"keys":${right}}}`, rsp(name, 13, 'x')],
        ...['5', '""', 'null', '["x"]', '{}'].map(tkn => [200, `{"${name}":{"keys":${right},"tkn":${tkn}}}`, tkn === '""' ? rsp(name, 101, 'tkn', '') : rsp(name, 101, 'tkn')] as const),
        [200, `{"${name}":{"keys":${right}}}`, rsp(name, 101, 'tkn')],
        [200, `{"${name}":{"keys":${right},"tkn":"nope"}}`, rsp(name, 100, '', 'nope')],
      ] as const
    }),
    [200, `{"KV_COUNT":{"tkn":"${tkn}"}}`, { KV_COUNT_RSP: { st: 1, tkn, cnt: 0 } }],
    [200, '\ufeff {"SH_INFO_ALL" : { } } \n', { SH_INFO_ALL_RSP: { totalSessions: 1, totalKeys: 0 } }],
    [200, deep(128), { KV_SET_RSP: { tkn, keys: { deep: 20 } } }],
    [200, `{"KV_SET":{"keys":5,${keys}:{"a":1,"b":1,"a":2}}}`, { KV_SET_RSP: { tkn, keys: { a: 20, b: 20 } } }],
    [200, `{"KV_GET":{${keys}:["a","c","a"]}}`, { KV_GET_RSP: { tkn, keys: { a: 2, c: null } } }],
    [200, `{"KV_SET":{${keys}:{"a":3,"no":null,"\\ud800":1,"${'k'.repeat(1025)}":1,"${'k'.repeat(1024)}":1}}}`,
      { KV_SET_RSP: { tkn, keys: { a: 21, no: 41, '\ud800': 27, ['k'.repeat(1025)]: 42, ['k'.repeat(1024)]: 20 } } }],
    [200, `{"KV_SETQ":{${keys}:{"a":4,"no":null}}}`, { KV_SETQ_RSP: { tkn, keys: { no: 41 } } }],
  ]
  for (const [http, body, expected] of rows) {
    const name = String(body).slice(0, 70)
    const { statusCode, headers, payload } = await send('POST', '/command', body)
    t.match({ statusCode, type: headers['content-type'], cache: headers['cache-control'] }, { statusCode: http, type: /^application\/json(;|$)/, cache: 'no-store' }, name)
    const reply = JSON.parse(payload)
    if (expected.ERR?.m instanceof RegExp) {
      t.strictSame([Object.keys(reply), Object.keys(reply.ERR), reply.ERR.st], [['ERR'], ['st', 'm'], expected.ERR.st], name)
      t.match(reply.ERR.m, expected.ERR.m, name)
    } else t.strictSame(reply, expected, name)
    t.notMatch(payload, LEAK, name)
  }
  for (const name of ['KV_SETQ', 'KV_ADDQ']) {
    t.match(await send('POST', '/command', `{"${name}":{${keys}:{"new ${name}":1}}}`), { statusCode: 204, payload: '' }, name)
  }
  t.equal(await command('KV_GET', ',"keys":["a","new KV_SETQ","new KV_ADDQ"]'), `{"KV_GET_RSP":{"tkn":"${tkn}","keys":{"a":4,"new KV_SETQ":1,"new KV_ADDQ":1}}}`)
  problem(t, await send('PUT', `${session}/keys/deep`, `{"value":${nested(128)}}`), 'JsonInvalid', undefined, '129 levels')
  t.equal((await send('PUT', `${session}/keys/deep`, `{"value":${nested(127)}}`)).statusCode, 204, '128 levels')
  problem(t, await send('PUT', `${session}/keys/a`, Buffer.from('{"value":"\xff"}', 'latin1')), 'JsonInvalid')
  t.equal((await send('PUT', `${session}/keys/a`, '\ufeff{"value":1}')).statusCode, 204, 'a byte order mark')
})

t.test('POST /commands', async t => {
  const { send, tkn } = await start(t)
  const run = async (body: string): Promise<[number, any]> => {
    const { statusCode, payload } = await send('POST', '/commands', body)
    return [statusCode, JSON.parse(payload)]
  }
  const keys = `"tkn":"${tkn}","keys"`
  t.strictSame(await run(`[
    {"KV_SET":{${keys}:{"a":1}}}, {"KV_SETQ":{${keys}:{"b":2}}}, {"KV_GET":{${keys}:["a","b"]}}, {"KV_RMV":{${keys}:["a"]}}, {"KV_GET":{${keys}:["a","b"]}},
    {"FOO":{}}, {"KV_GET":{},"KV_SET":{}}, {"KV_GET":5}, {"KV_GET":{"tkn":"nope","keys":[]}}, {"KV_GET":{${keys}:[],"x":1}}, {"KV_ADDQ":{${keys}:{"b":3,"c":3}}}, {"KV_COUNT":{"tkn":"${tkn}"}}
  ]`), [200, [
    { KV_SET_RSP: { tkn, keys: { a: 20 } } }, null, { KV_GET_RSP: { tkn, keys: { a: 1, b: 2 } } }, { KV_RMV_RSP: { tkn, keys: { a: 24 } } }, { KV_GET_RSP: { tkn, keys: { a: null, b: 2 } } },
    { ERR: { st: 10, m: 'FOO' } }, { KV_GET_RSP: { tkn: null, st: 11, m: '' } }, { KV_GET_RSP: { tkn: null, st: 12, m: '' } }, { KV_GET_RSP: { tkn: 'nope', st: 100, m: '' } },
    { KV_GET_RSP: { tkn, st: 13, m: 'x' } }, { KV_ADDQ_RSP: { tkn, keys: { b: 23 } } }, { KV_COUNT_RSP: { st: 1, tkn, cnt: 2 } },
  ]])
  const [status, replies] = await run('[5,{},[],null,"SV_INFO",[{"SV_INFO":{}}],{"SV_INFO":{}}]')
  t.strictSame([status, replies.map((reply: any) => reply.ERR?.st ?? reply.SV_INFO_RSP.st)], [200, [13, 13, 13, 13, 13, 13, 1]], 'what is no envelope has its own ERR')
  t.strictSame(await run('[]'), [200, []])
  for (const body of ['{}', '5', 'null', '"x"', '{"SV_INFO":{}}']) t.match(await run(body), [400, { ERR: { st: 13 } }], body)
  t.match(await run('[{"SV_INFO":{}}'), [400, { ERR: { st: 3, m: /^byte 15: / } }])
  t.match(await run(''), [400, { ERR: { st: 3, m: /^byte 0: / } }])

  const adds = (count: number, key: string): string => `[${`{"KV_APPEND":{${keys}:{"${key}":[0]}}},`.repeat(count - 1)}{"KV_COUNT":{"tkn":"${tkn}"}}]`
  await send('POST', '/command', `{"KV_SET":{${keys}:{"list":[]}}}`)
  t.match(await run(adds(1001, 'list')), [400, { ERR: { st: Number } }], '1,001')
  t.equal((await send('GET', `/sessions/${tkn}/keys/list`)).payload, '{"value":[]}', 'nothing of it was executed')
  const [okay, thousand] = await run(adds(1000, 'list'))
  t.strictSame([okay, thousand.length, thousand[999]], [200, 1000, { KV_COUNT_RSP: { st: 1, tkn, cnt: 3 } }], '1,000')
  t.equal(JSON.parse((await send('GET', `/sessions/${tkn}/keys/list`)).payload).value.length, 999)

  const counters = Array.from({ length: 20 }, async () => await run(`[${Array(10).fill(`{"KV_APPEND":{${keys}:{"n":"x"}}}`).join(',')}]`))
  await send('POST', '/command', `{"KV_SET":{${keys}:{"n":""}}}`)
  const done = (await Promise.all(counters)).flatMap(([, replies]) => replies).filter(reply => reply.KV_APPEND_RSP.keys.n === 1).length
  t.equal(JSON.parse((await send('GET', `/sessions/${tkn}/keys/n`)).payload).value.length, done, 'batches at the same time lose nothing')
})

t.test('single keys: preconditions', async t => {
  const { send, session } = await start(t)
  const url = `${session}/keys/k`
  const VALUE = '{"value":{"a":1}}'
  await send('PUT', url, VALUE)
  const tag = String((await send('GET', url)).headers.etag)
  t.match(tag, /^"[\x21\x23-\x7e]+"$/, 'a strong entity tag')
  const methods = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const
  const none = [404, 404, 201, 204, 404]
  const noneMatched = [404, 404, 412, 412, 404]
  const all = [200, 200, 204, 204, 204]
  const failed = [412, 412, 412, 412, 412]
  const seen = [304, 304, 412, 412, 412]
  const malformed = [400, 400, 400, 400, 400]
  // The statuses for a key that exists, and for one that does not.
  const rows: ReadonlyArray<readonly [headers: Headers, existing: readonly number[], missing: readonly number[]]> = [
    [{}, all, none],
    ...[tag, `"x", ${tag}`, `${tag},"x"`, '*', ` ${tag} `].map(value => [{ 'if-match': value }, all, noneMatched] as const),
    ...['"x"', '"x", "y"', `W/${tag}`, '""', `"x", W/${tag}`].map(value => [{ 'if-match': value }, failed, noneMatched] as const),
    ...[tag, `W/${tag}`, `"x", ${tag}`, `"x",W/${tag}`, '*'].map(value => [{ 'if-none-match': value }, seen, none] as const),
    ...['"x"', 'W/"x"', '"x", "y"'].map(value => [{ 'if-none-match': value }, all, none] as const),
    ...['x', '', tag.slice(1), tag.slice(0, -1), `"x" ${tag}`, `*, ${tag}`, `w/${tag}`, `${tag}x`, '**', 'W/'].flatMap(value =>
      [[{ 'if-match': value }, malformed, malformed], [{ 'if-none-match': value }, malformed, malformed]] as const),
    [{ 'if-match': tag, 'if-none-match': tag }, seen, noneMatched],
    [{ 'if-match': tag, 'if-none-match': '"x"' }, all, noneMatched],
    [{ 'if-match': '"x"', 'if-none-match': tag }, failed, noneMatched],
  ]
  for (const [headers, existing, missing] of rows) {
    for (const [index, method] of methods.entries()) {
      const body = method === 'PUT' || method === 'PATCH' ? '{"value":{"b":2}}' : undefined
      for (const [exists, expected] of [[true, existing[index]], [false, missing[index]]] as const) {
        await send(exists ? 'PUT' : 'DELETE', url, exists ? VALUE : undefined)
        const reply = await send(method, url, body, headers)
        const name = `${method} ${JSON.stringify(headers)} ${exists ? 'existing' : 'missing'}`
        t.equal(reply.statusCode, expected, name)
        const { payload } = await send('GET', url)
        if (reply.statusCode < 300 && body !== undefined) t.equal(payload, method === 'PUT' || !exists ? body : '{"value":{"a":1,"b":2}}', name)
        else if (reply.statusCode === 204) t.match(payload, 'KeyNotExist', name)
        else t.match(payload, exists ? VALUE : 'KeyNotExist', `${name}: nothing changed`)
        if (method === 'HEAD' || reply.statusCode < 400) {
          if (method !== 'GET' || reply.statusCode === 304) t.equal(reply.payload, '', name)
          if (reply.statusCode === 304) t.match(reply.headers, { etag: tag, 'cache-control': 'no-store' }, name)
        } else if (expected === 400) problem(t, reply, 'CommandSyntax', 'if-match' in headers ? 'If-Match' : 'If-None-Match', name)
        else if (expected === 404) problem(t, reply, 'KeyNotExist', 'key', name)
        else if (headers['if-none-match'] === '*') problem(t, reply, 'KeyExists', 'If-None-Match', name)
        else problem(t, reply, 'PreconditionFailed', JSON.parse(reply.payload).param, name)
      }
    }
  }
})

t.test('single keys: bodies and entity tags', async t => {
  const { send, command, session } = await start(t)
  const url = `${session}/keys/k`
  const put = async (value: string): Promise<string> => {
    const { headers } = await send('PUT', url, `{"value":${value}}`)
    for (const method of ['GET', 'HEAD']) t.equal((await send(method, url)).headers.etag, headers.etag, `PUT and ${method} have the same tag`)
    return String(headers.etag)
  }
  const values = ['1', '1.0', '1.00', '"1"', 'true', '[]', '{}', '{"a":1}', '{"a":1,"b":2}', '{"b":2,"a":1}', '""', '9007199254740993', '9007199254740992']
  const tags = new Map<string, string>()
  for (const value of values) tags.set(value, await put(value))
  t.equal(new Set(tags.values()).size, values.length, 'other values have other tags')
  for (const value of values) t.equal(await put(value), tags.get(value), 'the same value has the same tag')
  await command('KV_SET', ',"keys":{"k":{"a":1}}')
  t.equal((await send('GET', url)).headers.etag, tags.get('{"a":1}'), 'however it was stored')
  await send('PATCH', url, '{"value":{"c":null}}')
  t.equal((await send('GET', url)).headers.etag, tags.get('{"a":1}'), 'a patch that changes nothing')
  await send('PATCH', url, '{"value":{"b":2}}')
  t.equal((await send('GET', url)).headers.etag, tags.get('{"a":1,"b":2}'), 'a patch that changes something')

  for (const type of [JSON_TYPE, MERGE_PATCH_TYPE]) {
    const patch = async (value: string): Promise<string> => {
      t.equal((await send('PATCH', url, `{"value":${value}}`, { 'content-type': type })).statusCode, 204)
      return (await send('GET', url)).payload
    }
    await put('{"a":1,"b":{"c":1.10,"d":[1]}}')
    t.equal(await patch('{"a":null,"b":{"d":{"e":null,"f":2}},"g":"x"}'), '{"value":{"b":{"c":1.10,"d":{"f":2}},"g":"x"}}', type)
    t.equal(await patch('[null]'), '{"value":[null]}', type)
    t.match(await patch('null'), 'KeyNotExist', type)
    t.equal(await patch('{"a":null,"b":1}'), '{"value":{"b":1}}', type)
  }

  const missing = '/sessions/nope/keys/k'
  const long = `${session}/keys/${'k'.repeat(1025)}`
  const rows: ReadonlyArray<readonly [status: Status, param: string | undefined, method: string, url: string, body?: string]> = [
    ...['PUT', 'PATCH'].flatMap(method => [
      ['ParamMissing', 'value', method, url, '{}'],
      ['ParamMissing', 'value', method, url],
      ['CommandSyntax', 'x', method, url, '{"value":1,"x":2}'],
      ['CommandSyntax', 'tkn', method, url, '{"value":1,"tkn":"x"}'],
      ['CommandSyntax', 'key', method, url, '{"value":1,"key":"x"}'],
      ['CommandType', undefined, method, url, '5'],
      ['CommandType', undefined, method, url, '[{"value":1}]'],
      ['JsonInvalid', undefined, method, url, '{"value":}'],
      ['ValueSize', 'key', method, long, '{"value":1}'],
      ['SessionNotExist', undefined, method, missing, '{"value":1}'],
      ['CommandSyntax', 'x', method, `${url}?x=1`, '{"value":1}'],
      ['SessionTokenInvalid', 'tkn', method, '/sessions//keys/k', '{"value":1}'],
    ] as const),
    ['ValueTypeInvalid', 'value', 'PUT', url, '{"value":null}'],
    ['CommandSyntax', undefined, 'DELETE', url, '{}'],
    ['KeyNotExist', 'key', 'GET', long],
    ['KeyNotExist', 'key', 'DELETE', long],
    ['KeyNotExist', 'key', 'DELETE', `${session}/keys/nope`],
    ...['GET', 'DELETE'].flatMap(method => [['SessionNotExist', undefined, method, missing], ['CommandSyntax', 'key', method, `${url}?key=k`]] as const),
  ]
  await put('"untouched"')
  for (const [status, param, method, url, body] of rows) problem(t, await send(method, url, body), status, param, `${method} ${url.slice(-40)} ${body}`)
  t.equal((await send('GET', url)).payload, '{"value":"untouched"}')
  t.equal((await send('GET', `${session}/count`)).statusCode, 200)
  await send('PUT', url, '{"value":1,"value":2}')
  t.equal((await send('GET', url)).payload, '{"value":2}', 'of two members of the same name the last one counts')
})

t.test('single keys: no update is lost', async t => {
  const { send, session } = await start(t)
  const url = `${session}/keys/n`
  await send('PUT', url, '{"value":0}')
  let conflicts = 0
  async function increment (): Promise<void> {
    for (;;) {
      const { payload, headers } = await send('GET', url)
      const { statusCode } = await send('PUT', url, `{"value":${JSON.parse(payload).value + 1}}`, { 'if-match': String(headers.etag) })
      if (statusCode === 204) return
      t.equal(statusCode, 412)
      conflicts++
    }
  }
  await Promise.all(Array.from({ length: 10 }, async () => { for (let n = 0; n < 5; n++) await increment() }))
  t.equal((await send('GET', url)).payload, '{"value":50}')
  t.ok(conflicts > 0, 'they met')

  const creations = await Promise.all(Array.from({ length: 100 }, async (_, n) => await send('PUT', `${session}/keys/one`, `{"value":${n}}`, { 'if-none-match': '*' })))
  const statuses = creations.map(({ statusCode }) => statusCode)
  t.strictSame([statuses.filter(status => status === 201).length, statuses.filter(status => status === 412).length], [1, 99])
  t.equal((await send('GET', `${session}/keys/one`)).payload, `{"value":${statuses.indexOf(201)}}`, 'the value of the one that was told so')
})

t.test('values come back exactly', async t => {
  const { send, command, tkn, session } = await start(t)
  const values = [
    '9007199254740993', '18446744073709551615', '1.10', '1e400', '-0', '1E+2', '0.10e-5', `0.${'1'.repeat(400)}`, 'true', '""', '"\\u00e9\\/\\n\\u0000 é \u2028"', '"\\ud800"', '"\\udc00\\ud83d"', '"\\uD83D\\uDE00"',
    '{"b":1,"a":2,"1":3,"0":4,"__proto__":{"z":1,"y":2}}', '[1.0,[null,{"x":null}],{"9007199254740993":1e400}]', '{"\\u0061":"\\ud800"}',
  ]
  const writers: ReadonlyArray<readonly [name: string, write: (value: string) => Promise<unknown>]> = [
    ['PUT key', async value => await send('PUT', `${session}/keys/k`, `{"value":${value}}`)],
    ['PATCH key', async value => await send('PATCH', `${session}/keys/k`, `{"value":${value}}`)],
    ...[['PUT', 'keys'], ['POST', 'keys'], ['PATCH', 'keys'], ['POST', 'replace']].map(([method = '', path = '']) =>
      [`${method} ${path}`, async (value: string) => await send(method, `${session}/${path}`, `{"keys":{"k":${value}}}`)] as const),
    ...['KV_SET', 'KV_SETQ', 'KV_ADD', 'KV_ADDQ', 'KV_CLEAR_SET', 'KV_MERGE'].map(name =>
      [name, async (value: string) => await command(name, `,"keys":{"k":${value}}`)] as const),
    ['KV_UPDATE', async value => {
      await command('KV_SET', ',"keys":{"k":0}')
      await command('KV_UPDATE', `,"key":"k","path":"","value":${value}`)
    }],
  ]
  for (const [name, write] of writers) {
    for (const value of values) {
      await send('DELETE', `${session}/keys/k`)
      await write(value)
      t.strictSame([
        (await send('GET', `${session}/keys/k`)).payload,
        (await send('GET', `${session}/keys?key=k`)).payload,
        await command('KV_GET', ',"keys":["k"]'),
        (await send('POST', '/commands', `[{"KV_GET":{"tkn":"${tkn}","keys":["k"]}}]`)).payload,
        await command('KV_FIND', ',"path":"$","rsp":"kv"'),
      ], [
        `{"value":${value}}`, `{"tkn":"${tkn}","keys":{"k":${value}}}`, `{"KV_GET_RSP":{"tkn":"${tkn}","keys":{"k":${value}}}}`,
        `[{"KV_GET_RSP":{"tkn":"${tkn}","keys":{"k":${value}}}}]`, `{"KV_FIND_RSP":{"tkn":"${tkn}","keys":{"k":${value}}}}`,
      ], `${name} ${value.slice(0, 40).replace(/[^ -~]/g, '?')}`)
    }
  }

  const rest = '"n":9007199254740993,"d":1.10,"e":1e400,"s":"\\u00e9\\ud800","o":{"1":1.0,"0":2},"l":[null]'
  const changes = [
    ['KV_APPEND', ',"keys":{"k":{"y":1.50}}', `{${rest},"x":0,"y":1.50}`],
    ['KV_APPEND', ',"keys":{"k":{"x":2.0}}', `{${rest},"x":2.0}`],
    ['KV_MERGE', ',"keys":{"k":{"x":null}}', `{${rest}}`],
    ['KV_MERGE', ',"keys":{"k":{"x":{"a":18446744073709551615}}}', `{${rest},"x":{"a":18446744073709551615}}`],
    ['KV_UPDATE', ',"key":"k","path":"/x","value":1e400', `{${rest},"x":1e400}`],
    ['KV_UPDATE', ',"key":"k","path":"$.x","value":[1.10]', `{${rest},"x":[1.10]}`],
    ['KV_UPDATE', ',"key":"k","path":"$.o[\'0\']","value":null', `{${rest.replace('"0":2', '"0":null')},"x":0}`],
  ] as const
  for (const [name, params, expected] of changes) {
    await send('PUT', `${session}/keys/k`, `{"value":{${rest},"x":0}}`)
    t.notMatch(await command(name, params), /"m":/, name)
    t.equal((await send('GET', `${session}/keys/k`)).payload, `{"value":${expected}}`, name + params)
  }
})

t.test('Prefer: return=minimal', async t => {
  const { send, tkn, session } = await start(t)
  const MINIMAL = 'return=minimal'
  const rows: ReadonlyArray<readonly [method: string, prefer: string | undefined, keys: string, status: number, reply: string, applied: boolean]> = [
    ['PUT', MINIMAL, '{"a":1,"b":1}', 204, '', true],
    ['PUT', MINIMAL, '{"a":2,"no":null,"c":1}', 200, '{"no":41}', true],
    ['PUT', undefined, '{"a":3}', 200, '{"a":21}', false],
    ['PUT', 'return=representation', '{"a":3}', 200, '{"a":21}', false],
    ['PUT', 'return=minimalist', '{"a":3}', 200, '{"a":21}', false],
    ['PUT', 'wait=10, return=minimal', '{"a":3}', 204, '', true],
    ['PUT', 'RETURN="minimal"; foo', '{"a":3}', 204, '', true],
    ['POST', MINIMAL, '{"d":1,"e":1}', 204, '', true],
    ['POST', MINIMAL, '{"d":2,"f":1,"no":null}', 200, '{"d":23,"no":41}', true],
    ['POST', undefined, '{"d":2}', 200, '{"d":23}', false],
    ['PATCH', MINIMAL, '{"d":3}', 200, '{"d":21}', false],
  ]
  for (const [method, prefer, keys, status, reply, applied] of rows) {
    const { statusCode, headers, payload } = await send(method, `${session}/keys`, `{"keys":${keys}}`, { prefer })
    t.strictSame([statusCode, payload, headers['preference-applied']], [status, reply && `{"tkn":"${tkn}","keys":${reply}}`, applied ? MINIMAL : undefined], `${method} ${prefer} ${keys}`)
  }
  problem(t, await send('PUT', `${session}/keys`, '{"keys":[]}', { prefer: MINIMAL }), 'ValueTypeInvalid', 'keys')
  problem(t, await send('PUT', '/sessions/nope/keys', '{"keys":{}}', { prefer: MINIMAL }), 'SessionNotExist')
  t.equal((await send('GET', `${session}/keys?key=a&key=b&key=c&key=d&key=e&key=f&key=no`)).payload,
    `{"tkn":"${tkn}","keys":{"a":3,"b":1,"c":1,"d":3,"e":1,"f":1,"no":null}}`)
})

t.test('REST: URLs, queries and what does not belong there', async t => {
  const { send, command, tkn, session } = await start(t)
  const created = await send('POST', '/sessions', '{"name":"é","shared":true}')
  t.equal(created.statusCode, 201)
  const { tkn: shared } = JSON.parse(created.payload)
  t.equal(created.headers.location, `/sessions/${shared}`)
  t.match(JSON.parse((await send('GET', String(created.headers.location))).payload), { st: 1, tkn: shared, name: 'é', shared: true, keyCnt: 0 })
  t.match(JSON.parse((await send('POST', '/sessions/open', '{"name":"é"}')).payload), { st: 1, tkn: shared })
  t.strictSame(JSON.parse((await send('POST', '/sessions/exists', `{"tkns":["nope","${tkn}","${shared}"]}`)).payload), { st: 1, exist: [tkn, shared] })
  t.strictSame(JSON.parse((await send('GET', '/sessions')).payload), { totalSessions: 2, totalKeys: 0 })

  await command('KV_SET', ',"keys":{"a b":1,"a+b":2,"":3,"a":4}')
  const queries = [['key=a+b', '{"a b":1}'], ['key=a%20b', '{"a b":1}'], ['key=a%2Bb', '{"a+b":2}'], ['key=', '{"":3}'], ['key', '{"":3}'], ['key=a&key=a+b&key=a', '{"a":4,"a b":1}'], ['&key=a&', '{"a":4}'], ['%6Bey=%61', '{"a":4}'], ['key=a=b', '{"a=b":null}']] as const
  for (const [query, keys] of queries) t.equal((await send('GET', `${session}/keys?${query}`)).payload, `{"tkn":"${tkn}","keys":${keys}}`, query)
  t.equal((await send('GET', `${session}/keys/a+b`)).payload, '{"value":2}', 'a plus in the path is a plus')
  t.equal((await send('GET', `${session}/keys/a%20b`)).payload, '{"value":1}')

  const pages: string[][] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page = JSON.parse((await send('GET', `${session}/key-names?limit=2&prefix=a${cursor === '' ? '' : `&cursor=${cursor}`}`)).payload)
    pages.push(page.keys)
    cursor = page.cursor
  }
  t.strictSame(pages, [['a', 'a b'], ['a+b']])

  for (const query of ['', '?', '?&']) {
    for (const method of ['GET', 'DELETE']) problem(t, await send(method, `${session}/keys${query}`), 'ParamMissing', 'key', `${method} ${query}`)
  }
  for (const name of ['limit', 'prefix', 'cursor']) problem(t, await send('GET', `${session}/key-names?${name}=1&${name}=1`), 'CommandSyntax', name)
  problem(t, await send('GET', `${session}/key-names?cursor=*`), 'CommandSyntax', 'cursor')
  problem(t, await send('GET', `${session}/keys?keys=a`), 'CommandSyntax', 'keys')
  for (const { method, url } of [...ROUTES, { method: 'PUT', url: KEY_URL }, { method: 'GET', url: KEY_URL }]) {
    const path = url.replace(':tkn', tkn).replace(':key', 'a')
    const takesBody = method !== 'GET' && method !== 'DELETE'
    problem(t, await send(method, `${path}?nope=1`, takesBody ? '{"value":9}' : undefined), 'CommandSyntax', 'nope', `${method} ${url}`)
    if (url === KEY_URL) continue
    if (takesBody && url.includes(':tkn')) problem(t, await send(method, path, `{"tkn":"${tkn}"}`), 'CommandSyntax', 'tkn', `${method} ${url} with a token in the body`)
    else if (method === 'DELETE') problem(t, await send(method, `${path}?key=a`, '{"keys":["a"]}'), 'CommandSyntax', url.endsWith('keys') ? undefined : 'key', `${method} ${url} with a body`)
    if (method === 'GET') continue
    for (const name of ['If-Match', 'If-None-Match']) {
      problem(t, await send(method, path, takesBody ? '{"keys":{"a":9},"name":"x"}' : undefined, { [name]: '*' }), 'CommandSyntax', name, `${method} ${url} ${name}`)
    }
  }
  for (const url of ['/command', '/commands']) problem(t, await send('POST', url, `{"KV_CLEAR":{"tkn":"${tkn}"}}`, { 'if-match': '"x"' }), 'CommandSyntax', 'If-Match')
  t.equal(await command('KV_GET', ',"keys":["a b","a+b","","a"]'), `{"KV_GET_RSP":{"tkn":"${tkn}","keys":{"a b":1,"a+b":2,"":3,"a":4}}}`, 'nothing of this changed anything')

  t.equal((await send('DELETE', `${session}/keys?key=a&key=nope`)).payload, `{"tkn":"${tkn}","keys":{"a":24,"nope":22}}`)
  t.match(await send('POST', `${session}/touch`, '{"duration":60}'), { statusCode: 200, payload: /"duration":60,/ })
  t.strictSame(JSON.parse((await send('DELETE', session)).payload), { st: 1, tkn })
  for (const method of ['GET', 'DELETE']) problem(t, await send(method, session), 'SessionNotExist')
  t.strictSame(JSON.parse((await send('DELETE', '/sessions?all=true')).payload), { st: 1, cnt: 1 })
})

t.test('HEAD works wherever GET does, and nobody keeps session data', async t => {
  const { send, command, tkn } = await start(t)
  await command('KV_SET', ',"keys":{"a":1}')
  const urls = [...ROUTES.filter(({ method }) => method === 'GET').map(({ url }) => url), KEY_URL, '/openapi.json', '/ready']
  for (const url of urls.map(url => url.replace(':tkn', tkn).replace(/:key$/, 'a').replace(/keys$/, 'keys?key=a'))) {
    const [get, head] = await Promise.all([send('GET', url), send('HEAD', url)])
    const { date: _, ...headers } = get.headers
    t.equal(get.statusCode, 200, url)
    t.hasStrict(head, { statusCode: 200, payload: '' }, url)
    t.match(head.headers, headers, url)
    if (url !== '/openapi.json') t.equal(get.headers['cache-control'], 'no-store', url)
  }
  for (const url of ['/sessions/nope', '/nope', `/sessions/${tkn}/keys/nope`]) {
    t.hasStrict(await send('HEAD', url), { statusCode: 404, payload: '' }, url)
    t.equal((await send('GET', url)).headers['cache-control'], 'no-store', url)
  }
})

t.test('a fault of the store is a 500 that tells nothing, and a log entry that tells all', async t => {
  const lines: string[] = []
  const broken = new Set<string>()
  const SECRET = 'secret /etc/passwd detail'
  const fault: { reason: unknown } = { reason: new Error(SECRET) }
  const { send, newSession, tkn } = await start(t, { log: pino({ level: 'trace' }, { write: line => { lines.push(line) } }) }, store => overriding<Pick<SessionStore, 'access'>>(store, {
    access: async (id, now, step) => {
      if (broken.has(id)) throw fault.reason
      return await store.access(id, now, step)
    },
  }))
  const bad = await newSession()
  broken.add(sessionId(bad))

  const VALUE = 'a value of mine'
  const good = Array.from({ length: 20 }, async (_, n) => await send('PUT', `/sessions/${tkn}/keys/${n}`, `{"value":"${VALUE}"}`))
  const rest = Array.from({ length: 20 }, async (_, n) => await send('PUT', `/sessions/${bad}/keys/${n}`, `{"value":"${VALUE}"}`))
  const commands = COMMAND_NAMES.filter(name => name.startsWith('KV_')).map(async name => {
    const { payload } = await send('POST', '/command', JSON.stringify({ [name]: { ...COMMANDS[name].example.params, tkn: bad } }))
    t.strictSame(JSON.parse(payload), { [`${name}_RSP`]: { tkn: bad, st: 1000, m: '' } }, name)
  })
  for (const { statusCode } of await Promise.all(good)) t.equal(statusCode, 201)
  for (const reply of await Promise.all(rest)) problem(t, reply, 'Unknown')
  await Promise.all(commands)
  problem(t, await send('GET', `/sessions/${bad}/keys?key=a`), 'Unknown')
  t.strictSame(JSON.parse((await send('POST', '/commands', `[{"KV_COUNT":{"tkn":"${bad}"}},{"KV_COUNT":{"tkn":"${tkn}"}}]`)).payload),
    [{ KV_COUNT_RSP: { tkn: bad, st: 1000, m: '' } }, { KV_COUNT_RSP: { st: 1, tkn, cnt: 20 } }])

  const faults = [['GET', `/sessions/${tkn}/nope`], ['PURGE', `/sessions/${tkn}`], ['GET', `/sessions/${tkn}?${tkn}=%zz`], ['GET', `/sessions/${tkn}/%zz`], ['GET', `/sessions/${tkn}${'a'.repeat(3073)}`]] as const
  for (const [method, url] of faults) t.match(await send(method, url), { statusCode: /^4/ })
  t.match(await send('PUT', `/sessions/${tkn}/keys/a`, VALUE, { 'content-type': 'text/plain' }), { statusCode: 415 })

  t.equal(lines.length, 20 + commands.length + 2, 'each fault is logged once, and nothing else')
  for (const line of lines) {
    t.match(JSON.parse(line), { level: 50, err: { message: SECRET, stack: /\n\s+at / } })
    for (const private_ of [tkn, bad, VALUE]) t.notMatch(line, private_, 'no token, no value')
  }

  for (const reason of [new TypeError('x'), 'a string', { message: 'an object' }, Object.assign(new Error('x'), { code: 'ENOSPC' })]) {
    fault.reason = reason
    problem(t, await send('GET', `/sessions/${bad}/count`), 'Unknown')
    t.match((await send('POST', '/command', `{"KV_COUNT":{"tkn":"${bad}"}}`)).payload, '"st":1000')
  }
})

t.test('whatever is sent, nothing is a fault of the server', async t => {
  const { app, send } = await start(t)
  // A shared session has the same token again after some DELETE /sessions.
  const restart = async (): Promise<string> => JSON.parse((await send('POST', '/sessions', '{"name":"fuzz","shared":true}')).payload).tkn
  const tkn = await restart()
  const anyText = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), fc.constantFrom('', '__proto__', 'a', '\ud800'))
  const part = fc.oneof(fc.constant('a'), fc.string().map(encodeURIComponent), fc.string({ unit: fc.constantFrom(...'%2fF0;+~.\\"<>^`{|}a'), minLength: 1 }))
  const token = fc.oneof({ weight: 3, arbitrary: fc.constant(tkn) }, part)
  const pair = fc.tuple(fc.constantFrom('key', 'keys', 'prefix', 'limit', 'cursor', '__proto__'), part).map(([name, value]) => `${name}=${value}`)
  const url = fc.tuple(fc.constantFrom(...mounted().keys()), token, part, fc.array(pair, { maxLength: 3 }), fc.oneof({ weight: 9, arbitrary: fc.constant('') }, part.map(text => `/${text}`)))
    .map(([url, tkn, key, pairs, tail]) => url.replace(':tkn', () => tkn).replace(':key', () => key) + tail + (pairs.length > 0 ? `?${pairs.join('&')}` : ''))
  const members = ['tkn', 'tkns', 'keys', 'key', 'value', 'path', 'name', 'shared', 'expiry', 'duration', 'rsp', '==', '>', '<=', 'limit', 'cursor', 'prefix', 'x']
  const param = fc.oneof(
    fc.constantFrom(tkn, ['a'], { a: 1 }, { a: null, b: { c: [1] } }, 'a', '', '/a', '$..a', '$', 'kv', 'paths', true, 60, 1.5, null, { duration: 1, deleteSession: false, idle: 1 }),
    fc.jsonValue(), anyText, fc.dictionary(anyText, fc.jsonValue()), fc.array(anyText))
  const params = fc.dictionary(fc.constantFrom(...members), param, { maxKeys: 6 }).chain(given => fc.boolean().map(withToken => withToken ? { ...given, tkn } : given))
  const envelope = fc.tuple(fc.constantFrom(...COMMAND_NAMES, 'FOO', ''), params).map(([name, params]) => ({ [name]: params }))
  const json = fc.oneof(envelope, fc.array(envelope, { maxLength: 3 }), params, fc.dictionary(fc.constant('value'), param), fc.jsonValue()).map(value => JSON.stringify(value))
  const broken = fc.tuple(json, fc.nat(), anyText).map(([text, at, junk]) => text.slice(0, at % (text.length + 1)) + junk)
  const body = fc.option(fc.oneof({ weight: 4, arbitrary: json }, broken, fc.uint8Array().map(bytes => Buffer.from(bytes))), { nil: undefined })
  const headerText = fc.oneof(fc.constantFrom('*', '"x"', 'W/"x", "y"', 'return=minimal', JSON_TYPE, MERGE_PATCH_TYPE, `${JSON_TYPE}; charset=utf-8`, '0', 'gzip'), fc.string({ unit: 'grapheme-ascii' }))
  const headers = fc.dictionary(fc.constantFrom('content-type', 'if-match', 'if-none-match', 'prefer', 'session-token', 'authorization', 'accept', 'content-encoding', 'x-http-method-override', '__proto__'), headerText, { maxKeys: 2 })
  const method = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE') }, fc.constantFrom(...METHODS.filter(method => method !== 'CONNECT')))

  await fc.assert(fc.asyncProperty(method, url, body, headers, async (method, url, body, headers) => {
    await restart()
    const { statusCode, headers: { 'content-type': type }, payload } = await send(method, url, body, { ...headers })
    if (statusCode >= 500 || (payload.includes('"st":1000') && !url.startsWith('/openapi'))) throw new Error(`${statusCode} ${payload}`)
    if (payload === '') return
    JSON.parse(payload)
    const isErr = payload.startsWith('{"ERR":') && /^\/commands?\b/.test(url)
    if (statusCode >= 400 && !isErr && !/^application\/problem\+json\b/.test(String(type))) throw new Error(`${statusCode} ${type}`)
    if (statusCode >= 400 && /\n\s*at |node_modules/.test(payload)) throw new Error(payload)
  }), { numRuns: 1000 })
  t.equal((await app.inject('/server')).statusCode, 200)

  // A key that a path can carry is the same key to a command.
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), async key => {
    if (!key.isWellFormed() || ['', '.', '..'].includes(key)) return // No path can carry them.
    await send('PUT', `/sessions/${tkn}/keys/${encodeURIComponent(key)}`, '{"value":"x"}')
    const { payload } = await send('POST', '/command', JSON.stringify({ KV_RMV: { tkn, keys: [key] } }))
    if (payload !== `{"KV_RMV_RSP":{"tkn":"${tkn}","keys":{${JSON.stringify(key)}:24}}}`) throw new Error(payload)
  }), { numRuns: 200 })
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('an empty body is none, also when only the missing bytes say so', async t => {
  const { app, send, session } = await start(t)
  const port = await listen(app)
  for (const type of ['garbage', '', '/']) {
    for (const [method, url, status] of [['POST', `${session}/clear`, 200], ['POST', `${session}/touch`, 200], ['DELETE', `${session}/keys?key=a`, 200]] as const) {
      t.equal((await send(method, url, undefined, { 'content-type': type })).statusCode, status, `no length, ${type} ${method} ${url}`)
      t.equal((await wire(t, port, head(method, url, `Content-Type: ${type}`, 'Content-Length: 00'))).statusCode, status, `00, ${type} ${method} ${url}`)
      t.equal((await wire(t, port, head(method, url, `Content-Type: ${type}`, 'Transfer-Encoding: chunked') + '0\r\n\r\n')).statusCode, status, `no chunk, ${type} ${method} ${url}`)
    }
  }
})

t.test('QUERY is a wrong method like any other', async t => {
  const { app, send } = await start(t)
  const port = await listen(app)
  for (const body of [undefined, '{}']) {
    const reply = await send('QUERY', '/command', body)
    problem(t, reply, 405)
    t.equal(reply.headers.allow, 'POST')
  }
  problem(t, await wire(t, port, head('QUERY', '/server')), 405)
})

t.test('the token in a header, and self in the path', async t => {
  const { app, send, tkn, session } = await start(t)
  const token = { 'session-token': tkn }
  for (const { method, url } of REST.filter(({ url }) => url.includes(':tkn'))) {
    // Neither is what the command wants, so that nothing is changed; but both were looked at alike.
    const body = method === 'GET' || method === 'DELETE' ? undefined : '{"nothing":1}'
    const query = body === undefined ? '?nothing=1' : ''
    const [inPath, inHeader] = [await send(method, url.replace(':tkn', tkn) + query, body), await send(method, url.replace(':tkn', 'self') + query, body, token)]
    t.strictSame([inHeader.statusCode, inHeader.payload], [inPath.statusCode, inPath.payload], `${method} ${url}`)
    problem(t, await send(method, url.replace(':tkn', tkn), undefined, token), 400, undefined, 'twice, though the same')
    problem(t, await send(method, url.replace(':tkn', 'self')), 'SessionTokenInvalid', 'tkn', 'nowhere')
    problem(t, await send(method, url.replace(':tkn', 'self'), undefined, { 'session-token': '' }), 'SessionTokenInvalid', 'tkn', 'empty')
  }
  t.equal((await send('PUT', '/sessions/self/keys/a', '{"value":1.10}', token)).statusCode, 201)
  t.strictSame((await send('GET', '/sessions/self/keys/a', undefined, token)).payload, '{"value":1.10}')
  t.strictSame((await send('GET', `${session}/keys/a`)).payload, '{"value":1.10}')
  problem(t, await send('GET', `${session}/keys/a`, undefined, token), 400)
  problem(t, await send('GET', '/sessions/self/keys/a'), 'SessionTokenInvalid', 'tkn')
  problem(t, await send('GET', '/sessions/self/keys/a', undefined, { 'session-token': `${tkn}, ${tkn}` }), 'SessionNotExist', undefined, 'one token that is unknown')
  problem(t, await send('POST', '/sessions/self/touch', `{"tkn":"${tkn}"}`, token), 'CommandSyntax', 'tkn', 'in the body')

  const port = await listen(app)
  const twice = await wire(t, port, `GET /sessions/self HTTP/1.1\r\nHost: x\r\nSession-Token: ${tkn}\r\nSESSION-token: ${tkn}\r\nConnection: close\r\n\r\n`)
  problem(t, twice, 400)
  t.match(twice, { payload: /Session-Token twice/ })
})

t.test('what is not well-formed takes no reply from the requests before it', async t => {
  for (const wrap of [(store: SessionStore) => store, (store: SessionStore) => overriding<Pick<SessionStore, 'access'>>(store, {
    access: async (...given) => {
      await nextTurn()
      return await store.access(...given)
    },
  })]) {
    const { app, tkn } = await start(t, {}, wrap)
    const port = await listen(app)
    const set = (value: number, ...more: string[]): string => {
      const body = `{"KV_APPEND":{"tkn":"${tkn}","keys":{"list":[${value}]}}}`
      return ['POST /command HTTP/1.1', 'Host: x', `Content-Type: ${JSON_TYPE}`, `Content-Length: ${body.length}`, ...more, '', body].join('\r\n')
    }
    /** The statuses of all replies that a connection gives to some bytes. */
    const statuses = async (bytes: string): Promise<string[]> => {
      const socket = connect(port, '127.0.0.1').setEncoding('latin1')
      let got = ''
      socket.on('data', (part: string) => { got += part }).on('error', () => {})
      socket.write(bytes, 'latin1')
      await new Promise(resolve => socket.on('close', resolve))
      return [...got.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status ?? '')
    }
    const get = 'GET /server HTTP/1.1\r\nHost: x\r\n\r\n'
    t.strictSame(await statuses(`${get}XXXX\r\n\r\n`), ['200', '400'])
    t.strictSame(await statuses(`${get.repeat(3)}XXXX\r\n\r\n`), ['200', '200', '200', '400'])
    t.strictSame(await statuses(set(1) + set(2) + set(3) + 'XXXX\r\n\r\n'), ['200', '200', '200', '400'])
    t.strictSame(await statuses(set(4) + get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n') + set(5)), ['200', '200'], 'nothing comes after the last one')
    t.strictSame(await statuses(set(6, 'Connection: close') + get), ['200'])
    const chunked = `POST /command HTTP/1.1\r\nHost: x\r\nContent-Type: ${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`
    t.strictSame(await statuses(set(7) + chunked), ['200', '400'], 'a body that is malformed has no reply of its own')
    t.strictSame(await statuses(chunked), ['400'])
    t.strictSame(await statuses('XXXX\r\n\r\n'.repeat(3)), ['400'])
  }
})

t.test('a reply that its client has not read is not cut when the server closes', async t => {
  const { app, send, session } = await start(t, { bodyLimit: GREATEST_BODY_BYTES })
  const value = `"${'x'.repeat(8_000_000)}"`
  await send('PUT', `${session}/keys/a`, `{"value":${value}}`)
  const port = await listen(app)
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.write(`GET ${session}/keys/a HTTP/1.1\r\nHost: x\r\n\r\n`)
  const [first] = await once(socket, 'data')
  socket.pause()
  const closed = app.close()
  await nextTurn()
  let got: string = first
  socket.on('data', part => { got += part })
  socket.resume()
  await once(socket, 'close')
  await closed
  t.equal(got.length - got.indexOf('\r\n\r\n') - 4, `{"value":${value}}`.length)
})

t.test('what Node itself refuses is a problem too', async t => {
  const { app } = await start(t)
  const port = await listen(app)
  problem(t, await wire(t, port, 'GET /server HTTP/1.1\r\nConnection: close\r\n\r\n'), 400, undefined, 'no Host')
  problem(t, await wire(t, port, head('GET', '/server', 'Expect: nonsense')), 417, undefined, 'Expect')
})

t.test('no route is 404, whatever the body', async t => {
  const { send } = await start(t)
  for (const type of ['text/plain', 'garbage', undefined]) problem(t, await send('POST', '/nope', 'x', { 'content-type': type }), 404, undefined, type)
})

t.test('whatever the store throws is a 500 that tells nothing', async t => {
  let reason: unknown
  const { send, session } = await start(t, {}, store => overriding(store, { access: async () => { throw reason } }))
  for (reason of [undefined, null, Object.assign(new Error('x'), { statusCode: 418 })]) problem(t, await send('GET', `${session}/count`), 'Unknown', undefined, String(reason))
})

t.test('a request that comes while the server closes is served', async t => {
  const { app } = await start(t)
  const socket = connect(await listen(app), '127.0.0.1')
  let text = ''
  socket.on('data', chunk => { text += chunk })
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.write(`POST /command HTTP/1.1\r\nHost: x\r\nContent-Type: ${JSON_TYPE}\r\nContent-Length: 14\r\n\r\n{`)
  await new Promise(resolve => app.server.once('request', resolve))
  const closing = app.close()
  socket.write('"SV_INFO":{}}' + head('GET', '/server'))
  await Promise.all([closing, closed])
  t.match(text.slice(text.lastIndexOf('HTTP/1.1')), /^HTTP\/1.1 200/)
})

t.test('a refused request whose body was not read ends its connection, so that the body is not taken for a request', async t => {
  const { app } = await start(t)
  const reply = await wire(t, await listen(app), head('GET', '/command', 'Content-Length: 10').replace('Connection: close\r\n', '') + 'GET / HTTP')
  problem(t, reply, 405)
  t.equal(reply.headers.connection, 'close')
})

t.test('empty elements of a list of entity tags are ignored', async t => {
  const { send, session } = await start(t)
  const { headers } = await send('PUT', `${session}/keys/k`, '{"value":1}')
  t.equal((await send('PUT', `${session}/keys/k`, '{"value":2}', { 'if-match': `, "x",,${headers.etag as string} ,` })).statusCode, 204)
  problem(t, await send('PUT', `${session}/keys/k`, '{"value":2}', { 'if-match': ',,' }), 'CommandSyntax', 'If-Match')
})

t.test('a fault of a route itself is a 500 that tells nothing, and a log entry that tells all', async t => {
  const lines: string[] = []
  const app = buildApp(await createGateway(memoryStore()), { log: pino({ level: 'error' }, { write: line => { lines.push(line) } }) })
  t.teardown(async () => { await app.close() })
  app.get('/broken', async () => { throw new Error('secret detail') })
  const { statusCode, headers, body } = await app.inject('/broken')
  t.equal(statusCode, 500)
  t.match(headers, { 'content-type': 'application/problem+json' })
  t.strictSame(JSON.parse(body), { type: 'urn:holdfast:status:Unknown', title: 'Unknown', status: 500, detail: 'A fault of the server.', st: 1000 })
  t.match(lines.map(line => JSON.parse(line)), [{ level: 50, err: { message: 'secret detail' } }])
})

/** A store whose accesses wait until they are let go, and are counted. */
function gatedStore () {
  const waiting: Array<() => void> = []
  const wrap = (store: SessionStore): SessionStore => overriding<Pick<SessionStore, 'access'>>(store, {
    access: async (id, now, access) => {
      await new Promise<void>(resolve => { waiting.push(resolve) })
      return await store.access(id, now, access)
    },
  })
  return { waiting, wrap }
}

t.test('requests of one connection are carried out one after the other', async t => {
  const { waiting, wrap } = gatedStore()
  const { app, session } = await start(t, {}, wrap)
  const socket = connect(await listen(app), '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', chunk => { text += chunk })
  socket.write(`GET ${session}/count HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(3))
  for (let answered = 0; answered < 3; answered++) {
    while (waiting.length === 0) await nextTurn()
    t.equal(waiting.length, 1)
    t.equal(text.split('HTTP/1.1 200').length - 1, answered)
    waiting.shift()?.()
    while (text.split('HTTP/1.1 200').length - 1 === answered) await nextTurn()
  }
})

t.test('requests of a connection that is gone are not begun', async t => {
  const { waiting, wrap } = gatedStore()
  const { app, send, session } = await start(t, {}, wrap)
  const socket = connect(await listen(app), '127.0.0.1')
  const gone = new Promise(resolve => app.server.once('connection', one => one.once('close', resolve)))
  socket.write(`GET ${session}/count HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(3))
  while (waiting.length === 0) await nextTurn()
  socket.destroy()
  await gone
  waiting.shift()?.()
  const other = send('GET', `${session}/count`)
  while (waiting.length === 0) await nextTurn()
  waiting.shift()?.()
  t.equal((await other).statusCode, 200)
  t.equal(waiting.length, 0)
})

t.test('long replies that nobody reads do not fill the memory, and short ones are sent all the same', async t => {
  const { send, session } = await start(t, { unsentLimit: 500_000 })
  await send('PUT', `${session}/keys/long`, `{"value":"${'x'.repeat(200_000)}"}`)
  const replies = await Promise.all([...Array(20).fill('long'), 'short'].map(async key => await send('GET', `${session}/keys/${key}`)))
  const refused = replies.filter(({ statusCode }) => statusCode === 503)
  t.ok(refused.length > 0 && refused.length < 20, `${refused.length} of 20 were refused`)
  for (const reply of refused) {
    problem(t, reply, 503)
    t.equal(reply.headers['retry-after'], '1')
    t.equal(reply.headers.etag, undefined, 'a problem has no entity tag of the value')
  }
  t.equal(replies.at(-1)?.statusCode, 404, 'the short one')
  t.equal((await send('GET', `${session}/keys/long`)).statusCode, 200, 'when the others are sent')
})

t.test('a body with a Content-Encoding is refused by name', async t => {
  const { send, session } = await start(t)
  const reply = await send('PUT', `${session}/keys/k`, '{"value":1}', { 'content-encoding': 'gzip' })
  problem(t, reply, 415)
  t.match(reply.payload, /Content-Encoding/)
  t.equal((await send('PUT', `${session}/keys/k`, '{"value":1}', { 'content-encoding': 'identity' })).statusCode, 201)
})

t.test('every reply says that nobody may keep it', async t => {
  const { send, session } = await start(t)
  for (const [method, url, body] of [['PUT', `${session}/keys/k`, '{"value":1}'], ['PUT', `${session}/keys/k`, '{"value":1}'], ['DELETE', `${session}/keys/k`], ['GET', '/nope'], ['GET', '/%ff'], ['POST', '/command', '{}']] as const) {
    t.equal((await send(method, url, body)).headers['cache-control'], 'no-store', `${method} ${url}`)
  }
})
