import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.js'
import { COMMAND_NAMES, COMMANDS, type CommandName } from '../src/commands/index.js'
import { KeyStatuses } from '../src/commands/schemas.js'
import { executeAll, executeOne } from '../src/envelope.js'
import { createGateway, type Gateway } from '../src/protocol/gateway.js'
import type { SessionStore } from '../src/session.js'
import { StatusError, statusName, STATUSES, type StatusName } from '../src/status.js'
import { lmdbStore } from '../src/stores/lmdb/open.js'
import { memoryStore } from '../src/stores/memory.js'
import { VERSION } from '../src/version.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { checkReplies } from './document.js'
import { freshStores } from './stores/valkey/gateways.js'
import { needs } from './stores/valkey/servers.js'
import { ENVELOPES, SCENARIOS, START, type Failure, type Scenario } from './cases.js'
import { waitingStore } from './process/waiting-store.js'
import { overriding } from './overriding.js'

interface World {
  readonly app: FastifyInstance
  readonly gateway: Gateway
  /** Milliseconds since START. */
  passed: number
}

/** What came back: the content of the reply, or the failure; and which statuses the content names. */
type Reply = { readonly text: string } | Failure | undefined

/** Sends a command one way or the other; 'impossible' when that way cannot say such a thing. */
type Send = (app: FastifyInstance, command: CommandName, params: string) => Promise<Reply | 'impossible'>

const seenCommands = new Set<CommandName>()
const seenStatuses = new Set<StatusName>()

const asFailure = (st: number, m: string): Failure => ({ fails: statusName(st), m })

const throughCommand: Send = async (app, command, params) => {
  const { statusCode, payload } = await app.inject({ method: 'POST', url: '/command', headers: { 'content-type': 'application/json' }, payload: `{"${command}":${params}}` })
  if (statusCode === 204) return undefined
  t.equal(statusCode, 200, 'a reply has HTTP 200, whatever its status')
  const content = payload.slice(`{"${command}_RSP":`.length, -1)
  const parsed = JSON.parse(content) as { st?: number, m?: string, tkn?: unknown }
  if (parsed.m === undefined || parsed.st === undefined) return { text: content }
  const { tkn } = JSON.parse(params) as { tkn?: unknown }
  t.equal(content, JSON.stringify({ tkn: typeof tkn === 'string' ? tkn : null, st: parsed.st, m: parsed.m }), 'a failure echoes the token')
  return asFailure(parsed.st, parsed.m)
}

const routeOf = (command: CommandName): RestRoute | undefined =>
  REST.find((route: RestRoute) => route.command === command || route.minimal === command)

/** Parameters as a query string by the route's table; undefined when a query cannot say them. */
function queryString ({ query = {} }: RestRoute, params: Record<string, unknown>): string | undefined {
  const names = new Map(Object.entries(query).map(([name, param]) => [param, name]))
  const parts: string[] = []
  for (const [param, value] of Object.entries(params)) {
    const values = param === 'keys' ? value : [value]
    if (!Array.isArray(values) || values.length === 0) return undefined
    for (const one of values) {
      if (typeof one !== 'string' && typeof one !== 'number') return undefined
      if (typeof one === 'number' && param !== 'limit') return undefined
      if (!String(one).isWellFormed()) return undefined
      parts.push(`${encodeURIComponent(names.get(param) ?? param)}=${encodeURIComponent(one)}`)
    }
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

/** The members of a JSON object but `tkn`, as text: JSON.parse would not keep it exact. */
const withoutToken = (params: string): string => params.replace(/^\{"tkn":"[^"]*",?/, '{').replace(/,?"tkn":"[^"]*"\}$/, '}')

const throughRest: Send = async (app, command, params) => {
  const route = routeOf(command)
  if (route === undefined) throw new Error(`${command} has no route`)
  const parsed = JSON.parse(params) as Record<string, unknown>
  const { tkn, ...rest } = parsed
  const hasToken = route.url.includes(':tkn')
  if (hasToken && (typeof tkn !== 'string' || tkn === '')) return 'impossible'
  const query = route.method === 'GET' || route.method === 'DELETE' ? queryString(route, hasToken ? rest : parsed) : ''
  if (query === undefined) return 'impossible'
  const body = route.method === 'GET' || route.method === 'DELETE' ? undefined : hasToken ? withoutToken(params) : params
  const response = await app.inject({
    method: route.method,
    url: route.url.replace(':tkn', encodeURIComponent(String(tkn))) + query,
    headers: { ...body !== undefined && { 'content-type': 'application/json' }, ...route.minimal === command && { prefer: 'return=minimal' } },
    ...body !== undefined && { payload: body },
  })
  if (response.statusCode === 204) return undefined
  if (response.headers['content-type'] !== 'application/problem+json') {
    t.equal(response.statusCode, route.success ?? 200, `${command}: HTTP status of success`)
    return { text: response.payload }
  }
  const { st, param = '', title, status, type } = response.json<{ st: number, param?: string, title: StatusName, status: number, type: string }>()
  t.strictSame([title, status, response.statusCode, type], [statusName(st), STATUSES[title].http, STATUSES[title].http, `urn:holdfast:status:${title}`], 'problem details agree')
  return asFailure(st, route.query?.[param] ?? param)
}

async function world (store: SessionStore): Promise<World> {
  const clock = { passed: 0 }
  let tokens = 0
  const gateway = await createGateway(store, { now: () => START + clock.passed, newToken: () => `T${++tokens}` })
  const app = buildApp(gateway)
  return Object.assign(clock, { gateway, app })
}

function note (command: CommandName, reply: Reply): void {
  seenCommands.add(command)
  if (reply === undefined) return
  if ('fails' in reply) {
    seenStatuses.add(reply.fails)
    return
  }
  const { st, keys = {} } = JSON.parse(reply.text) as { st?: number, keys?: Record<string, number> }
  const statuses = COMMANDS[command].reply.properties.keys === KeyStatuses ? Object.values(keys) : []
  for (const number of [st ?? [], statuses].flat()) seenStatuses.add(statusName(number))
}

async function play (t: Test, store: SessionStore, scenario: Scenario, send: Send): Promise<void> {
  const here = await world(store)
  checkReplies(here.app, fault => t.fail(`The reply is not as the OpenAPI document says: ${fault}`))
  const shared = await here.gateway.sharedToken('shop')
  const fill = (text: string): string => text.replaceAll('$T', 'T1').replaceAll('$S', shared)
    .replaceAll('$V', VERSION).replaceAll('$K', store.kind)
  await send(here.app, 'SH_NEW', `{"name":"case"${scenario.session === undefined ? '' : `,${scenario.session}`}}`)
  for (const step of scenario.steps) {
    if ('wait' in step) {
      here.passed += step.wait
      continue
    }
    const [command, params, expected] = step
    const reply = await send(here.app, command, fill(params))
    if (reply === 'impossible') continue
    note(command, reply)
    t.strictSame(reply, typeof expected === 'string' ? { text: fill(expected) } : expected, `${command} ${params.slice(0, 200)}`)
  }
  await here.app.close()
}

/** Each store as a new scenario finds it. */
const STORES: Record<string, (t: Test) => Promise<SessionStore>> = {
  memory: async () => memoryStore(),
  lmdb: async t => await lmdbStore(t.testdir()),
  valkey: freshStores(t),
}
const NEEDS: Record<string, { readonly skip: string | false }> = { valkey: needs() }
const SURFACES: Record<string, Send> = { '/command': throughCommand, REST: throughRest }

for (const [kind, open] of Object.entries(STORES)) {
  for (const [surface, send] of Object.entries(SURFACES)) {
    t.test(`the table of cases on ${kind} through ${surface}`, NEEDS[kind] ?? {}, async t => {
      for (const scenario of SCENARIOS) {
        await t.test(scenario.name, async t => {
          const store = await open(t)
          await play(t, store, scenario, send)
          await store.close()
        })
      }
    })
  }
}

t.test('envelopes that no command can be blamed for', async t => {
  const { app } = await world(memoryStore())
  for (const [body, http, expected] of ENVELOPES) {
    const { statusCode, payload } = await app.inject({ method: 'POST', url: '/command', headers: { 'content-type': 'application/json' }, payload: body })
    t.strictSame([statusCode, payload], [http, expected], body)
    const { ERR, ...replies } = JSON.parse(payload) as Record<string, { st?: number }>
    const { st } = ERR ?? Object.values(replies)[0] ?? {}
    if (st !== undefined) seenStatuses.add(statusName(st))
  }
})

t.test('what does not fit into a reply or a value is refused, and changes nothing', async t => {
  const { gateway } = await world(memoryStore())
  const run = async (body: string, execute = executeOne): Promise<string | undefined> =>
    (await execute(gateway, Buffer.from(body), error => { throw error })).text
  const MIB = 1024 * 1024
  const text = `"${'x'.repeat(14 * MIB)}"`
  await run('{"SH_NEW":{"name":"big"}}')
  for (const key of ['a', 'b', 'c', 'd', 'e']) await run(`{"KV_SETQ":{"tkn":"T1","keys":{"${key}":${text}}}}`)

  t.equal(await run('{"KV_GET":{"tkn":"T1","keys":["a","b","c","d","e"]}}'), '{"KV_GET_RSP":{"tkn":"T1","st":42,"m":"keys"}}')
  t.equal(await run('{"KV_FIND":{"tkn":"T1","path":"","==":1}}'), '{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"keys"}}')
  const batch = await run(`[${Array(5).fill('{"KV_GET":{"tkn":"T1","keys":["a"]}}').join(',')},{"KV_COUNT":{"tkn":"T1"}}]`, executeAll)
  t.ok(batch?.endsWith('}},{"KV_GET_RSP":{"tkn":"T1","st":42,"m":""}},{"KV_COUNT_RSP":{"st":1,"tkn":"T1","cnt":5}}]'))

  t.equal(await run(`{"KV_APPEND":{"tkn":"T1","keys":{"a":"${'y'.repeat(2 * MIB)}"}}}`), '{"KV_APPEND_RSP":{"tkn":"T1","keys":{"a":42}}}')
  await run(`{"KV_SETQ":{"tkn":"T1","keys":{"list":[${Array(20).fill(0).join(',')}],"o":{"a":${text}}}}}`)
  const long = `"${'y'.repeat(MIB)}"`
  t.equal(await run(`{"KV_UPDATE":{"tkn":"T1","key":"list","path":"$[*]","value":${long}}}`), '{"KV_UPDATE_RSP":{"tkn":"T1","st":42,"m":"value"}}')
  t.equal(await run(`{"KV_MERGE":{"tkn":"T1","keys":{"o":{"b":${long},"c":${long}}}}}`), '{"KV_MERGE_RSP":{"tkn":"T1","keys":{"o":42}}}')
  t.equal(await run('{"KV_FIND":{"tkn":"T1","path":"/19","==":0,"keys":["list"]}}'), '{"KV_FIND_RSP":{"tkn":"T1","keys":["list"]}}')
})

t.test('a batch whose client has left is not carried out to its end', async t => {
  const { gateway } = await world(memoryStore())
  const run = async (body: string, isGone: () => boolean): Promise<string | undefined> =>
    (await executeAll(gateway, Buffer.from(body), error => { throw error }, isGone)).text
  const find = '{"KV_FIND":{"tkn":"T1","path":"$[?match(@, \'(a+)+b\')]","rsp":"keys"}}'
  const batch = `[${find},{"KV_ADD":{"tkn":"T1","keys":{"later":1}}}]`
  await run(`[{"SH_NEW":{"name":"x"}},{"KV_SET":{"tkn":"T1","keys":{"a":["${'a'.repeat(64)}"]}}}]`, () => true)
  t.equal(await run(batch, () => true), '[{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"path"}}]')
  t.equal(await run(batch, () => false), '[{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"path"}},{"KV_ADD_RSP":{"tkn":"T1","keys":{"later":20}}}]')
})

t.test('the secret of a store that has to be waited for is fetched at the first need of it, once', async t => {
  const { store, tell } = waitingStore()
  let fetched = 0
  const counting: SessionStore = overriding<Pick<SessionStore, 'opened' | 'secret'>>(memoryStore(), {
    opened: Promise.resolve(),
    async secret (make) {
      fetched++
      return await store.secret(make)
    },
  })
  const gateway = await createGateway(counting)
  t.equal(fetched, 0)
  await t.rejects(Promise.all(['a', 'b'].map(gateway.sharedToken)), new StatusError('StoreUnavailable', '', 'Nothing was tried.'))
  t.equal(fetched, 1, 'one attempt for all')
  tell(undefined)
  const tokens = await Promise.all(['a', 'b', 'a'].map(gateway.sharedToken))
  t.equal(fetched, 2, 'one that failed is not kept')
  t.strictSame([tokens[0], tokens[1]?.length], [tokens[2], 22])
  t.not(tokens[0], tokens[1])
  t.equal(await gateway.sharedToken('b'), tokens[1])
  t.equal(fetched, 2)
  t.equal(await (await createGateway(counting)).sharedToken('b'), tokens[1], 'every gateway has the same')
  await t.rejects(createGateway(overriding(memoryStore(), { secret: async () => { throw new Error('damaged') } })), { message: 'damaged' }, 'another store has it at once')
})

/** Statuses that need a limit, an API key, a store that fails, a precondition or a fault: other tests produce them, or later issues. */
const ELSEWHERE: readonly StatusName[] = ['LimitExceeded', 'StoreUnavailable', 'PreconditionFailed', 'Unauthorized', 'Forbidden', 'DataDamaged', 'Unknown']

t.test('every command and every status was seen', async t => {
  t.strictSame(COMMAND_NAMES.filter(name => !seenCommands.has(name)), [])
  const names = Object.keys(STATUSES) as StatusName[] // The table's own keys.
  t.strictSame(names.filter(name => !seenStatuses.has(name) && !ELSEWHERE.includes(name)), [])
  t.strictSame(ELSEWHERE.filter(name => seenStatuses.has(name)), [])
})
