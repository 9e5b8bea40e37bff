import t, { type Test } from 'tap'
import type { InjectOptions } from 'fastify'
import { buildApp, type AppOptions } from '../src/app.js'
import type { Caller } from '../src/caller.js'
import { memoryStore } from '../src/stores/memory.js'
import { checkReplies } from './document.js'
import { gatewayAt } from './play.js'

/** Longer than any test. */
const windowMs = 3_600_000

async function serve (t: Test, options: AppOptions) {
  const gateway = await gatewayAt(memoryStore())
  const app = buildApp(gateway, options)
  checkReplies(app, fault => t.fail(fault))
  t.teardown(async () => await app.close())
  const send = async (method: NonNullable<InjectOptions['method']>, url: string, payload?: string, more: Pick<InjectOptions, 'remoteAddress' | 'headers'> = {}) =>
    await app.inject({ method, url, ...more, headers: { ...more.headers, ...payload !== undefined && { 'content-type': 'application/json' } }, ...payload !== undefined && { payload } })
  return { gateway, send }
}

const envelopes = (count: number): string => JSON.stringify(Array(count).fill({ SH_NEW: { name: 'x' } }))

t.test('beyond the limit: 429 with Retry-After and the RateLimit fields, and nothing is carried out', async t => {
  const { gateway, send } = await serve(t, { rateLimit: { max: 5, windowMs } })
  const sessions = async (): Promise<number> => (await gateway.store.totals(gateway.now())).sessions
  t.match(await send('POST', '/sessions', '{"name":"x"}'), { statusCode: 201, headers: { 'ratelimit-limit': 5, 'ratelimit-remaining': 4, 'ratelimit-reset': /^3[56]\d\d$/ } })
  t.match(await send('POST', '/commands', envelopes(3)), { statusCode: 200, headers: { 'ratelimit-remaining': 1 } }, 'a batch counts its envelopes')
  t.match(await send('POST', '/commands', envelopes(2)), { statusCode: 429, headers: { 'ratelimit-remaining': 0 } }, 'a batch that is too long is not begun')
  t.equal(await sessions(), 4)
  for (const [method, url, body] of [['GET', '/server'], ['POST', '/command', '{"SH_NEW":{"name":"x"}}'], ['POST', '/commands', '[]'], ['GET', '/nothing']] as const) {
    const reply = await send(method, url, body)
    t.match(reply, { statusCode: 429, headers: { 'ratelimit-remaining': 0, 'retry-after': /^3[56]\d\d$/, 'content-type': 'application/problem+json' } }, url)
    t.match(reply.json(), { title: 'Too Many Requests', detail: 'At most 5 commands in 3600000 ms: try again after the seconds in Retry-After.' })
  }
  t.equal(await sessions(), 4)
  for (const url of ['/ready', '/openapi.json']) t.match(await send('GET', url), { statusCode: 200, headers: { 'ratelimit-limit': undefined } })
})

t.test('a batch that does not fit counts for its request only', async t => {
  const { send } = await serve(t, { rateLimit: { max: 4, windowMs } })
  const reply = await send('POST', '/commands', envelopes(5))
  t.match(reply, { statusCode: 429, headers: { 'ratelimit-remaining': 3 } })
  t.match(reply.json(), { detail: 'At most 4 commands in 3600000 ms: a batch of so many never fits.' })
  t.match(await send('POST', '/commands', envelopes(4)), { statusCode: 429, headers: { 'ratelimit-remaining': 2 } })
  t.match(await send('POST', '/commands', envelopes(2)), { statusCode: 200, headers: { 'ratelimit-remaining': 0 } })
})

t.test('each address has its own, and a network of IPv6 is one', async t => {
  const { send } = await serve(t, { rateLimit: { max: 1, windowMs } })
  const statusOf = async (remoteAddress: string): Promise<number> => (await send('GET', '/server', undefined, { remoteAddress })).statusCode
  t.strictSame([await statusOf('10.0.0.1'), await statusOf('10.0.0.1'), await statusOf('10.0.0.2'), await statusOf('::ffff:10.0.0.2')], [200, 429, 200, 429])
  t.strictSame([await statusOf('2001:db8::1'), await statusOf('2001:db8::2'), await statusOf('2001:db8:0:1::1')], [200, 429, 200])
})

t.test('each API key has its own, from whatever address', async t => {
  const callers = new Map<string | undefined, Caller>(['a', 'b'].map(name => [`key of ${name}`.replaceAll(' ', '-'), { role: 'client', name, prefix: undefined }]))
  const { send } = await serve(t, { rateLimit: { max: 1, windowMs }, callerOf: key => callers.get(key) })
  const statusOf = async (name: string, remoteAddress: string): Promise<number> =>
    (await send('GET', '/server', undefined, { remoteAddress, headers: { authorization: `Bearer key-of-${name}` } })).statusCode
  t.strictSame([await statusOf('a', '10.0.0.1'), await statusOf('a', '10.0.0.2'), await statusOf('b', '10.0.0.1'), await statusOf('c', '10.0.0.1')], [200, 429, 200, 401])
})

t.test('when the time is over, it begins again', async t => {
  const { send } = await serve(t, { rateLimit: { max: 1, windowMs: 50 } })
  t.equal((await send('GET', '/server')).statusCode, 200)
  while ((await send('GET', '/server')).statusCode !== 429);
  while ((await send('GET', '/server')).statusCode !== 200);
  t.pass('it did')
})
