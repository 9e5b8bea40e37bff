import { setTimeout as sleep } from 'node:timers/promises'
import type { Access, SessionId } from '../../session.js'
import { inTimeOf } from './client/deadlines.js'
import { argumentsOf, newVersion, NOTHING_WANTED, type Arguments } from './arguments.js'
import { baseOf, isConflict, standing, wantedBy, type Base } from './base.js'
import { decideAll, deliver, isKnownBefore, momentOf, overlay, refuse, settleOne, sumOf, together, writtenBy, type Decided, type Waiting } from './batch.js'
import type { Engine } from './client/engine.js'
import { EngineError, LostError, NotSentError } from './client/faults.js'
import { keysOf, timesOf } from './layout.js'
import type { Sum } from './overlay.js'
import { OPERATION } from './script.js'
import { decide, idles, viewOf } from '../view.js'

/** How often a gateway can be forestalled before it asks for its turn, and how many milliseconds it rests at most before it tries again. */
const PATIENCE = 4
const LONGEST_REST = 8

/** Operations that come to the same when they are carried out twice. */
const REPEATABLE = new Set<string>([OPERATION.look, OPERATION.peek, OPERATION.read])

/** The accesses of one gateway. */
export interface Steps {
  /** Runs our script; what was there before, if anything. @throws as Engine.script() */
  run (id: SessionId, operation: string, given: Arguments): Promise<Base | undefined>
  /** As SessionStore.access. */
  access<T> (id: SessionId, now: number, access: Access<T>): Promise<{ readonly reply: T } | undefined>
  /** Resolves once none is under way. */
  drained (): Promise<void>
}

/**
 * Accesses that only read are one step of the engine. Those that may write are, too, when what they change is known
 * beforehand. For the others the engine is read, they are decided here, and it then writes on the condition that the session
 * has the version that was read; if not, they are decided again on what it has. What waits for a session meanwhile is decided in
 * its order and shares the next step.
 */
export function stepsOf (engine: Engine, prefix: string, deadline: number): Steps {
  const writers = new Map<SessionId, Waiting[]>()
  // A session that is read over and over is sent once to all who wait for it, and not once for each of them.
  const readers = new Map<SessionId, Waiting[]>()
  const inTime = inTimeOf(deadline)
  // Another one for every store, so that it is a name that no other gateway has.
  const who = newVersion()
  let underWay = 0
  let whenDrained = (): void => {}

  async function run (id: SessionId, operation: string, given: Arguments): Promise<Base | undefined> {
    const changes = !REPEATABLE.has(operation)
    const answer = await engine.script(keysOf(prefix, id), argumentsOf(operation, given), changes, given.until)
    return answer === null ? undefined : baseOf(answer as readonly unknown[], given.wanted ?? NOTHING_WANTED)
  }

  /** Reads once for all of them. @returns how many of the batch were dealt with */
  async function read (id: SessionId, batch: readonly Waiting[]): Promise<number> {
    const now = momentOf(batch)
    const { until } = batch[0]! // No batch is empty, and the first one was called before the others.
    const touch = batch.some(({ access }) => access.touch)
    const base = await run(id, OPERATION.read, { until, now, wanted: wantedBy(batch.map(({ access }) => access.reads)), touch, version: newVersion() })
    const found = base && standing(base, now)
    if (base === undefined || found === undefined) return refuse(batch)
    const { session, source } = found
    const answers = batch.map(({ access }): Decided => {
      try {
        return { reply: decide(access, viewOf(session, access.reads, source)).reply }
      } catch (error) {
        return { error }
      }
    })
    const isUse = batch.some(({ access }, index) => access.touch && 'reply' in answers[index]!)
    // What failed was no use of the session after all; if that cannot be said any more, the session lasts longer.
    if (!isUse && idles(session, touch, now)) await run(id, OPERATION.undo, { now, expected: base.version, renewal: [timesOf({ ...session, usedAt: now }), timesOf(session)] }).catch(() => {})
    return deliver(batch, answers)
  }

  /** Takes what waits for a session, as long as something does, some of it at a time. */
  async function work (id: SessionId, queue: Waiting[], queues: Map<SessionId, Waiting[]>): Promise<void> {
    // How many of them go one by one, because together they were too much for the engine's memory.
    let singly = 0
    while (queue.length > 0) {
      // Whoever has waited for too long has been told so.
      const batch = queue.splice(0, singly-- > 0 ? 1 : together(queue)).filter(({ until }) => performance.now() < until)
      if (batch.length === 0) continue
      mark(batch, false)
      try {
        const done = await (queues === readers ? read(id, batch) : isKnownBefore(batch) ? write(id, batch) : negotiate(id, batch))
        queue.unshift(...batch.slice(done))
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

  /** Writes without reading first. @returns how many of the batch were dealt with */
  async function write (id: SessionId, batch: readonly Waiting[]): Promise<number> {
    const sum = sumOf(batch)
    const now = momentOf(batch)
    const wanted = wantedBy(batch.map(({ access }) => access.reads), batch.length > 1 ? writtenBy(batch) : [])
    const { until } = batch[0]! // As above.
    const attempt = async (): Promise<Base | undefined> => await run(id, OPERATION.write, { until, now, wanted, sum, version: newVersion() })
    mark(batch, true)
    let base = await attempt()
    for (let tries = 0; base !== undefined && isConflict(base); tries++) {
      mark(batch, false)
      await rest(tries, until)
      mark(batch, true)
      base = await attempt()
    }
    if (base !== undefined && batch.length === 1) return settleOne(batch, base, now)
    const over = base && overlay(base, now)
    return over === undefined ? refuse(batch) : deliver(batch, decideAll(batch, over, now, true))
  }

  /** Reads, decides, and writes if nothing has changed meanwhile. @returns how many of the batch were dealt with */
  async function negotiate (id: SessionId, batch: readonly Waiting[]): Promise<number> {
    const now = momentOf(batch)
    const wanted = wantedBy(batch.map(({ access }) => access.reads), writtenBy(batch))
    const { until } = batch[0]! // As above.
    let base = await run(id, OPERATION.peek, { until, now, wanted })
    for (let tries = 0; ; tries++) {
      const over = base && overlay(base, now)
      if (base === undefined || over === undefined) return refuse(batch)
      const answers = decideAll(batch, over, now)
      const { version: expected, session } = base
      const isOver = standing(base, now)?.session !== session && answers.some(answer => 'reply' in answer)
      // It was as it was read at the moment when it was read.
      if (isNothing(over.sum) && !isOver) return deliver(batch, answers)
      mark(batch, true)
      base = await run(id, OPERATION.write, { until, now, wanted, sum: over.sum, expected, version: newVersion(), turn: tries < PATIENCE ? '' : who })
      if (base !== undefined && !isConflict(base)) return deliver(batch, answers)
      mark(batch, false)
      await rest(tries, until)
    }
  }

  return {
    run,

    async access<T> (id: SessionId, now: number, access: Access<T>) {
      const queues = access.mayWrite ? writers : readers
      let waiting: Waiting
      const answered = new Promise<{ readonly reply: T } | undefined>((resolve, reject) => {
        // The reply is of the type that the access itself decides on.
        waiting = { access, now, until: performance.now() + deadline, isSent: false, resolve: resolve as Waiting['resolve'], reject }
        const queue = queues.get(id)
        if (queue !== undefined) {
          queue.push(waiting)
          return
        }
        const own = [waiting]
        queues.set(id, own)
        underWay++
        work(id, own, queues).finally(() => {
          underWay--
          if (underWay === 0) whenDrained()
        })
      })
      return await inTime(answered, () => waiting.isSent ? new LostError('no answer in time') : new NotSentError('its turn did not come in time'))
    },
    async drained () {
      if (underWay > 0) await new Promise<void>(resolve => { whenDrained = resolve })
    },
  }
}

function mark (batch: readonly Waiting[], isSent: boolean): void {
  for (const waiting of batch) waiting.isSent = isSent
}

function isNothing ({ clear, writes, session, touch }: Sum): boolean {
  return !clear && writes.size === 0 && session === undefined && !touch
}

/** Rests before another try, a little longer each time and never as long as the others do. @throws {NotSentError} when there is no time left */
async function rest (tries: number, until: number): Promise<void> {
  if (performance.now() >= until) throw new NotSentError('other gateways kept changing the same session')
  await sleep(Math.random() * Math.min(2 ** tries, LONGEST_REST))
}
