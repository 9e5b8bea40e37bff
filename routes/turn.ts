import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyRequest {
    /** The turn of the event loop in which its handler began; -1 before that. */
    turn: number
  }
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
 * To be called after every other hook on replies: what is held here is as it will be sent.
 */
export function sendTogether (app: FastifyInstance): void {
  let turn = 0
  let requests = 0
  let isCrowded = false
  let held: Array<() => void> = []

  function endTurn (): void {
    turn++
    isCrowded = requests > 1
    requests = 0
    const replies = held
    held = []
    for (const send of replies) send()
  }

  app.decorateRequest('turn', -1)
  app.addHook('preHandler', (request, _reply, done) => {
    request.turn = turn
    // The number of turns moves with every turn that has requests, also when nothing is held: else it would hold later replies too.
    if (requests++ === 0) setImmediate(endTurn)
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    if (isCrowded && request.turn === turn) held.push(() => done(null, payload))
    else done(null, payload)
  })
}
