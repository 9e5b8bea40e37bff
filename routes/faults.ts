import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Report } from '../src/dispatch.js'
import { failureOf } from '../src/status.js'
import { failureProblem, PROBLEM_TYPE, Refusal, sendProblem, transportProblem, type ProblemDetails } from './problem.js'

/** What a client did wrong below the protocol. Fastify's own messages are not passed on: some of them quote the request. */
const DETAILS: Record<string, string> = {
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'Content-Type is malformed: send application/json.',
  FST_ERR_BAD_URL: 'The URL is not well-formed: percent-encode it as UTF-8 (RFC 3986).',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of the path is longer than any token or key can be.',
}

/**
 * Answers what was thrown on the way to a command, or on the way back, with problem details: what a command itself throws is a
 * failure by then. What nobody expected is reported, and not described.
 */
export function sendError (error: unknown, request: FastifyRequest, reply: FastifyReply, report: Report): FastifyReply {
  const problem = error instanceof Refusal ? error.problem : clientFault(error, request)
  if (problem === undefined) {
    report(error)
    return sendProblem(reply, failureProblem(failureOf('Unknown')))
  }
  // The rest of a body that nobody reads would be taken for the next request. What has a status of the protocol was judged after its body was read.
  if (problem.st === undefined && request.body === undefined && hasBody(request)) reply.header('connection', 'close')
  return sendProblem(reply, problem)
}

/** What Fastify itself refuses, and a body that broke off; undefined for a fault of ours, whatever status it carries. */
function clientFault (error: unknown, { routeOptions }: FastifyRequest): ProblemDetails | undefined {
  const { statusCode = 500, code = '' } = (error ?? {}) as Partial<FastifyError> // Whatever it is, only these two are looked at.
  if (!(code.startsWith('FST_ERR_') || code === 'ECONNRESET') || statusCode < 400 || statusCode >= 500) return undefined
  if (statusCode === 413) return transportProblem(statusCode, `The body is larger than ${routeOptions.bodyLimit} bytes, which is what this server takes.`)
  return transportProblem(statusCode, DETAILS[code] ?? 'The request is malformed.')
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Answers as problems what Node would refuse with an empty body: no Host (RFC 9112, section 3.2), an unknown Expect. */
export function answerNodesOwn (app: FastifyInstance): void {
  app.addHook('onRequest', ({ raw }, reply, done) => {
    const socket: AskedSocket = raw.socket
    // One that is sent is let go: idle connections are many.
    socket[BEFORE] = socket[LAST]?.writableFinished === false ? socket[LAST] : undefined
    socket[LAST] = reply.raw
    const isMissing = raw.headers.host === undefined && raw.httpVersion === '1.1'
    done(isMissing ? new Refusal(transportProblem(400, 'The request has no Host header.')) : undefined)
  })
  app.server.on('checkExpectation', (_request, response: ServerResponse) => {
    const body = JSON.stringify(transportProblem(417, 'The only expectation that this server meets is 100-continue.'))
    response.writeHead(417, { 'content-type': PROBLEM_TYPE, 'content-length': body.length, connection: 'close' }).end(body)
  })
}

const LAST = Symbol('the last reply of a connection')
const BEFORE = Symbol('the one before it')
const IS_REFUSED = Symbol('whether its parser has given up')

/** The replies of a connection that may not be sent yet: of the requests that came before what is malformed, all but the last are whole. */
interface AskedSocket extends Socket {
  [LAST]?: ServerResponse | undefined
  [BEFORE]?: ServerResponse | undefined
  [IS_REFUSED]?: true
}

/**
 * HTTP that Node's parser refuses: there is no request and no reply yet, only a socket. The replies to the requests before it go out first:
 * a client takes the first reply for that of its first request.
 */
export function answerMalformed (error: ConnectionError, socket: AskedSocket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || socket[IS_REFUSED] === true) return
  // The parser tells of whatever else arrives, too.
  socket[IS_REFUSED] = true
  const last = socket[LAST]?.req.complete === false ? socket[BEFORE] : socket[LAST]
  if (last === undefined || last.writableFinished || last.destroyed) return refuse(error, socket)
  last.once('close', () => { refuse(error, socket) })
}

/** More after a request that asked to close the connection: its reply was the last one. */
const AFTER_THE_LAST = 'HPE_CLOSED_CONNECTION'

function refuse (error: ConnectionError, socket: Socket): void {
  if (socket.destroyed) return
  if (error.code === AFTER_THE_LAST) return socket.destroySoon()
  const body = JSON.stringify(malformed(error.code))
  const { status, title } = malformed(error.code)
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${title}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
  }
  socket.destroy(error)
}

function malformed (code: string) {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT': return transportProblem(408, 'The request did not arrive in time.')
    case 'HPE_HEADER_OVERFLOW': return transportProblem(431, 'The headers, URL included, are longer than 16 kB.')
    default: return transportProblem(400, 'This is not well-formed HTTP.')
  }
}
