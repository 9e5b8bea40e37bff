import Fastify, { type FastifyInstance } from 'fastify'
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { openApi } from '../openapi/document.js'
import { authenticate } from '../routes/auth.js'
import { letRepliesLeave, limitConnections, type ConnectionLimits } from '../routes/connections.js'
import { mountCommand } from '../routes/command.js'
import { mountRest } from '../routes/mount.js'
import { answerMalformed, answerNodesOwn, sendError } from '../routes/faults.js'
import { takeBodies } from '../routes/http.js'
import { mountKeys } from '../routes/keys.js'
import { resistPressure } from '../routes/pressure.js'
import { limitRate, type RateLimit } from '../routes/rate.js'
import { sendTogether } from '../routes/turn.js'
import { sendNoContent } from '../routes/problem.js'
import { mountService, refuseOthers, type Readiness } from '../routes/service.js'
import { anybody, type CallerOf } from './caller.js'
import type { Gateway } from './protocol/gateway.js'
import { DEFAULT_BODY_BYTES, MAX_KEY_BYTES, MAX_UNSENT_CHARACTERS } from './limits.js'

export interface AppOptions {
  /** Bytes of a request's body; 1 MiB unless given. */
  readonly bodyLimit?: number
  /** Milliseconds in which a request has to arrive; 30,000 unless given. */
  readonly requestTimeout?: number
  /** How many connections there may be at once; any number unless given. */
  readonly connections?: ConnectionLimits
  /** How many commands whoever asks may send in a time; any number unless given. */
  readonly rateLimit?: RateLimit
  /** Characters of replies that may wait for their clients to read them, beyond which long replies become 503; 256 Mi unless given. */
  readonly unsentLimit?: number
  /** Where faults of the server are told, such as a logger of pino; nowhere unless given. */
  readonly log?: { error (content: { readonly err: unknown }, message: string): void }
  /** Who has an API key; unless given, everybody may do everything, whether with a key or without. */
  readonly callerOf?: CallerOf
  /** What GET /ready answers; always ready unless given. */
  readonly readiness?: Readiness
}

/** Characters of a part of the path: a key, each byte of it percent-encoded. */
const MAX_PART_CHARACTERS = 3 * MAX_KEY_BYTES

/** Longer than the 60 seconds that reverse proxies keep an idle connection, so that it is never closed under a request. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000

/** Milliseconds for which a client may read nothing of its reply; then its connection is closed. */
const STALLED_TIMEOUT_MS = 120_000

/** The HTTP server of a gateway, without a port: it reads no environment and does not listen. */
export function buildApp (gateway: Gateway, options: AppOptions = {}): FastifyInstance {
  const { bodyLimit = DEFAULT_BODY_BYTES, requestTimeout = 30_000, log, readiness = { reason: undefined }, callerOf = anybody('admin') } = options
  const report = (error: unknown): void => { log?.error({ err: error }, 'fault') }
  const app = Fastify({
    bodyLimit,
    requestTimeout,
    // Node swaps a requestTimeout smaller than its headersTimeout, and looks only every 30 seconds unless told.
    http: { headersTimeout: requestTimeout, connectionsCheckingInterval: Math.min(requestTimeout, 1000), requireHostHeader: false },
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionTimeout: STALLED_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // A request that arrives while the server closes is served: its proxy may not be able to send it elsewhere.
    return503OnClosing: false,
    // Fastify has no logger: with one it makes a child of it for each request, and listens for the end of each reply.
    routerOptions: { maxParamLength: MAX_PART_CHARACTERS },
    frameworkErrors: (error, request, reply) => { sendError(error, request, reply, report) },
    clientErrorHandler: answerMalformed,
  }).withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(TypeBoxValidatorCompiler)
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, report))
  answerNodesOwn(app)
  letRepliesLeave(app)
  if (options.connections !== undefined) limitConnections(app, options.connections)
  resistPressure(app, options.unsentLimit ?? MAX_UNSENT_CHARACTERS)

  const mounted = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = mounted.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    mounted.set(url, methods)
  })
  // Nothing between server and client may keep session data and tokens.
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })
  authenticate(app, callerOf)
  const charge = options.rateLimit === undefined ? undefined : limitRate(app, options.rateLimit)
  sendNoContent(app)
  sendTogether(app, report)
  // After that: a reply that is held when the server begins to close has to close its connection, too.
  closeConnections(app)
  takeBodies(app)
  mountCommand(app, gateway, report, charge)
  mountRest(app, gateway, report)
  mountKeys(app, gateway, report)
  mountService(app, openApi('3.1'), readiness)
  refuseOthers(app, new Map(mounted))
  return app
}

/** Closes the connection with every answer once the server is closing: a connection that stays open keeps the server open. */
function closeConnections (app: FastifyInstance): void {
  let isClosing = false
  app.addHook('preClose', done => {
    isClosing = true
    done()
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
}
