import { setTimeout as sleep } from 'node:timers/promises'
import { promiseWithResolvers } from '../../promise.js'
import type { Access, SessionId } from '../../session.js'
import { answerDecided, answerNoSession, answerOne, decideAll, isKnownBefore, knownChange, momentOf, readsOf, takeBatch, writtenKeys, type Batch, type Decision, type QueuedAccess } from './batch.js'
import type { Engine } from './client/engine.js'
import { EngineError, NotSentError } from './client/faults.js'
import { draftOf } from './draft.js'
import { keysOf, newVersion, timesOf } from './layout.js'
import { decodeAnswer, encodeCall, NO_SELECTION, OPERATION, type ScriptOperation, type ScriptArguments, type StoredSession } from './script.js'
import { selectionOf } from './selection.js'
import { aliveAt } from './stored-session.js'
import { decide, idles, viewOf } from '../view.js'

/** How often others can forestall a gateway before it asks for the lease. */
const TRIES_WITHOUT_LEASE = 4

/** Milliseconds that it waits at most before it tries again. */
const LONGEST_BACKOFF_MS = 8

/**
 * The accesses of one gateway. Those that only read are one step of the engine. Those that may write are, too, when what they
 * change is known beforehand. For the others the engine is read, they are decided here, and it then writes on the condition that
 * the session has the version that was read; if not, they are decided again on what it has. What waits for a session meanwhile is
 * decided in its order and shares the next step.
 */
export class AccessQueues {
  readonly #engine: Engine
  readonly #prefix: string
  readonly #writes = new Map<SessionId, QueuedAccess[]>()
  /** A session that is read over and over is sent once to all who wait for it, and not once for each of them. */
  readonly #reads = new Map<SessionId, QueuedAccess[]>()
  /** The name of this gateway where it asks for a lease. */
  readonly #lessee = newVersion()

  /** @param prefix what the names of the engine's keys begin with */
  constructor (engine: Engine, prefix: string) {
    this.#engine = engine
    this.#prefix = prefix
  }

  /** Runs the script once, whatever waits for the session. @returns as decodeAnswer() @throws as Engine.script() and decodeAnswer() */
  async run (id: SessionId, operation: ScriptOperation, given: ScriptArguments, untilMs?: number): Promise<StoredSession | undefined> {
    const answer = await this.#engine.script(encodeCall(keysOf(this.#prefix, id), operation, given), untilMs)
    return decodeAnswer(answer, given.selection ?? NO_SELECTION)
  }

  /** As SessionStore.access(). */
  async access<T> (id: SessionId, now: number, access: Access<T>): Promise<{ readonly reply: T } | undefined> {
    const queues = access.mayWrite ? this.#writes : this.#reads
    const { promise, resolve, reject } = promiseWithResolvers<{ readonly reply: T } | undefined>()
    // The reply is of the type that the access itself decides on.
    const queued: QueuedAccess = { access, now, untilMs: this.#engine.deadline(), resolve: resolve as QueuedAccess['resolve'], reject }
    const queue = queues.get(id)
    if (queue === undefined) {
      const own = [queued]
      queues.set(id, own)
      this.#work(id, own, queues)
    } else {
      queue.push(queued)
    }
    return await promise
  }

  /** Takes what waits for a session, as long as something does, some of it at a time. */
  async #work (id: SessionId, queue: QueuedAccess[], queues: Map<SessionId, QueuedAccess[]>): Promise<void> {
    // How many go one by one, because together they were too much for the engine's memory.
    let singly = 0
    while (queue.length > 0) {
      const batch = takeBatch(queue, singly-- > 0 ? 1 : Infinity)
      if (batch === undefined) continue
      try {
        const answered = await (queues === this.#reads ? this.#read(id, batch) : isKnownBefore(batch) ? this.#write(id, batch) : this.#decideAndWrite(id, batch))
        queue.unshift(...batch.slice(answered))
      } catch (error) {
        if (batch.length > 1 && error instanceof EngineError && error.code === 'OOM') {
          singly = batch.length
          queue.unshift(...batch)
        } else {
          for (const { reject } of batch) reject(error)
        }
      }
    }
    queues.delete(id)
  }

  /** Reads once for all of them. @returns how many of the batch were answered */
  async #read (id: SessionId, batch: Batch): Promise<number> {
    const now = momentOf(batch)
    const [{ untilMs }] = batch
    const touch = batch.some(({ access }) => access.touch)
    const stored = await this.run(id, OPERATION.read, { now, selection: selectionOf(readsOf(batch)), touch, version: newVersion() }, untilMs)
    const alive = stored && aliveAt(stored, now)
    if (stored === undefined || alive === undefined) return answerNoSession(batch)
    const { session, source } = alive
    const decisions = batch.map(({ access }): Decision => {
      try {
        return { reply: decide(access, viewOf(session, access.reads, source)).reply }
      } catch (error) {
        return { error }
      }
    })
    // What failed was no use of the session after all.
    const isUse = batch.some(({ access }, index) => access.touch && 'reply' in decisions[index]!)
    if (!isUse && idles(session, touch, now)) {
      const renewal = [timesOf({ ...session, usedAt: now }), timesOf(session)] as const
      // If that cannot be said any more, the session lasts longer.
      await this.run(id, OPERATION.undo, { now, expected: stored.version, renewal }, untilMs).catch(() => {})
    }
    return answerDecided(batch, decisions)
  }

  /** Writes without reading first. @returns how many of the batch were answered */
  async #write (id: SessionId, batch: Batch): Promise<number> {
    const now = momentOf(batch)
    const [{ untilMs }] = batch
    const selection = selectionOf(readsOf(batch), batch.length > 1 ? writtenKeys(batch) : [])
    const change = knownChange(batch)
    const attempt = async () => await this.run(id, OPERATION.write, { now, selection, change, version: newVersion() }, untilMs)
    let stored = await attempt()
    for (let tries = 0; stored !== undefined && !stored.isDone; tries++) {
      await backOff(tries, untilMs)
      stored = await attempt()
    }
    if (stored === undefined) return answerNoSession(batch)
    return batch.length === 1 ? answerOne(batch, stored, now) : this.#answerWritten(batch, stored, now)
  }

  #answerWritten (batch: Batch, stored: StoredSession, now: number): number {
    const draft = draftOf(stored, now)
    return draft === undefined ? answerNoSession(batch) : answerDecided(batch, decideAll(batch, draft, now, true))
  }

  /** Reads, decides, and writes if nothing has changed meanwhile. @returns how many of the batch were answered */
  async #decideAndWrite (id: SessionId, batch: Batch): Promise<number> {
    const now = momentOf(batch)
    const [{ untilMs }] = batch
    const selection = selectionOf(readsOf(batch), writtenKeys(batch))
    let stored = await this.run(id, OPERATION.peek, { now, selection }, untilMs)
    for (let tries = 0; ; tries++) {
      const draft = stored && draftOf(stored, now)
      if (stored === undefined || draft === undefined) return answerNoSession(batch)
      const decisions = decideAll(batch, draft, now)
      const isRestarted = aliveAt(stored, now)?.session !== stored.session && decisions.some(decision => 'reply' in decision)
      // With nothing to write, what was read was so at the moment when it was read.
      if (draft.isUnchanged && !isRestarted) return answerDecided(batch, decisions)
      const lessee = tries < TRIES_WITHOUT_LEASE ? '' : this.#lessee
      stored = await this.run(id, OPERATION.write, { now, selection, change: draft.change, expected: stored.version, version: newVersion(), lessee }, untilMs)
      if (stored?.isDone === true) return answerDecided(batch, decisions)
      await backOff(tries, untilMs)
    }
  }
}

/** Waits before another try, a little longer each time, and for a random part of that so that no two gateways try again at once. @throws {NotSentError} when there is no time left */
async function backOff (tries: number, untilMs: number): Promise<void> {
  if (performance.now() >= untilMs) throw new NotSentError('other gateways kept changing the same session')
  await sleep(Math.random() * Math.min(2 ** tries, LONGEST_BACKOFF_MS))
}
