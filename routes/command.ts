import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { executeAll, executeOne, type Answer } from '../src/envelope.js'
import type { Gateway } from '../src/protocol/gateway.js'
import { bodyOf, refuseMergePatch, refusePreconditions, reportTo } from './http.js'
import { sendJson } from './problem.js'

type Execute = typeof executeAll

const EMPTY = Buffer.alloc(0)

/** POST /command and POST /commands: envelopes in, envelopes out (PROTOCOL 5). */
export function mountCommand (app: FastifyInstance, gateway: Gateway): void {
  const post = (url: string, execute: Execute): void => {
    app.post(url, async (request: FastifyRequest, reply: FastifyReply) => {
      refuseMergePatch(request)
      refusePreconditions(request)
      const answer = await execute(gateway, bodyOf(request) ?? EMPTY, reportTo(request), () => request.raw.socket.destroyed)
      return send(reply, answer)
    })
  }
  post('/command', executeOne)
  post('/commands', executeAll)
}

function send (reply: FastifyReply, { text, isError }: Answer): FastifyReply {
  if (text === undefined) return reply.code(204).send()
  return sendJson(reply.code(isError ? 400 : 200), text)
}
