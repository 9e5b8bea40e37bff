import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Caller, CallerOf } from '../src/caller.js'
import { failureOf, statusNumber } from '../src/status.js'
import { COMMAND_URLS } from './command.js'
import { isTwice } from './http.js'
import { asJson, failureProblem, Refusal, transportProblem } from './problem.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. On a route that is open to everybody it may be nobody that is known. */
    caller: Caller
  }
  interface FastifyContextConfig {
    /** Whether the route answers whoever asks. */
    readonly isOpen?: boolean
  }
}

/** RFC 6750, section 2.1, as far as a key has to have a form. */
const BEARER = /^bearer +([^\s]+) *$/i

/** RFC 6750, section 3: whoever sent nothing is told what to send, and whoever sent something that it is wrong. */
const CHALLENGE = 'Bearer realm="holdfast"'
const WRONG_KEY = `${CHALLENGE}, error="invalid_token"`

const UNAUTHORIZED_ENVELOPE = `{"ERR":{"st":${statusNumber('Unauthorized')},"m":""}}`

/** Finds out who asks, before a body is read. Whoever nobody knows gets 401, except on routes that are open. */
export function authenticate (app: FastifyInstance, callerOf: CallerOf): void {
  app.decorateRequest('caller')
  app.addHook('onRequest', (request, reply, done) => {
    const { authorization } = request.headers
    if (authorization !== undefined && isTwice(request, 'authorization')) return done(new Refusal(transportProblem(400, 'The request has Authorization twice.')))
    const caller = callerOf(authorization === undefined ? undefined : BEARER.exec(authorization)?.[1] ?? '')
    if (caller !== undefined) {
      request.caller = caller
      return done()
    }
    const { url = '', config } = request.routeOptions
    if (config.isOpen === true) return done()
    reply.header('www-authenticate', authorization === undefined ? CHALLENGE : WRONG_KEY)
    if (!COMMAND_URLS.includes(url)) return done(new Refusal(failureProblem(failureOf('Unauthorized', '', detailOf(request)))))
    // Nobody reads the body, and it would be taken for the next request.
    reply.code(401).header('connection', 'close').send(asJson(reply, UNAUTHORIZED_ENVELOPE))
  })
}

function detailOf ({ headers: { authorization } }: FastifyRequest): string {
  return authorization === undefined
    ? 'An API key is required: Authorization: Bearer <key>.'
    : 'There is no such API key. What has to be sent: Authorization: Bearer <key>.'
}
