import { readFileSync } from 'node:fs'
import type { RedisOptions } from 'iovalkey'
import { reason } from '../../../reason.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** Milliseconds of silence after which the operating system looks whether the other side is still there. */
const KEEP_ALIVE_MS = 10_000

/** Milliseconds that a connection which is given up has to end in: a process that ends waits for so long, even if nobody is at the other side. */
const DISCONNECT_MS = 100

/**
 * What the client library is told of a connection.
 * @throws {Error} that says what is wrong with a file of the URL
 */
export function libraryOptions ({ host, port }: Endpoint, { tls }: ValkeyTarget, answerDeadlineMs: number): RedisOptions {
  return {
    host,
    port,
    connectTimeout: answerDeadlineMs,
    socketTimeout: answerDeadlineMs,
    disconnectTimeout: DISCONNECT_MS,
    keepAlive: KEEP_ALIVE_MS,
    // A command that was sent may have been carried out: to send it again would undo what others did meanwhile.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Nothing is sent later that was given up: what cannot be sent now is rejected, and the engine tries it again as long as there is time.
    enableOfflineQueue: false,
    enableReadyCheck: false,
    ...tls !== undefined && { tls: readFiles(tls) },
  }
}

function readFiles (tls: NonNullable<ValkeyTarget['tls']>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(tls).map(([option, path]: [string, string]) => [option, readPem(option, path)]))
}

/** @throws {Error} that names the option and its file */
function readPem (option: string, path: string): Buffer {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch (error) {
    throw new Error(`${option}=${path}: ${reason(error)}`)
  }
  // Node takes any other file for an empty one, and says nothing.
  if (!content.includes('-----BEGIN ')) throw new Error(`${option}=${path}: not a PEM file`)
  return content
}
