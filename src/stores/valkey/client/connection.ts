import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Command, Redis, type RedisOptions } from 'iovalkey'
import { reason } from '../../../reason.js'
import { engineError, LostError, NotSentError } from './faults.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** A command of the engine, such as `get`, with its arguments. */
export interface Call {
  readonly name: string
  readonly args: Array<string | number | Buffer>
}

/** One connection to one server, which is made again by itself whenever it is lost. */
export interface Connection {
  readonly endpoint: Endpoint
  /** Why it cannot be used at the moment; undefined while it can. */
  readonly fault: string | undefined
  /** Since when there is a fault, as performance.now(); Infinity while there is none. */
  readonly lostSince: number
  /**
   * Sends a command, together with what else is sent in this turn of the event loop, and never a second time.
   * @param asking whether the server is asked for what it is about to get from another one (ASKING)
   * @throws {NotSentError | LostError | EngineError}
   */
  send (call: Call, asking?: boolean): Promise<unknown>
  /** The engine's clock, in milliseconds since the Unix epoch, at a moment given as performance.now(): it may be too early by the time that a round trip takes, and is not too late. */
  clock (moment: number): number
  /** Asks the engine for its clock, which may have been put right. Rejects as send() does. */
  setClock (): Promise<void>
  /** Gives the connection up and makes it again, and its server is looked at anew. @param why as `fault` */
  reset (why: string): void
  close (): void
}

/** As `fault`, before anything has gone wrong. */
export const FIRST_FAULT = 'not connected yet'

/** Milliseconds before a lost connection is made again: double each time, up to the longest. */
const FIRST_WAIT = 25
const LONGEST_WAIT = 500

/** Milliseconds of silence after which the operating system looks whether the other side is still there. */
const KEEP_ALIVE = 10_000

/** Milliseconds for which a connection that is given up can still take leave: a process that ends waits for so long, even if there is nobody to take leave of. */
const FAREWELL = 100

/** Milliseconds for which an answer about the engine's clock is good enough: two clocks may drift apart by half a millisecond each second. */
const CLOCK_LASTS = 10_000

/** An error of OpenSSL with all its places in the source. */
const OPENSSL = /^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):.*$/s

const TEXT = { replyEncoding: 'utf8' } as const

/** The oldest version that all of this was tried with. One before 5.0 would replicate the script, and not what it does. */
const OLDEST_MAJOR = 6

export interface ConnectionOptions {
  /** Milliseconds in which the server has to answer something; else the connection is given up. */
  readonly deadline: number
  /** Whether a replica is of use, too: of a cluster one can ask it who has what. */
  readonly allowReplica?: boolean
  /** Called when `fault` has become another one. */
  onChange (): void
}

/** Begins to connect to a server, for as long as it takes. */
export function connect (endpoint: Endpoint, target: ValkeyTarget, { deadline, allowReplica = false, onChange }: ConnectionOptions): Connection {
  let attempts = 0
  const redis = new Redis({
    ...optionsOf(endpoint, target, deadline),
    // The library counts from the start as soon as something listens, which need not be of any use.
    retryStrategy: () => Math.min(FIRST_WAIT * 2 ** attempts++, LONGEST_WAIT),
  })
  let fault: string | undefined = FIRST_FAULT
  let lostSince = performance.now()
  let corked: Socket | undefined
  /** What the engine's clock said, and when that was known, as performance.now(). */
  let time = { said: 0, at: 0 }
  let askedAt = 0

  function become (next: string | undefined): void {
    if (next === fault) return
    lostSince = next === undefined ? Infinity : Math.min(lostSince, performance.now())
    fault = next
    onChange()
  }

  function uncork (): void {
    corked?.uncork()
    corked = undefined
  }

  async function send ({ name, args }: Call, asking = false): Promise<unknown> {
    const { stream } = redis
    if (corked !== stream) {
      uncork()
      corked = stream
      stream.cork()
      setImmediate(uncork)
    }
    // Its answer makes no difference: that of the command does.
    if (asking) redis.asking().catch(() => {})
    const command = new Command(name, args, TEXT)
    redis.sendCommand(command)
    return await command.promise.catch(translate)
  }

  async function setClock (): Promise<void> {
    askedAt = performance.now()
    const [seconds, microseconds] = await send({ name: 'time', args: [] }) as [string, string] // As the engine documents it.
    time = { said: Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000), at: performance.now() }
  }

  /** What has to be said and asked before anything else on a new connection. */
  async function greet (): Promise<void> {
    const { stream } = redis
    try {
      const { username, password, database, isCluster } = target
      const steps = [
        ...password === undefined ? [] : [send({ name: 'auth', args: username === undefined ? [password] : [username, password] })],
        // The library would repeat a `select` on the next connection, before it can, and leave its rejection to nobody.
        ...database === 0 ? [] : [send({ name: 'SELECT', args: [database] })],
      ]
      // For who looks at the server's clients; not everybody may do it.
      send({ name: 'client', args: ['setname', 'holdfast'] }).catch(() => {})
      await Promise.all([...steps, setClock()])
      const wrong = misfit(String(await send({ name: 'info', args: [] })), isCluster, allowReplica)
      if (wrong !== undefined) throw new Error(wrong)
      if (stream !== redis.stream) return
      attempts = 0
      become(undefined)
    } catch (error) {
      // Why it was lost has been told by then.
      if (stream === redis.stream) reset(error instanceof LostError && fault !== undefined && fault !== FIRST_FAULT ? fault : reason(error))
    }
  }

  function reset (why: string): void {
    become(why)
    redis.disconnect(true)
  }

  redis.on('ready', greet)
  // What the library says of a connection that it could not make, or lost.
  redis.on('error', (error: unknown) => become(reason(error).replace(/^Socket timeout\..*/, `no answer within ${deadline} ms`).replace(OPENSSL, 'TLS: $1')))
  redis.on('close', () => { if (fault === undefined) become('the connection was lost') })
  return {
    endpoint,
    get fault () { return fault },
    get lostSince () { return lostSince },
    send: async (call, asking) => {
      if (fault !== undefined) throw new NotSentError(fault)
      return await send(call, asking)
    },
    clock (moment) {
      if (performance.now() - askedAt > CLOCK_LASTS) setClock().catch(() => {})
      return time.said + Math.floor(moment - time.at)
    },
    setClock,
    reset,
    close () {
      redis.removeAllListeners('close')
      redis.disconnect()
    },
  }
}

function optionsOf ({ host, port }: Endpoint, { tls }: ValkeyTarget, deadline: number): RedisOptions {
  return {
    host,
    port,
    connectTimeout: deadline,
    socketTimeout: deadline,
    disconnectTimeout: FAREWELL,
    keepAlive: KEEP_ALIVE,
    // A command that was sent may have been done: to send it again would undo what others did meanwhile.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Requests wait in the order that suits them, and no longer than they may: not here.
    enableOfflineQueue: false,
    enableReadyCheck: false,
    ...tls !== undefined && { tls: filesOf(tls) },
  }
}

function filesOf (tls: NonNullable<ValkeyTarget['tls']>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(tls).map(([name, path]: [string, string]) => [name, pemOf(name, path)]))
}

/** @throws {Error} that names the option and its file */
function pemOf (option: string, path: string): Buffer {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch (error) {
    throw new Error(`${option}=${path}: ${reason(error)}`)
  }
  // Node takes no notice of what is none.
  if (!content.includes('-----BEGIN ')) throw new Error(`${option}=${path}: not a PEM file`)
  return content
}

/** Rejects with an error of ours in place of the library's. */
function translate (error: unknown): never {
  if (reason(error).startsWith('Stream isn\'t writeable')) throw new NotSentError('the connection was lost')
  throw error instanceof Error && error.name === 'ReplyError' ? engineError(error) : new LostError('the connection was lost')
}

/** Why a server is not the one that is asked for. @param info what it answers to INFO */
function misfit (info: string, isCluster: boolean, allowReplica: boolean): string | undefined {
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  if (Number.parseInt(field('redis_version')) < OLDEST_MAJOR) return `it is version ${field('redis_version')}, and ${OLDEST_MAJOR}.0 is the oldest that will do`
  if (field('loading') === '1') return 'it is loading its data'
  // Valkey 8 and later say server_mode.
  const isNode = field('(?:redis|server)_mode') === 'cluster'
  if (isCluster && !isNode) return 'it is not a node of a cluster: leave out ?cluster=true'
  if (!isCluster && isNode) return 'it is a node of a cluster: add ?cluster=true'
  if (!allowReplica && field('role') !== 'master') return 'it is a replica, which takes no changes'
  return undefined
}
