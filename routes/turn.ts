import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Report } from '../src/dispatch.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The turn of the event loop in which its handler began; -1 before that. */
    turn: number
  }
}

/** A reply that waits for the end of its turn. */
interface Held {
  readonly reply: FastifyReply
  readonly send: () => void
}

/**
 * Sends the replies of one turn of the event loop together. Requests arrive in bunches; a reply that is written between two of them
 * wakes its client right then, which in a virtual machine costs this process 25 to 30 microseconds of a request's 76 when the client
 * has fallen asleep. Written one after the other at the end of the turn, they wake each client once. Measured with 64 connections on
 * two cores: 0.67 wake-ups per request became 0.06, 76 microseconds 45. Behind other machines the gain is smaller.
 *
 * Replies that are made in a later turn, when a group commit or an engine has answered, go at once: they come together by
 * themselves. So do those that follow a turn with one request, or a client that is alone would wait for nothing.
 *
 * Hooks on replies that come after this one run when the reply is sent.
 * @param report told of what sending one reply throws: its connection is closed, and the other replies go out
 */
export function sendTogether (app: FastifyInstance, report: Report): void {
  let turn = 0
  let requests = 0
  let isCrowded = false
  let held: Held[] = []

  function endTurn (): void {
    turn++
    isCrowded = requests > 1
    requests = 0
    const replies = held
    held = []
    for (const { reply, send } of replies) {
      try {
        send()
      } catch (error) {
        report(error)
        reply.raw.destroy()
      }
    }
  }

  app.decorateRequest('turn', -1)
  app.addHook('preHandler', (request, _reply, done) => {
    request.turn = turn
    // The number of turns moves with every turn that has requests, also when nothing is held: else it would hold later replies too.
    if (requests++ === 0) setImmediate(endTurn)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    if (isCrowded && request.turn === turn) held.push({ reply, send: () => done(null, payload) })
    else done(null, payload)
  })
}
