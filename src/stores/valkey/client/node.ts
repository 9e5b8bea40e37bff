import { reason } from '../../../reason.js'
import { StatusError } from '../../../status.js'
import { Connection, type ConnectionOptions, type EngineCommand } from './connection.js'
import { EngineError, LostError } from './faults.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** One server. */
export interface ValkeyNode {
  readonly endpoint: Endpoint
  /** As Connection.fault. */
  readonly fault: string | undefined
  /** As Connection.lostSinceMs. */
  readonly lostSinceMs: number
  /** Reads. Rejects as Connection.send() does. */
  read (command: EngineCommand, asking?: boolean): Promise<unknown>
  /**
   * Changes something; resolves once as many replicas have it as have to. Rejects as Connection.send() does, and with a
   * StatusError when too few have it.
   */
  change (command: EngineCommand, asking?: boolean): Promise<unknown>
  /** As Connection.clockAt(), of the connection that changes go through. */
  clockAt (momentMs: number): number
  /** As Connection.askClock(), on the same connection. */
  askClock (): Promise<void>
  /** As Connection.reset(). */
  reset (why: string): void
  close (): void
}

export interface NodeOptions extends ConnectionOptions {
  /** How many replicas have to have a change. */
  readonly waitReplicas: number
}

/** The part of the deadline in which the replicas have to answer. */
const REPLICAS_SHARE = 0.75

/** Milliseconds that are left for the answer at least: the engine looks ten times a second whose time is over. */
const RETURN_MS = 150

/** A server that this process is connected to, or tries to be until it is closed. */
export class ConnectedNode implements ValkeyNode {
  readonly #reader: Connection
  /** The same one, unless changes wait for replicas: the engine answers nothing else on a connection that has sent WAIT. */
  readonly #writer: Connection
  readonly #waitReplicas: number
  readonly #waitMs: number
  /** The wait that what is changed now shares; undefined before the first change. */
  #replicated: Promise<void> | undefined
  #waitBefore: Promise<unknown> = Promise.resolve()

  /** @throws {Error} as Connection's constructor */
  constructor (readonly endpoint: Endpoint, target: ValkeyTarget, options: NodeOptions) {
    const { waitReplicas, answerDeadlineMs } = options
    this.#waitReplicas = waitReplicas
    this.#waitMs = Math.max(1, Math.floor(Math.min(answerDeadlineMs * REPLICAS_SHARE, answerDeadlineMs - RETURN_MS)))
    this.#reader = new Connection(endpoint, target, options)
    this.#writer = waitReplicas === 0 ? this.#reader : new Connection(endpoint, target, options)
  }

  get fault (): string | undefined { return this.#reader.fault ?? this.#writer.fault }

  get lostSinceMs (): number { return Math.min(this.#reader.lostSinceMs, this.#writer.lostSinceMs) }

  read (command: EngineCommand, asking?: boolean): Promise<unknown> {
    return this.#reader.send(command, asking)
  }

  change (command: EngineCommand, asking?: boolean): Promise<unknown> {
    return this.#waitReplicas === 0 ? this.#writer.send(command, asking) : this.#changeReplicas(command, asking)
  }

  clockAt (momentMs: number): number { return this.#writer.clockAt(momentMs) }

  askClock (): Promise<void> { return this.#writer.askClock() }

  reset (why: string): void {
    for (const connection of this.#connections()) connection.reset(why)
  }

  close (): void {
    for (const connection of this.#connections()) connection.close()
  }

  #connections (): ReadonlySet<Connection> {
    return new Set([this.#reader, this.#writer])
  }

  async #changeReplicas (command: EngineCommand, asking?: boolean): Promise<unknown> {
    const changed = this.#writer.send(command, asking)
    this.#replicated ??= this.#wait()
    const [answer] = await Promise.all([changed, this.#replicated])
    return answer
  }

  /**
   * One WAIT for all that is changed until the one before has ended: while no replica answers, changes would otherwise queue up
   * behind one WAIT after the other, and be made long after their requests were given up.
   */
  async #wait (): Promise<void> {
    await Promise.all([this.#waitBefore, new Promise(resolve => setImmediate(resolve))])
    this.#replicated = undefined
    const waiting = this.#writer.send({ name: 'wait', args: [this.#waitReplicas, this.#waitMs] })
    this.#waitBefore = waiting.catch(() => {})
    // The change may have been made, whatever becomes of the WAIT, and must not be made once more.
    const count = Number(await waiting.catch((error: unknown) => { throw new LostError(reason(error)) }))
    if (count < this.#waitReplicas) {
      const few = new EngineError('NOREPLICAS', `of ${this.#waitReplicas} replicas that must have a change only ${count} answered in time`)
      throw new StatusError('StoreUnavailable', '', `The change was made, but ${few.message.replace('a change', 'it')}: it may be lost if the server is.`, { cause: few })
    }
  }
}
