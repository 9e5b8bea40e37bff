import type { Socket } from 'node:net'
import { Command, Redis } from 'iovalkey'
import { reason } from '../../../reason.js'
import { libraryOptions } from './connection-options.js'
import { engineError, LostError, NotSentError } from './faults.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** A command of the engine, such as `get`, with its arguments. */
export interface EngineCommand {
  readonly name: string
  readonly args: Array<string | number | Buffer>
}

export interface ConnectionOptions {
  /** Milliseconds in which the server has to answer something; else the connection is given up. */
  readonly answerDeadlineMs: number
  /** Whether a replica will do, too: any node of a cluster can say which node has which slots. */
  readonly allowReplica?: boolean
  /** Called when `fault` has become another one. */
  onChange (): void
}

/** The fault of a connection before anything has gone wrong. */
export const FIRST_FAULT = 'not connected yet'

/** Milliseconds before a lost connection is made again: double each time, up to the longest. */
const FIRST_RECONNECT_MS = 25
const LONGEST_RECONNECT_MS = 500

/** Milliseconds for which an answer about the engine's clock is good enough: two clocks may drift apart by half a millisecond each second. */
const CLOCK_VALID_MS = 10_000

/** An error of OpenSSL with all its places in the source. */
const OPENSSL = /^[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):.*$/s

const TEXT = { replyEncoding: 'utf8' } as const

/** The oldest version that all of this was tried with. One before 5.0 would replicate the script, and not what it does. */
const OLDEST_MAJOR = 6

/** One connection to one server. It begins to connect at once, and again whenever it is lost, until it is closed. */
export class Connection {
  readonly #target: ValkeyTarget
  readonly #options: ConnectionOptions
  readonly #redis: Redis
  #fault: string | undefined = FIRST_FAULT
  #lostSinceMs = performance.now()
  #attempts = 0
  #corked: Socket | undefined
  /** What the engine's clock said, and when this process learned that, as performance.now(). */
  #time = { saidMs: 0, learnedAtMs: 0 }
  #askedAtMs = 0

  /** @throws {Error} that says what is wrong with a file of certificates */
  constructor (readonly endpoint: Endpoint, target: ValkeyTarget, options: ConnectionOptions) {
    this.#target = target
    this.#options = options
    this.#redis = new Redis({
      ...libraryOptions(endpoint, target, options.answerDeadlineMs),
      // The library would begin anew with the shortest as soon as something listens, which need not be of any use.
      retryStrategy: () => Math.min(FIRST_RECONNECT_MS * 2 ** this.#attempts++, LONGEST_RECONNECT_MS),
    })
    this.#redis.on('ready', () => { this.#greet() })
    // What the library says of a connection that it could not make, or lost.
    this.#redis.on('error', (error: unknown) => this.#setFault(this.#inWords(error)))
    this.#redis.on('close', () => { if (this.#fault === undefined) this.#setFault('the connection was lost') })
  }

  /** Why it cannot be used at the moment; undefined while it can. */
  get fault (): string | undefined { return this.#fault }

  /** Since when there is a fault, as performance.now(); Infinity while there is none. */
  get lostSinceMs (): number { return this.#lostSinceMs }

  /**
   * Sends a command, together with what else is sent in this turn of the event loop, and never a second time.
   * @param asking whether the server is asked for what it is about to get from another one (ASKING)
   * @throws {NotSentError | LostError | EngineError}
   */
  async send (command: EngineCommand, asking = false): Promise<unknown> {
    if (this.#fault !== undefined) throw new NotSentError(this.#fault)
    return await this.#write(command, asking)
  }

  /** The engine's clock, in milliseconds since the Unix epoch, at a moment given as performance.now(): it may be early by the time of a round trip, and is never late. */
  clockAt (momentMs: number): number {
    if (performance.now() - this.#askedAtMs > CLOCK_VALID_MS) this.askClock().catch(() => {})
    return this.#time.saidMs + Math.floor(momentMs - this.#time.learnedAtMs)
  }

  /** Asks the engine for its clock, which somebody may have put right. Rejects as send() does. */
  async askClock (): Promise<void> {
    this.#askedAtMs = performance.now()
    const [seconds, microseconds] = await this.#write({ name: 'time', args: [] }) as [string, string] // As the engine documents it.
    this.#time = { saidMs: Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000), learnedAtMs: performance.now() }
  }

  /** Gives the connection up and makes it again, and looks at its server anew. @param why as `fault` */
  reset (why: string): void {
    this.#setFault(why)
    this.#redis.disconnect(true)
  }

  close (): void {
    this.#redis.removeAllListeners('close')
    this.#redis.disconnect()
  }

  #setFault (fault: string | undefined): void {
    if (fault === this.#fault) return
    this.#lostSinceMs = fault === undefined ? Infinity : Math.min(this.#lostSinceMs, performance.now())
    this.#fault = fault
    this.#options.onChange()
  }

  async #write ({ name, args }: EngineCommand, asking = false): Promise<unknown> {
    this.#cork(this.#redis.stream)
    // Its answer makes no difference: that of the command does.
    if (asking) this.#redis.asking().catch(() => {})
    const command = new Command(name, args, TEXT)
    this.#redis.sendCommand(command)
    return await command.promise.catch(rejectAsOurs)
  }

  /** Holds back what is sent until the end of this turn of the event loop. */
  #cork (socket: Socket): void {
    if (this.#corked === socket) return
    this.#uncork()
    this.#corked = socket
    socket.cork()
    setImmediate(this.#uncork)
  }

  readonly #uncork = (): void => {
    this.#corked?.uncork()
    this.#corked = undefined
  }

  /** Says and asks what comes before anything else on a new connection. */
  async #greet (): Promise<void> {
    const { stream } = this.#redis
    try {
      const { username, password, database } = this.#target
      const answers = [
        ...password === undefined ? [] : [this.#write({ name: 'auth', args: username === undefined ? [password] : [username, password] })],
        // In capitals: the library would repeat a `select` on the next connection, before it can, and leave its rejection to nobody.
        ...database === 0 ? [] : [this.#write({ name: 'SELECT', args: [database] })],
      ]
      // For an operator who lists the server's clients; not everybody may do it.
      this.#write({ name: 'client', args: ['setname', 'holdfast'] }).catch(() => {})
      await Promise.all([...answers, this.askClock()])
      const fault = serverFault(String(await this.#write({ name: 'info', args: [] })), this.#target.isCluster, this.#options.allowReplica ?? false)
      if (fault !== undefined) throw new Error(fault)
      if (stream !== this.#redis.stream) return
      this.#attempts = 0
      this.#setFault(undefined)
    } catch (error) {
      if (stream !== this.#redis.stream) return
      // Of a connection that was lost meanwhile the library has said why.
      const known = error instanceof LostError && this.#fault !== FIRST_FAULT ? this.#fault : undefined
      this.reset(known ?? reason(error))
    }
  }

  #inWords (error: unknown): string {
    return reason(error).replace(/^Socket timeout\..*/, `no answer within ${this.#options.answerDeadlineMs} ms`).replace(OPENSSL, 'TLS: $1')
  }
}

/** Rejects with an error of ours in place of the library's. */
function rejectAsOurs (error: unknown): never {
  if (reason(error).startsWith('Stream isn\'t writeable')) throw new NotSentError('the connection was lost')
  throw error instanceof Error && error.name === 'ReplyError' ? engineError(error) : new LostError('the connection was lost')
}

/** Why a server is not one that can be used; undefined when it is. @param info what it answers to INFO */
function serverFault (info: string, isCluster: boolean, allowReplica: boolean): string | undefined {
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
