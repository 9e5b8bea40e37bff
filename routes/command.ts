import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { andThen } from '../src/awaitable.js'
import type { Report } from '../src/dispatch.js'
import { executeAll, executeOne, type Answer } from '../src/envelope.js'
import type { Gateway } from '../src/protocol/gateway.js'
import { bodyOf, refuseMergePatch, refusePreconditions } from './http.js'
import type { Charge } from './rate.js'
import { asEmpty, asJson } from './problem.js'

/** Where envelopes are sent. */
export const COMMAND_URLS: readonly string[] = ['/command', '/commands']

const EMPTY = Buffer.alloc(0)

/**
 * POST /command and POST /commands: envelopes in, envelopes out (PROTOCOL 5).
 * @param charge counts the envelopes of a batch
 */
export function mountCommand (app: FastifyInstance, gateway: Gateway, report: Report, charge?: Charge): void {
  app.post('/command', (request: FastifyRequest, reply: FastifyReply) => {
    const answer = executeOne(gateway, request.caller, envelopesOf(request), report)
    return andThen(answer, answer => bodyFor(reply, answer))
  })
  app.post('/commands', async (request: FastifyRequest, reply: FastifyReply) => {
    const isGone = (): boolean => request.raw.socket.destroyed
    // The request itself has counted for one.
    const admit = async (count: number): Promise<void> => await charge?.(request, reply, count - 1)
    return bodyFor(reply, await executeAll(gateway, request.caller, envelopesOf(request), report, { isGone, admit }))
  })
}

function envelopesOf (request: FastifyRequest): Buffer {
  refuseMergePatch(request)
  refusePreconditions(request)
  return bodyOf(request) ?? EMPTY
}

function bodyFor (reply: FastifyReply, { text, http }: Answer): string {
  if (text === undefined) return asEmpty(reply, http)
  return asJson(reply.code(http), text)
}
