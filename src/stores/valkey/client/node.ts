import { reason } from '../../../reason.js'
import { StatusError } from '../../../status.js'
import { connect, type Call, type Connection, type ConnectionOptions } from './connection.js'
import { EngineError, LostError } from './faults.js'
import type { Endpoint, ValkeyTarget } from '../url.js'

/** One server. */
export interface Node {
  readonly endpoint: Endpoint
  /** As Connection.fault. */
  readonly fault: string | undefined
  /** As Connection.lostSince. */
  readonly lostSince: number
  /** Reads. Rejects as Connection.send() does. */
  read (call: Call, asking?: boolean): Promise<unknown>
  /** Changes something; resolves once as many replicas have it as have to. Rejects as Connection.send() does, and with a StatusError when too few have it. */
  change (call: Call, asking?: boolean): Promise<unknown>
  /** As Connection.clock(), of the connection that changes go through. */
  clock (moment: number): number
  /** As Connection.setClock(). */
  setClock (): Promise<void>
  /** As Connection.reset(). */
  reset (why: string): void
  close (): void
}

export interface NodeOptions extends ConnectionOptions {
  /** How many replicas have to have a change. */
  readonly waitReplicas: number
}

/** Part of the deadline in which the replicas have to answer. */
const PATIENCE = 0.75

/** Milliseconds that are left for the answer at least: the engine looks ten times a second whose time is over. */
const RETURN = 150

export function nodeOf (endpoint: Endpoint, target: ValkeyTarget, options: NodeOptions): Node {
  const { waitReplicas, deadline } = options
  const reader = connect(endpoint, target, options)
  if (waitReplicas === 0) return nodeFrom(endpoint, [reader], reader, reader.send)

  // The engine answers nothing else on a connection that waits for replicas.
  const writer = connect(endpoint, target, options)
  let replicated: Promise<void> | undefined
  let before: Promise<unknown> = Promise.resolve()

  /**
   * One wait for all that is changed until the one before has ended: while no replica answers, changes would otherwise queue up
   * behind one wait after the other, and be made long after their requests were given up.
   */
  async function wait (): Promise<void> {
    await Promise.all([before, new Promise(resolve => setImmediate(resolve))])
    replicated = undefined
    const waiting = writer.send({ name: 'wait', args: [waitReplicas, Math.max(1, Math.floor(Math.min(deadline * PATIENCE, deadline - RETURN)))] })
    before = waiting.catch(() => {})
    // The change may have been made, whatever the wait is answered with, and must not be made once more.
    const count = Number(await waiting.catch((error: unknown) => { throw new LostError(reason(error)) }))
    if (count < waitReplicas) {
      const few = new EngineError('NOREPLICAS', `of ${waitReplicas} replicas that must have a change only ${count} answered in time`)
      throw new StatusError('StoreUnavailable', '', `The change was made, but ${few.message.replace('a change', 'it')}: it may be lost if the server is.`, { cause: few })
    }
  }

  return nodeFrom(endpoint, [reader, writer], writer, async (call, asking) => {
    const changed = writer.send(call, asking)
    replicated ??= wait()
    const [answer] = await Promise.all([changed, replicated])
    return answer
  })
}

/** @param connections the first is the one to read through @param writer the one to change through */
function nodeFrom (endpoint: Endpoint, connections: readonly [Connection, ...Connection[]], writer: Connection, change: Node['change']): Node {
  return {
    endpoint,
    read: connections[0].send,
    change,
    clock: writer.clock,
    setClock: writer.setClock,
    get fault () { return connections.find(({ fault }) => fault !== undefined)?.fault },
    get lostSince () { return Math.min(...connections.map(({ lostSince }) => lostSince)) },
    reset (why) { for (const connection of connections) connection.reset(why) },
    close () { for (const connection of connections) connection.close() },
  }
}
