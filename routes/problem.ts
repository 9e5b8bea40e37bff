import { STATUS_CODES } from 'node:http'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { failureOf, STATUSES, type Failure } from '../src/status.js'

/** Problem details (RFC 9457), with the protocol's own members `st` and `param`. */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri-reference', description: 'Kind of the problem; about:blank for one that HTTP itself names.' }),
  title: Type.String({ description: 'Name of the status, such as SessionNotExist; the reason phrase where the protocol has none.' }),
  status: Type.Integer({ format: 'int32', description: 'HTTP status.' }),
  detail: Type.String({ description: 'What a person needs to mend it. Do not match on it.' }),
  st: Type.Optional(Type.Integer({ format: 'int32', description: 'Status number of the protocol.' })),
  param: Type.Optional(Type.String({ description: 'The parameter to blame.' })),
}, { $id: 'Problem', description: 'Problem details (RFC 9457).' })

export const PROBLEM_TYPE = 'application/problem+json'

export type ProblemDetails = Static<typeof Problem>

/** The problem of a command that failed as a whole. */
export function failureProblem ({ status, param, detail }: Failure): ProblemDetails {
  const { st, http } = STATUSES[status]
  return { type: `urn:holdfast:status:${status}`, title: status, status: http, detail, st, ...param !== '' && { param } }
}

/** The problem of a request that never became a command. @param status HTTP status */
export function transportProblem (status: number, detail: string): ProblemDetails {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail }
}

/** A request that is refused before it becomes a command, for a handler to throw: `sendError` answers it. */
export class Refusal extends Error {
  constructor (readonly problem: ProblemDetails) {
    super(problem.detail)
    this.name = 'Refusal'
  }
}

/** Refuses a request below the protocol. @param status HTTP status */
export function refuseTransport (status: number, detail: string): never {
  throw new Refusal(transportProblem(status, detail))
}

/** Refuses a request with a status of the protocol, as a command would. */
export function refuseAs (...[status, param, detail]: Parameters<typeof failureOf>): never {
  throw new Refusal(failureProblem(failureOf(status, param, detail)))
}

/** Seconds after which a client may try again what was answered with 503. */
export const RETRY_AFTER = '1'

export function sendProblem (reply: FastifyReply, problem: ProblemDetails): FastifyReply {
  return reply.send(asProblem(reply, problem))
}

// Handlers return what these give, and Fastify sends it: one that has sent already, and returns the reply, has Fastify listen for its end.

/** Makes the reply a problem. @returns its body */
export function asProblem (reply: FastifyReply, problem: ProblemDetails): Buffer {
  if (problem.status === 503) reply.header('retry-after', RETRY_AFTER)
  reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE)
  return Buffer.from(JSON.stringify(problem))
}

/** Makes the reply a command's success. @returns its body */
export function asJson (reply: FastifyReply, text: string): string {
  reply.type('application/json; charset=utf-8')
  return text
}

/** Makes the reply one without content, such as 204 or 304 (RFC 9110, section 15), once sendNoContent() was called. @returns its body */
export function asEmpty (reply: FastifyReply, code: number): '' {
  reply.code(code)
  return ''
}

/** Sends an empty body as none: Fastify would give it a type, and 304 a length, and takes null for JSON. */
export function sendNoContent (app: FastifyInstance): void {
  app.addHook('onSend', ({ method }, reply, payload, done) => {
    if (payload !== '') return done(null, payload)
    reply.removeHeader('content-type')
    // Fastify's own hook of HEAD comes after this one, and looks into the body.
    done(null, method === 'HEAD' ? payload : null)
  })
}
