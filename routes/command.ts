import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { andThen } from '../src/awaitable.js'
import type { Report } from '../src/dispatch.js'
import { executeAll, executeOne, type Answer } from '../src/envelope.js'
import type { Gateway } from '../src/protocol/gateway.js'
import { bodyOf, refuseMergePatch, refusePreconditions } from './http.js'
import { asEmpty, asJson } from './problem.js'

type Execute = typeof executeOne | typeof executeAll

const EMPTY = Buffer.alloc(0)

/** POST /command and POST /commands: envelopes in, envelopes out (PROTOCOL 5). */
export function mountCommand (app: FastifyInstance, gateway: Gateway, report: Report): void {
  const post = (url: string, execute: Execute): void => {
    app.post(url, (request: FastifyRequest, reply: FastifyReply) => {
      refuseMergePatch(request)
      refusePreconditions(request)
      const answer = execute(gateway, bodyOf(request) ?? EMPTY, report, () => request.raw.socket.destroyed)
      return andThen(answer, answer => bodyFor(reply, answer))
    })
  }
  post('/command', executeOne)
  post('/commands', executeAll)
}

function bodyFor (reply: FastifyReply, { text, isError }: Answer): string {
  if (text === undefined) return asEmpty(reply, 204)
  return asJson(reply.code(isError ? 400 : 200), text)
}
