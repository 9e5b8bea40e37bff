import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Kind } from '@sinclair/typebox'
import { andThen } from '../src/awaitable.js'
import { COMMANDS } from '../src/commands/index.js'
import type { Command } from '../src/protocol/command.js'
import type { Gateway } from '../src/protocol/gateway.js'
import { dispatch, isFailure, type Reply, type Report } from '../src/dispatch.js'
import type { Opens } from '../src/json/scanner.js'
import type { Params } from '../src/protocol/param.js'
import { opensForParams } from '../src/protocol/request.js'
import type { Failure } from '../src/status.js'
import { bodyOf, parametersIn, queryOf, refuseMergePatch, refusePreconditions, tokenOf, tokenParams, type TokenParams } from './http.js'
import { asEmpty, asJson, asProblem, failureProblem, refuseAs } from './problem.js'
import { REST, type RestRoute } from './rest.js'

const MINIMAL = /(?:^|[,;])\s*return\s*=\s*"?minimal"?\s*(?:[,;]|$)/i

/** Mounts the table of rest.ts. */
export function mountRest (app: FastifyInstance, gateway: Gateway, report: Report): void {
  for (const route of REST satisfies readonly RestRoute[]) mount(app, gateway, report, route)
}

function mount (app: FastifyInstance, gateway: Gateway, report: Report, route: RestRoute): void {
  const { method, url } = route
  const opens = opensForParams(COMMANDS[route.command].params)
  const hasToken = url.includes(':tkn')
  app.route<{ Params: TokenParams }>({
    method,
    url,
    ...hasToken && { schema: { params: tokenParams } },
    handler: (request, reply) => {
      if (method !== 'GET') refusePreconditions(request)
      const minimal = route.minimal !== undefined && MINIMAL.test(String(request.headers.prefer ?? ''))
      const command = minimal && route.minimal !== undefined ? route.minimal : route.command
      const { params }: Command = COMMANDS[command]
      const given = fromQuery(route, params, request)
      addFromBody(given, route, params, opens, request)
      if (hasToken) setToken(given, tokenOf(request))
      return andThen(dispatch(gateway, { command, caller: request.caller, given, room: Infinity, report }), result => {
        if (isFailure(result)) return asProblem(reply, failureProblem(inWordsOfQuery(route, result)))
        if (minimal) reply.header('preference-applied', 'return=minimal')
        return answer(reply, route, result)
      })
    },
  })
}

function answer (reply: FastifyReply, route: RestRoute, { reply: content, text }: Reply): string {
  if (text === undefined) return asEmpty(reply, 204)
  if (route.success !== undefined) {
    // The only command that creates something answers the token of what it created.
    reply.code(route.success).header('location', `/sessions/${(content as { tkn: string }).tkn}`)
  }
  return asJson(reply, text)
}

function setToken (given: Map<string, unknown>, tkn: string): void {
  if (given.has('tkn')) refuseAs('CommandSyntax', 'tkn', 'The token does not stand in the body here.')
  given.set('tkn', tkn)
}

/** Adds the parameters in a body to those of the query. */
function addFromBody (given: Map<string, unknown>, { method }: RestRoute, params: Params, opens: Opens, request: FastifyRequest): void {
  refuseMergePatch(request)
  const body = bodyOf(request)
  if (body === undefined) return
  if (method === 'DELETE') refuseAs('CommandSyntax', '', 'This route takes no body.')
  for (const [name, value] of parametersIn(body, params, opens)) given.set(name, value)
}

/** The parameters in a query, as the route names them and as their schemas want them. */
function fromQuery ({ query = {} }: RestRoute, params: Params, request: FastifyRequest): Map<string, unknown> {
  const given = new Map<string, unknown>()
  for (const [name, value] of queryOf(request)) {
    const param = Object.hasOwn(query, name) ? query[name] : undefined
    if (param === undefined) refuseAs('CommandSyntax', name, `This route has ${Object.keys(query).join(', ') || 'nothing'} in its query.`)
    const kind = params[param]?.schema[Kind]
    const before = given.get(param)
    if (kind === 'Array' && Array.isArray(before)) before.push(value)
    else if (kind === 'Array') given.set(param, [value])
    else if (before !== undefined) refuseAs('CommandSyntax', name, 'The query has this parameter twice.')
    else given.set(param, fromText(value, kind))
  }
  return given
}

/** A value of a query as the schema of its parameter wants it; the text itself when it is none. */
function fromText (value: string, kind: string | undefined): unknown {
  if (kind === 'Integer' && /^\d+$/.test(value)) return Number(value)
  if (kind === 'Boolean' && (value === 'true' || value === 'false')) return value === 'true'
  return value
}

/** Names the parameter to blame as the client named it in the query. */
function inWordsOfQuery ({ query = {} }: RestRoute, failure: Failure): Failure {
  const name = Object.keys(query).find(name => query[name] === failure.param)
  return name === undefined ? failure : { status: failure.status, param: name, detail: failure.detail }
}
