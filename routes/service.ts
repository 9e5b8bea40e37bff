import { METHODS } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { asJson, asProblem, Refusal, refuseTransport, transportProblem } from './problem.js'

/** Whether requests should be sent here. */
export interface Readiness {
  /** A sentence that says why not; undefined while they should. */
  readonly reason: string | undefined
  /** Sentences on what an operator has to mend while requests are served all the same. */
  readonly warnings?: readonly string[]
}

/** Answers whoever asks. */
const OPEN = { config: { isOpen: true } }

/** What belongs to no command. @param document the OpenAPI document */
export function mountService (app: FastifyInstance, document: object, readiness: Readiness): void {
  const text = JSON.stringify(document)
  app.get('/openapi.json', OPEN, (_request, reply) => asJson(reply, text))
  app.get('/ready', OPEN, (_request, reply) => {
    const { reason, warnings = [] } = readiness
    const text = () => JSON.stringify({ ready: true, ...warnings.length > 0 && { warnings } })
    return reason === undefined ? asJson(reply, text()) : asProblem(reply, transportProblem(503, reason))
  })
}

/** The one method that Node gives to no request handler. */
const NOT_ROUTABLE = 'CONNECT'

/**
 * Answers 405 with `Allow` (RFC 9110, section 15.5.6) for every other method of every URL that was mounted, and 404 for the rest.
 * Fastify on its own says 404 to both.
 * @param mounted methods by URL
 */
export function refuseOthers (app: FastifyInstance, mounted: ReadonlyMap<string, ReadonlySet<string>>): void {
  const methods = METHODS.filter(method => method !== NOT_ROUTABLE)
  for (const method of methods) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  for (const [url, allowed] of mounted) {
    const allow = [...allowed].sort().join(', ')
    app.route({
      url,
      method: methods.filter(method => !allowed.has(method)),
      onRequest: async (_request, reply) => {
        reply.header('allow', allow)
        refuseTransport(405, `Allowed here: ${allow}.`)
      },
      handler: async () => {},
    })
  }
  // Before any body is looked at, which would be answered with 415 instead.
  app.addHook('onRequest', (request, _reply, done) => {
    done(request.is404 ? new Refusal(transportProblem(404, 'There is nothing at this URL: GET /openapi.json lists what there is.')) : undefined)
  })
}
