import { createHash } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.js'
import { KeyFileError, parseKeyFile } from '../src/auth/key-file.js'
import { makeKey } from '../src/auth/keygen.js'
import { Keyring } from '../src/auth/keyring.js'
import { anybody, ROLES, type Role } from '../src/caller.js'
import { COMMAND_NAMES, COMMANDS, type CommandName } from '../src/commands/index.js'
import { memoryStore } from '../src/stores/memory.js'
import { REST } from '../routes/rest.js'
import { checkReplies } from './document.js'
import { gatewayAt } from './play.js'

const SHA = 'a'.repeat(64)
const parse = (text: string) => parseKeyFile(Buffer.from(text)).map(({ caller: { name, role, prefix }, digest }) => [name, role, prefix, digest.toString('hex')])

t.test('the file of API keys', async t => {
  t.strictSame(parse(''), [])
  t.strictSame(parse(`\ufeff# keys\n\n  web client ${SHA}\r\nops\tadmin \t${'b'.repeat(64)} # the operators\nshop server ${'c'.repeat(64)} prefix=shop:#1 #x\n#`), [
    ['web', 'client', undefined, SHA], ['ops', 'admin', undefined, 'b'.repeat(64)], ['shop', 'server', 'shop:#1', 'c'.repeat(64)],
  ])
  const faults: Array<readonly [string, string]> = [
    ['web', 'line 1: a line is NAME ROLE SHA256 [prefix=TEXT]'],
    [`\nweb client # ${SHA}`, 'line 2: a line is NAME ROLE SHA256 [prefix=TEXT]'],
    [`web root ${SHA}`, 'line 1: the second word has to be a role: read, client, server, admin'],
    [`web constructor ${SHA}`, 'line 1: the second word has to be a role: read, client, server, admin'],
    [`web client ${SHA.toUpperCase()}`, 'line 1: the third word has to be a SHA-256: 64 hexadecimal digits in lower case'],
    [`web client ${SHA}0`, 'line 1: the third word has to be a SHA-256: 64 hexadecimal digits in lower case'],
    [`web client ${SHA} shop:`, 'line 1: the fourth word has to be prefix= and a text'],
    [`web client ${SHA} prefix=`, 'line 1: the fourth word has to be prefix= and a text'],
    [`web client ${SHA} prefix=a b`, 'line 1: has more than four words'],
    [`web client ${SHA}\nweb read ${'b'.repeat(64)}`, 'line 2: has the name of line 1'],
    [`web client ${SHA}\nother admin ${SHA}\nx`, 'line 2: has the key of line 1; line 3: a line is NAME ROLE SHA256 [prefix=TEXT]'],
  ]
  for (const [text, message] of faults) t.throws(() => parse(text), new KeyFileError(message), text)
  t.throws(() => parseKeyFile(Buffer.from([0xff])), new KeyFileError('it is not UTF-8'))
})

t.test('a key that is made fits its line', async t => {
  const { key, line } = makeKey('web', 'server', 'shop:')
  t.match(key, /^[\w-]{43}$/, '256 bits')
  t.strictSame(parse(line), [['web', 'server', 'shop:', createHash('sha256').update(key).digest('hex')]])
  t.not(makeKey('web', 'server', undefined).key, key)
})

const KEYS: Readonly<Record<Role | 'shop' | 'shopAdmin', string>> = { read: 'key-of-read', client: 'key-of-client', server: 'key-of-server', admin: 'key-of-admin', shop: 'key-of-shop', shopAdmin: 'key-of-shop-admin' }
const digestOf = (key: string): string => createHash('sha256').update(key).digest('hex')
const FILE = [...ROLES.map(role => `${role} ${role} ${digestOf(KEYS[role])}`), `shop client ${digestOf(KEYS.shop)} prefix=shop:`, `shopAdmin admin ${digestOf(KEYS.shopAdmin)} prefix=shop:`].join('\n')

interface Told { readonly info: string[], readonly warn: string[], readonly error: string[] }

/** A file of keys, and what is told of it. */
async function keyringOf (t: Test, text: string) {
  const path = join(t.testdir(), 'keys')
  writeFileSync(path, text)
  const told: Told = { info: [], warn: [], error: [] }
  const keyring = await Keyring.open(path, { info: m => told.info.push(m), warn: m => told.warn.push(m), error: m => told.error.push(m) })
  t.teardown(() => keyring.close())
  return { path, told, keyring }
}

/** A server that asks for keys, its replies compared with the document. */
async function guarded (t: Test) {
  const { keyring, path, told } = await keyringOf(t, FILE)
  const app = buildApp(await gatewayAt(memoryStore()), { callerOf: key => key === undefined ? undefined : keyring.find(key) })
  checkReplies(app, fault => t.fail(fault))
  t.teardown(async () => await app.close())
  return { app, keyring, path, told }
}

const withKey = (key: string | undefined): Record<string, string> => key === undefined ? {} : { authorization: `Bearer ${key}` }

async function send (app: FastifyInstance, method: NonNullable<InjectOptions['method']>, url: string, key?: string, payload?: string, headers: Record<string, string> = {}) {
  return await app.inject({ method, url, headers: { ...withKey(key), ...payload !== undefined && { 'content-type': 'application/json' }, ...headers }, ...payload !== undefined && { payload } })
}

t.test('without a key everything is 401, but for what is open to all', async t => {
  const { app } = await guarded(t)
  for (const url of ['/ready', '/openapi.json']) t.equal((await send(app, 'GET', url)).statusCode, 200, url)
  const requests: Array<readonly [NonNullable<InjectOptions['method']>, string]> = [
    ...REST.map(({ method, url }) => [method, url.replace(':tkn', 'x')] as const),
    ['GET', '/sessions/x/keys/y'], ['PUT', '/sessions/x/keys/y'], ['PATCH', '/sessions/x/keys/y'], ['DELETE', '/sessions/x/keys/y'],
    ['GET', '/nothing'], ['POST', '/server'], ['POST', '/ready'], ['GET', '/ready/'],
  ]
  for (const [method, url] of requests) {
    const reply = await app.inject({ method, url })
    t.match(reply, { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="holdfast"', 'content-type': 'application/problem+json' } }, `${method} ${url}`)
    t.match(reply.json(), { title: 'Unauthorized', st: 203 })
  }
  for (const url of ['/command', '/commands']) {
    const reply = await send(app, 'POST', url, undefined, 'this is no JSON')
    t.match(reply, { statusCode: 401, payload: '{"ERR":{"st":203,"m":""}}', headers: { 'content-type': 'application/json; charset=utf-8', 'www-authenticate': 'Bearer realm="holdfast"', connection: 'close' } }, 'before the body is looked at')
  }
  for (const authorization of ['Bearer wrong', `Bearer ${KEYS.admin}x`, `Bearer ${KEYS.admin} x`, 'Bearer', 'Bearer ', `Basic ${KEYS.admin}`, KEYS.admin, '', `Bearer ${digestOf(KEYS.admin)}`]) {
    const reply = await app.inject({ method: 'GET', url: '/server', headers: { authorization } })
    t.match(reply, { statusCode: 401, headers: { 'www-authenticate': 'Bearer realm="holdfast", error="invalid_token"' } }, authorization)
  }
  for (const authorization of [`Bearer ${KEYS.read}`, `bearer   ${KEYS.read} `, `BEARER ${KEYS.read}`]) {
    t.equal((await app.inject({ method: 'GET', url: '/server', headers: { authorization } })).statusCode, 200, authorization)
  }
})

t.test('two keys are none', async t => {
  const { app } = await guarded(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  for (const [first, second] of [[KEYS.read, KEYS.admin], [KEYS.read, 'x'], ['x', KEYS.read]]) {
    const socket = connect(port, '127.0.0.1')
    socket.end(`GET /server HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${first}\r\nauthorization: Bearer ${second}\r\n\r\n`)
    t.match(await text(socket), /^HTTP\/1\.1 400 [^]*The request has Authorization twice/)
  }
})

/** The least role for each command: a table of its own, so that a change of the rows is seen. */
const LEAST: Readonly<Record<CommandName, Role>> = {
  SH_NEW: 'client',
  SH_OPEN: 'read',
  SH_INFO: 'read',
  SH_INFO_ALL: 'server',
  SH_EXISTS: 'read',
  SH_TOUCH: 'client',
  SH_END: 'client',
  SH_END_ALL: 'admin',
  KV_SET: 'client',
  KV_SETQ: 'client',
  KV_ADD: 'client',
  KV_ADDQ: 'client',
  KV_GET: 'read',
  KV_RMV: 'client',
  KV_CONTAINS: 'read',
  KV_COUNT: 'read',
  KV_KEYS: 'read',
  KV_CLEAR: 'client',
  KV_CLEAR_SET: 'client',
  KV_APPEND: 'client',
  KV_UPDATE: 'client',
  KV_MERGE: 'client',
  KV_FIND: 'read',
  SV_INFO: 'read',
}

t.test('what each role may do, in an envelope, in a batch and on REST', async t => {
  const { app } = await guarded(t)
  for (const role of ROLES) {
    for (const name of COMMAND_NAMES) {
      const may = ROLES.indexOf(role) >= ROLES.indexOf(LEAST[name])
      // Without a session most fail, but not for the key.
      const envelope = `{"${name}":{"tkn":"x"}}`
      const one = await send(app, 'POST', '/command', KEYS[role], envelope)
      const [inBatch] = (await send(app, 'POST', '/commands', KEYS[role], `[${envelope}]`)).json()
      const route = REST.find(route => route.command === name || ('minimal' in route && route.minimal === name))
      const { method = 'GET', url = '' } = route ?? {}
      const rest = await send(app, method, url.replace(':tkn', 'self'), KEYS[role], method === 'GET' || method === 'DELETE' ? undefined : '{}', { 'session-token': 'x' })
      if (may) {
        t.not(one.statusCode, 403, `${role} ${name}`)
        t.not(inBatch?.[`${name}_RSP`]?.st, 204)
        t.not(rest.statusCode, 403)
      } else {
        t.match(one, { statusCode: 403, payload: `{"${name}_RSP":{"tkn":"x","st":204,"m":""}}` }, `${role} ${name}`)
        t.strictSame(inBatch, { [`${name}_RSP`]: { tkn: 'x', st: 204, m: '' } })
        t.equal(rest.statusCode, 403)
        t.match(rest.json(), { st: 204, title: 'Forbidden', detail: new RegExp(`^${route?.command ?? ''} needs an API key of the role ${LEAST[name]}\\.$`) })
      }
    }
  }
  for (const name of COMMAND_NAMES) t.equal(COMMANDS[name].role, LEAST[name])
})

t.test('the key of a single-key route counts, too, and what is refused changes nothing', async t => {
  const { app } = await guarded(t)
  const { tkn } = (await send(app, 'POST', '/sessions', KEYS.client, '{"name":"x","expiry":{"duration":0,"deleteSession":true,"idle":60}}')).json()
  const token = { 'session-token': tkn }
  t.equal((await send(app, 'PUT', '/sessions/self/keys/a', KEYS.client, '{"value":1}', token)).statusCode, 201)
  for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
    t.equal((await send(app, method, '/sessions/self/keys/a', KEYS.read, method === 'DELETE' ? undefined : '{"value":2}', token)).statusCode, 403)
  }
  t.equal((await send(app, 'GET', '/sessions/self/keys/a', KEYS.read, undefined, token)).payload, '{"value":1}')
  t.equal((await send(app, 'DELETE', '/sessions?all=true', KEYS.server)).statusCode, 403)
  t.match((await send(app, 'GET', '/sessions', KEYS.server)).json(), { totalSessions: 1 })
  const [found] = (await send(app, 'POST', '/commands', KEYS.read, `[{"SH_END_ALL":{"all":true}},{"KV_GET":{"tkn":"${tkn}","keys":["a"]}}]`)).json().slice(1)
  t.strictSame(found, { KV_GET_RSP: { tkn, keys: { a: 1 } } })
})

t.test('a key that is limited to a prefix reaches shared sessions by such names only', async t => {
  const { app } = await guarded(t)
  const open = async (name: string, key: string): Promise<number> => (await send(app, 'POST', '/sessions/open', key, JSON.stringify({ name }))).statusCode
  const start = async (body: object, key: string) => await send(app, 'POST', '/sessions', key, JSON.stringify(body))
  t.equal((await start({ name: 'other', shared: true }, KEYS.client)).statusCode, 201)
  for (const key of [KEYS.shop, KEYS.shopAdmin]) {
    t.equal((await start({ name: 'shop:1', shared: true }, key)).statusCode, 201)
    t.equal(await open('shop:1', key), 200)
    for (const name of ['other', 'Shop:1', 'shop', ' shop:1']) {
      t.match((await start({ name, shared: true }, key)).json(), { status: 403, st: 204, detail: 'This API key is limited to shared sessions whose names begin with "shop:".' })
      t.equal(await open(name, key), 403, name)
    }
    const reply = await start({ name: 'other' }, key)
    t.equal(reply.statusCode, 201, 'a session of its own may have any name')
    t.equal((await send(app, 'GET', '/sessions/self', key, undefined, { 'session-token': reply.json().tkn })).statusCode, 200, 'a token is its own right')
    t.match(await start({ name: 5, shared: true }, key), { statusCode: 400 })
  }
  t.match((await send(app, 'DELETE', '/sessions?all=true', KEYS.shopAdmin)).json(), { st: 204, detail: 'SH_END_ALL needs an API key that is not limited to some names.' })
  t.match((await send(app, 'DELETE', '/sessions?all=true', KEYS.admin)).json(), { st: 1 })
})

t.test('nobody has a key, and some roles are not for everybody', async t => {
  const app = buildApp(await gatewayAt(memoryStore()), { callerOf: anybody('client') })
  t.equal((await send(app, 'POST', '/sessions', undefined, '{"name":"x"}')).statusCode, 201)
  t.equal((await send(app, 'GET', '/sessions')).statusCode, 403)
  t.equal((await send(app, 'DELETE', '/sessions?all=true')).statusCode, 403)
  t.equal((await send(app, 'GET', '/server', 'whatever')).statusCode, 200, 'a key is not looked at')
})

t.test('a change of the file counts from then on; a faulty one changes nothing', async t => {
  const { app, keyring, path, told } = await guarded(t)
  const status = async (key: string): Promise<number> => (await send(app, 'GET', '/server', key)).statusCode
  t.equal(await status(KEYS.client), 200)
  const { key, line } = makeKey('new', 'read', undefined)
  writeFileSync(`${path}.new`, `${line}\n`)
  renameSync(`${path}.new`, path)
  await keyring.reload()
  t.strictSame([await status(key), await status(KEYS.client)], [200, 401])
  t.strictSame(told, { info: ['the API keys were read again: 1'], warn: [], error: [] })

  writeFileSync(path, `${line}\nsecret-that-stands-in-the-wrong-place`)
  await keyring.reload()
  await keyring.reload()
  const fault = 'The file of API keys cannot be used, and the keys that it had before still count: line 2: a line is NAME ROLE SHA256 [prefix=TEXT]'
  t.equal(keyring.warning, fault)
  t.equal(await status(key), 200)
  rmSync(path)
  await keyring.reload()
  t.match(keyring.warning, 'no such file or directory')
  t.equal(await status(key), 200)
  t.strictSame(told.error, [fault, keyring.warning], 'once each')

  writeFileSync(path, '# nobody\n')
  await keyring.reload()
  t.equal(keyring.warning, 'The file of API keys has none: nobody is let in.')
  t.equal(await status(key), 401)
  t.strictSame(told.warn, ['The file of API keys has none: nobody is let in.'])

  writeFileSync(path, line)
  while (await status(key) !== 200) await sleep(50)
  t.pass('it is looked at again and again')
})

t.test('a file that cannot be used at the start is no keyring', async t => {
  const log = { info () {}, warn () {}, error () {} }
  await t.rejects(Keyring.open(join(t.testdir(), 'none'), log), { code: 'ENOENT' })
  await t.rejects(keyringOf(t, 'x'), new KeyFileError('line 1: a line is NAME ROLE SHA256 [prefix=TEXT]'))
  t.strictSame((await keyringOf(t, '')).told.warn, ['The file of API keys has none: nobody is let in.'])
})
