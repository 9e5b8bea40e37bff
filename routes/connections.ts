import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { PROBLEM_TYPE, RETRY_AFTER, transportProblem } from './problem.js'

/** How many connections there may be at once; Infinity for any number. */
export interface ConnectionLimits {
  readonly all: number
  /** From one address. */
  readonly perAddress: number
}

/** Milliseconds in which a client that is refused may read why. */
const LAST_WORDS_MS = 1_000

/**
 * Answers a connection beyond a limit with 503 and closes it, without reading a request. Node's own `maxConnections` closes it without
 * a word, which a client takes for a fault of the network.
 */
export function limitConnections (app: FastifyInstance, limits: ConnectionLimits): void {
  const server: Server = app.server
  const accept = server.listeners('connection')
  let all = 0
  const byAddress = new Map<string, number>()

  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const ofAddress = byAddress.get(address) ?? 0
    if (all >= limits.all) return refuse(socket, `This server takes ${limits.all} connections at once, and has them.`)
    if (ofAddress >= limits.perAddress) return refuse(socket, `This server takes ${limits.perAddress} connections at once from one address, and has them.`)
    all++
    byAddress.set(address, ofAddress + 1)
    socket.once('close', () => {
      all--
      const left = (byAddress.get(address) ?? 0) - 1
      if (left > 0) byAddress.set(address, left)
      else byAddress.delete(address)
    })
    for (const listener of accept) listener.call(server, socket)
  })
}

/**
 * Has replies leave before their connections are closed with the server. Node takes a connection for idle once the whole reply is written,
 * and cuts it although its client has not read all of it.
 */
export function letRepliesLeave (app: FastifyInstance): void {
  const server: Server = app.server
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => { sockets.delete(socket) })
  })
  const closeIdle = server.closeIdleConnections.bind(server)
  // Fastify calls it, and so does Node's own close().
  server.closeIdleConnections = () => {
    const sending = [...sockets].filter(({ writableLength }) => writableLength > 0)
    for (const socket of sending) {
      socket.destroy = () => {
        socket.destroySoon()
        return socket
      }
    }
    closeIdle()
    // The method of the class is there again.
    for (const socket of sending) Reflect.deleteProperty(socket, 'destroy')
  }
}

function refuse (socket: Socket, detail: string): void {
  const body = JSON.stringify(transportProblem(503, detail))
  const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS)
  socket.on('close', () => clearTimeout(timer)).on('error', () => {})
  // What the client has sent is read and dropped: closing a socket with something unread would reset it, and take the answer away.
  socket.resume().end(`HTTP/1.1 503 Service Unavailable\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nRetry-After: ${RETRY_AFTER}\r\nConnection: close\r\n\r\n${body}`)
}
