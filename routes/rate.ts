import rateLimit, { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { refuseTransport } from './problem.js'

/** How many commands somebody may send in a time. */
export interface RateLimit {
  readonly max: number
  readonly windowMs: number
}

/** Counts more commands of a request than the one that every request counts for. @throws {Refusal} 429 */
export type Charge = (request: FastifyRequest, reply: FastifyReply, count: number) => Promise<void>

/** Whoever was not seen for longest is forgotten when there are more. */
const CALLERS = 100_000

/** An IPv6 network of this many bits is one address: whoever has one has them all. */
const IPV6_BITS = 64

/** By the API key where there is one, so that what a proxy sends for many applications is told apart; else by the address. */
function nameOf ({ caller, ip }: FastifyRequest): string {
  return caller.name === undefined ? `address ${normalizeIP(ip, IPV6_BITS)}` : `key ${caller.name}`
}

/** Answers 429 to whoever sends more than the limit, before a body is read; on routes that are open to everybody nothing is counted. */
export function limitRate (app: FastifyInstance, { max, windowMs }: RateLimit): Charge {
  app.register(rateLimit, { global: false, max, timeWindow: windowMs, cache: CALLERS, keyGenerator: nameOf })
  let count: ReturnType<typeof app.createRateLimit> | undefined

  async function charge (request: FastifyRequest, reply: FastifyReply, times: number): Promise<void> {
    count ??= app.createRateLimit()
    let state = await count(request, { increment: false })
    // A batch that does not fit is not begun, and counts for no more than its request.
    const fits = state.isAllowed || state.remaining >= times
    for (let left = fits ? times : 0; left > 0; left--) state = await count(request)
    if (state.isAllowed) return
    // The names of the draft that the library knows (draft-ietf-httpapi-ratelimit-headers-07).
    reply.header('ratelimit-limit', state.max).header('ratelimit-remaining', state.remaining).header('ratelimit-reset', state.ttlInSeconds)
    if (fits && !state.isExceeded) return
    reply.header('retry-after', state.ttlInSeconds)
    refuseTransport(429, `At most ${max} commands in ${windowMs} ms: ${times < max ? 'try again after the seconds in Retry-After.' : 'a batch of so many never fits.'}`)
  }

  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.isOpen !== true) await charge(request, reply, 1)
  })
  return charge
}
