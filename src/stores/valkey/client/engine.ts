import { setTimeout as sleep } from 'node:timers/promises'
import { promiseWithResolvers } from '../../../promise.js'
import type { EngineCommand } from './connection.js'
import { Deadlines } from './deadlines.js'
import { EngineError, isTransient, LostError, NotSentError, redirectionOf } from './faults.js'
import type { ValkeyNode } from './node.js'
import { evalOf, LIMIT_AT, type ScriptCall } from '../script.js'
import type { Topology } from './topology.js'

// What becomes of a call when nodes are lost, restart, refuse, or move slots is decided here, and not by the Cluster class of
// iovalkey. That one would not have to send a change twice (`retryDelayOnFailover: 0`). But there are five other reasons, and
// test/stores/valkey/reasons.test.ts has a test of each:
//
// 1. A change carries its limit by the clock of the node that it is sent to. The Cluster class chooses the node, and follows
//    redirections to others, when the arguments are complete.
// 2. WAIT has a connection of its own, because the engine answers nothing else on a connection that waits for replicas. The
//    Cluster class has one connection to each node.
// 3. There is no offline queue, so that "not sent" and "lost" differ: a client is told that nothing was changed only when that is
//    certain. The connections of the Cluster class queue what they cannot send yet, whatever they are told, and send it later.
// 4. Faults are told in words, and of each node: "10.0.0.7:6379: it is loading its data". The Cluster class says "None of startup
//    nodes is available".
// 5. ASK is followed only once the companion key of a session (see layout.ts) has moved, too: the script uses both keys, and the
//    node that ASK leads to would go on without it. The Cluster class knows of one key.

/** Milliseconds before what could not be done at the moment is tried again. */
const PAUSE_MS = 20

/** Redirections that are followed without a pause: nodes that do not agree may send a call from one to the other for long. */
const MAX_QUICK_REDIRECTIONS = 4

/** A call on its way, for as many tries as it takes. */
interface PendingCall {
  readonly key: string
  /** A key that the script may use besides, and that has to be where `key` is. */
  readonly companion: string | undefined
  readonly changes: boolean
  /** As performance.now(): nothing is sent from then on, and what is delivered later changes nothing. */
  readonly untilMs: number
  /** Which of its arguments says so to the engine, by the engine's clock. */
  readonly limitAt: number | undefined
  command: EngineCommand
  /** Asked once in place of the node that has the key. */
  askNode: ValkeyNode | undefined
  redirections: number
  isSent: boolean
  /** What the engine said when it last refused to do this now; undefined while it has not. */
  refusal: EngineError | undefined
}

/** The engine as a whole: whatever the servers do, each call is answered, or rejected, by its deadline. */
export class Engine {
  readonly #topology: Topology
  readonly #answerDeadlineMs: number
  readonly #deadlines = new Deadlines()
  #change = promiseWithResolvers<void>()
  /** Since when nothing at all can be done, as performance.now(). */
  #downSinceMs = performance.now()

  constructor (topology: Topology, answerDeadlineMs: number) {
    this.#topology = topology
    this.#answerDeadlineMs = answerDeadlineMs
  }

  /** The deadline of what begins now, as performance.now(). */
  deadline (): number {
    return performance.now() + this.#answerDeadlineMs
  }

  /**
   * Has a command carried out by the node that has `key`.
   * @param changes whether the command may change something: then it is never sent again once it might have been carried out
   * @throws {NotSentError | LostError | EngineError | StatusError}
   */
  async command (key: string, command: EngineCommand, changes: boolean): Promise<unknown> {
    return await this.#run(key, undefined, command, changes, this.deadline(), undefined)
  }

  /**
   * Has our script carried out, which a server is given when it does not know it.
   * @param untilMs as deadline() gave it
   * @throws as command()
   */
  async script ({ keys: [key, companion], args, changes }: ScriptCall, untilMs = this.deadline()): Promise<unknown> {
    return await this.#run(key, companion, { name: 'evalsha', args }, changes, untilMs, changes ? LIMIT_AT : undefined)
  }

  /** To be called whenever the topology changes: calls that wait for that go on. */
  topologyChanged (): void {
    this.#downSinceMs = this.#topology.fault === undefined ? Infinity : Math.min(this.#downSinceMs, performance.now())
    this.#change.resolve()
    this.#change = promiseWithResolvers()
  }

  #run (key: string, companion: string | undefined, command: EngineCommand, changes: boolean, untilMs: number, limitAt: number | undefined): Promise<unknown> {
    const call: PendingCall = { key, companion, changes, untilMs, limitAt, command, askNode: undefined, redirections: 0, isSent: false, refusal: undefined }
    return this.#deadlines.limit(this.#carryOut(call), call.untilMs, () => this.#overdue(call))
  }

  async #carryOut (call: PendingCall): Promise<unknown> {
    const { changes, limitAt, untilMs } = call
    for (;;) {
      const node = call.askNode ?? this.#topology.nodeFor(call.key)
      try {
        if (node === undefined || performance.now() >= untilMs) throw call.refusal ?? new NotSentError(this.#faultOf(node))
        if (limitAt !== undefined) call.command.args[limitAt] = node.clockAt(untilMs)
        call.isSent = true
        return await (changes ? node.change(call.command, call.askNode !== undefined) : node.read(call.command, call.askNode !== undefined))
      } catch (error) {
        if (performance.now() >= untilMs) throw finalError(call, error)
        // What was answered with an error, or not sent, was not carried out.
        call.isSent = error instanceof LostError
        await this.#prepareRetry(call, error, node)
      }
    }
  }

  /** Sees to it that a call that failed can be tried again. @throws the same error when it cannot be */
  async #prepareRetry (call: PendingCall, error: unknown, node: ValkeyNode | undefined): Promise<void> {
    call.askNode = undefined
    if (error instanceof NotSentError && !this.#isLostForLong(node)) return await this.#change.promise
    // What only reads can be sent again at once.
    if (error instanceof LostError && !call.changes) return
    if (!(error instanceof EngineError)) throw error
    const redirection = redirectionOf(error)
    if (redirection !== undefined && node !== undefined) {
      const next = this.#topology.follow(redirection, node)
      if (next === undefined || ++call.redirections > MAX_QUICK_REDIRECTIONS) await sleep(PAUSE_MS)
      if (!redirection.isAsk) return
      if (call.companion !== undefined && await isStillAt(node, call.companion)) await sleep(PAUSE_MS)
      else call.askNode = next
    } else if (error.code === 'NOSCRIPT' && call.command.name === 'evalsha') {
      call.askNode = node
      call.command = { name: 'eval', args: evalOf(call.command.args) }
    } else if (error.code === 'LATE' && node !== undefined) {
      // It was not late here: the engine's clock was put right, or was asked too long ago. An earlier refusal says more.
      call.refusal ??= error
      await Promise.all([node.askClock(), sleep(PAUSE_MS)])
    } else if (isTransient(error)) {
      call.refusal = error
      // A node that says so may be the only one that still believes to have this part of the data.
      if (error.code === 'READONLY' || error.code === 'CLUSTERDOWN') this.#topology.refresh('it is a replica, which takes no changes')
      await sleep(PAUSE_MS)
    } else {
      throw error
    }
  }

  /** Whether the whole engine, or the node that is needed, has been lost for so long that a new call is told so at once: ever more calls would wait. */
  #isLostForLong (node: ValkeyNode | undefined): boolean {
    const sinceMs = this.#topology.fault === undefined ? node?.lostSinceMs ?? Infinity : this.#downSinceMs
    return performance.now() - sinceMs > this.#answerDeadlineMs
  }

  #faultOf (node: ValkeyNode | undefined): string {
    return node?.fault ?? this.#topology.fault ?? 'no server has this part of the data'
  }

  #overdue (call: PendingCall): Error {
    if (call.isSent) return call.changes ? new LostError('no answer in time') : new NotSentError('no answer in time')
    return call.refusal ?? new NotSentError(this.#faultOf(this.#topology.nodeFor(call.key)))
  }
}

/** What a call is rejected with that failed when its deadline had passed. */
function finalError ({ changes, refusal }: PendingCall, error: unknown): unknown {
  if (error instanceof LostError && !changes) return new NotSentError(error.message)
  // Late is what every last try comes; what was refused before says why.
  return error instanceof EngineError && error.code === 'LATE' ? refusal ?? error : error
}

/** Whether a key has not moved yet from a node whose slot is moving. */
async function isStillAt (node: ValkeyNode, key: string): Promise<boolean> {
  return await node.read({ name: 'exists', args: [key] }).then(count => count === 1, () => false)
}
