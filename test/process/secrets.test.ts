import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { COMMANDS } from '../../src/commands/index.js'
import { makeKey } from '../../src/auth/keygen.js'
import { REST, type RestRoute } from '../../routes/rest.js'
import { KEY_URL } from '../../routes/keys.js'
import { SCENARIOS } from '../cases.js'
import { start } from './processes.js'

/** Stands in every value, and nowhere else. */
const VALUE = 'VALUE-THAT-IS-SECRET'

/** The same JSON with every string in it longer by VALUE, but for names of members and tokens. */
const marked = (json: string): string => json.replaceAll(/(?<=[:[,]\s*")(?<!"tkn":\s*")([^"\\$]*)(?="\s*[,}\]])/g, `$1${VALUE}`)

/** Tokens in replies: 22 characters of base64url. */
const tokensIn = (text: string): string[] => [...text.matchAll(/"tkn":"([\w-]{22})"/g)].map(([, tkn]) => tkn ?? '')

t.test('tokens, API keys and values stand in no log at any level, and values in no failure', async t => {
  const directory = t.testdir()
  const path = join(directory, 'keys')
  const [key, other] = [makeKey('ops', 'admin', undefined), makeKey('reader', 'read', 'shop:')]
  writeFileSync(path, `${key.line}\n${other.line}`)
  const server = start(t, ['--port', '0', '--workers', '2', '--api-keys-file', path, '--log-level', 'trace'], { cwd: directory })
  const url = await server.ready()
  const tokens = new Set<string>()

  async function send (method: string, where: string, body: string | undefined, headers: Record<string, string> = {}): Promise<string> {
    const all = { authorization: `Bearer ${key.key}`, ...body !== undefined && { 'content-type': 'application/json' }, ...headers }
    const response = await fetch(url + where, { method, headers: all, ...body !== undefined && { body } })
    const reply = await response.text()
    for (const tkn of tokensIn(reply)) tokens.add(tkn)
    if (response.status >= 400 || /"m":/.test(reply)) t.notMatch(reply, VALUE, `${method} ${where} ${body}`)
    t.notMatch(reply, key.key)
    return reply
  }

  // All cases, as they are and with secret values, on both surfaces.
  for (const scenario of SCENARIOS) {
    const [tkn = ''] = tokensIn(await send('POST', '/command', '{"SH_NEW":{"name":"case"}}'))
    for (const step of scenario.steps) {
      if ('wait' in step) continue
      const [command, params] = step
      const route: RestRoute | undefined = REST.find((route: RestRoute) => route.command === command || route.minimal === command)
      for (const given of [params, marked(params)]) {
        await send('POST', '/command', `{"${command}":${given.replaceAll('$T', tkn)}}`)
        if (route === undefined || route.method === 'GET' || route.method === 'DELETE') continue
        await send(route.method, route.url.replace(':tkn', 'self'), given.replace(/"tkn":"[^"]*",?/, ''), { 'session-token': tkn })
      }
    }
  }
  // What is wrong in other ways: keys, tokens and values where they do not belong, and broken JSON and HTTP around them.
  const [tkn = ''] = tokensIn(await send('POST', '/sessions', '{"name":"x"}'))
  const bodies = [`{"value":"${VALUE}"`, `{"value":"${VALUE}"}}`, `["${VALUE}"]`, `"${VALUE}"`, VALUE, `{"keys":{"a":"${VALUE}\u0001"}}`, `{"keys":"${VALUE}"}`, `{"keys":["${VALUE}",1]}`]
  const urls = [...REST.map(({ method, url }) => [method, url] as const), ...['GET', 'PUT', 'PATCH', 'DELETE'].map(method => [method, KEY_URL] as const)]
  for (const [method, template] of urls) {
    const where = template.replace(':key', 'a')
    for (const body of bodies) {
      if (method === 'GET' || template === '/sessions') continue
      await send(method, where.replace(':tkn', 'self'), body, { 'session-token': tkn })
      await send(method, where.replace(':tkn', tkn), body, { 'content-type': `text/${VALUE}` })
    }
    await send(method, `${where.replace(':tkn', tkn)}/more`, undefined)
    await send(method, `${where.replace(':tkn', tkn)}?x=1`, undefined, { 'session-token': tkn })
    await send(method, where.replace(':tkn', tkn), undefined, { authorization: `Basic ${key.key}` })
    await send(method, where.replace(':tkn', 'self'), undefined, { 'session-token': `${tkn}x`, authorization: `Bearer ${other.key}` })
  }
  for (const name of Object.keys(COMMANDS)) await send('POST', '/command', `{"${name}":"${VALUE}"}`)
  const { port } = new URL(url)
  for (const request of [`GET /sessions/${tkn} HTTP/1.1\r\nAuthorization: Bearer ${key.key}\r\n\r\n`, `${tkn} ${key.key}\r\n\r\n`, `POST /command HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key.key}\r\nContent-Length: 99\r\n\r\n{"KV_SET":{"tkn":"${tkn}"`]) {
    await new Promise(resolve => connect(Number(port), '127.0.0.1').on('close', resolve).on('error', () => {}).on('data', () => {}).end(request))
  }
  const { stdout, stderr } = await server.stop('SIGTERM')
  const written = stdout + stderr
  t.ok(tokens.size > SCENARIOS.length)
  t.match(written, /"level":30/, 'something was logged')
  t.strictSame([...tokens, key.key, other.key, VALUE].filter(secret => written.includes(secret)), [])
})
