// Plays the table of cases on a store: every scenario, as envelopes and as REST, which must agree.
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.js'
import { COMMANDS, type CommandName } from '../src/commands/index.js'
import { KeyStatuses } from '../src/commands/schemas.js'
import { createGateway, type Gateway } from '../src/protocol/gateway.js'
import type { SessionStore } from '../src/session.js'
import { statusName, STATUSES, type StatusName } from '../src/status.js'
import { memoryStore } from '../src/stores/memory.js'
import { VERSION } from '../src/version.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { checkReplies } from './document.js'
import { SCENARIOS, START, type Failure, type Scenario } from './cases.js'

/** What came back: the content of the reply, or the failure; and which statuses the content names. */
type Reply = { readonly text: string } | Failure | undefined

/** Sends a command one way or the other; 'impossible' when that way cannot say such a thing. */
type Send = (app: FastifyInstance, command: CommandName, params: string) => Promise<Reply | 'impossible'>

/** What was seen, by this process. */
export const seenCommands = new Set<CommandName>()
export const seenStatuses = new Set<StatusName>()

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
      if (typeof one !== 'string' && !(typeof one === 'number' && param === 'limit') && !(typeof one === 'boolean' && param === 'all')) return undefined
      if (!String(one).isWellFormed()) return undefined
      parts.push(`${encodeURIComponent(names.get(param) ?? param)}=${encodeURIComponent(String(one))}`)
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

const SURFACES: Record<string, Send> = { '/command': throughCommand, REST: throughRest }

/**
 * Plays every scenario through both surfaces.
 * @param open a store as a new scenario finds it
 * @param options of tap, for each surface
 */
export function playAll (t: Test, kind: string, open: (t: Test) => Promise<SessionStore>, options: { readonly skip?: string | false } = {}): void {
  for (const [surface, send] of Object.entries(SURFACES)) {
    t.test(`the table of cases on ${kind} through ${surface}`, options, async t => {
      // One app for all: to build it takes longer than most scenarios. Its gateway is each time that of the scenario.
      const gateway = await createGateway(memoryStore())
      const app = buildApp(gateway)
      let scene = t
      checkReplies(app, fault => scene.fail(`The reply is not as the OpenAPI document says: ${fault}`))
      for (const scenario of SCENARIOS) {
        await t.test(scenario.name, async t => {
          scene = t
          const store = await open(t)
          const clock = { passed: 0 }
          Object.assign(gateway, await gatewayAt(store, clock))
          await play(t, app, gateway, clock, scenario, send)
          await store.close()
        })
      }
      await app.close()
    })
  }
}

/** A gateway with a clock of the test's own, in milliseconds since START, whose tokens are T1, T2 and so on. */
export async function gatewayAt (store: SessionStore, clock = { passed: 0 }): Promise<Gateway> {
  let tokens = 0
  return await createGateway(store, { now: () => START + clock.passed, newToken: () => `T${++tokens}` })
}

async function play (t: Test, app: FastifyInstance, { store, sharedToken }: Gateway, clock: { passed: number }, scenario: Scenario, send: Send): Promise<void> {
  const shared = await sharedToken('shop')
  const fill = (text: string): string => text.replaceAll('$T', 'T1').replaceAll('$S', shared)
    .replaceAll('$V', VERSION).replaceAll('$K', store.kind)
  await send(app, 'SH_NEW', `{"name":"case"${scenario.session === undefined ? '' : `,${scenario.session}`}}`)
  for (const step of scenario.steps) {
    if ('wait' in step) {
      clock.passed += step.wait
      continue
    }
    const [command, params, expected] = step
    const reply = await send(app, command, fill(params))
    if (reply === 'impossible') continue
    note(command, reply)
    t.strictSame(reply, typeof expected === 'string' ? { text: fill(expected) } : expected, `${command} ${params.slice(0, 200)}`)
  }
}
