import { finished } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { PROBLEM_TYPE, RETRY_AFTER, transportProblem } from './problem.js'

/** Replies shorter than this are always sent: there cannot be enough connections for them to matter. */
const LONG_REPLY_CHARACTERS = 64 * 1024

/**
 * Keeps clients that ask faster than they read from filling the memory. Requests that arrive on one connection before
 * its last reply was sent wait for that (Node itself would begin all of them at once), and those of a connection that is
 * gone are never begun. A long reply that would make more than `limit` characters wait to be sent, over all connections,
 * becomes a 503; short ones are sent whatever others do.
 */
export function resistPressure (app: FastifyInstance, limit: number): void {
  let unsent = 0

  app.addHook('onRequest', (_request, { raw }, done) => {
    // Node gives a reply its socket once the replies before it have been sent, and tells so.
    if (raw.socket !== null) done()
    else raw.once('socket', () => done())
  })

  app.addHook('onSend', (_request, reply, payload, done) => {
    const length = typeof payload === 'string' ? payload.length : 0
    if (length <= LONG_REPLY_CHARACTERS) return done(null, payload)
    if (unsent + length > limit) {
      reply.removeHeader('etag').code(503).type(PROBLEM_TYPE).header('retry-after', RETRY_AFTER)
      return done(null, Buffer.from(JSON.stringify(transportProblem(503, TOO_MUCH))))
    }
    unsent += length
    finished(reply.raw, () => { unsent -= length })
    done(null, payload)
  })
}

const TOO_MUCH = 'The command was carried out, but its long reply cannot be kept while so many others wait for their clients to read them.'
