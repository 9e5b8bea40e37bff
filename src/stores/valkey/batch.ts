import type { Access, Names, Reads } from '../../session.js'
import { NotSentError } from './client/faults.js'
import type { SessionDraft } from './draft.js'
import { ChangeMerger, changeOf, type MergedChange } from './merged-change.js'
import type { StoredSession } from './script.js'
import { aliveAt } from './stored-session.js'
import { decide, viewOf } from '../view.js'

/** An access that waits for its turn, and the promise that its caller waits for. */
export interface QueuedAccess {
  readonly access: Access<unknown>
  readonly now: number
  /** When it has to be answered, as performance.now(). */
  readonly untilMs: number
  resolve (answer: { readonly reply: unknown } | undefined): void
  reject (error: unknown): void
}

/** Accesses that share a step of the engine. They were called one after the other, so the first one has to be answered first. */
export type Batch = readonly [QueuedAccess, ...QueuedAccess[]]

/** Accesses of a batch at most. */
const MAX_ACCESSES = 100

/** Keys that a batch reads and writes at most, unless one access alone has more: the engine does nothing else meanwhile. */
const MAX_KEYS = 10_000

/** Characters of values that a batch is known to write at most, unless one access alone has more. */
const MAX_CHARACTERS = 8 * 1024 * 1024

/** Milliseconds that the calls of a batch are apart at most: all of them take effect at the moment of the last. */
const SAME_MOMENT_MS = 100

/**
 * Takes accesses from the front of a queue that can share a step. Those that have waited for too long are rejected.
 * @param most how many it takes at most
 */
export function takeBatch (queue: QueuedAccess[], most: number): Batch | undefined {
  const nowMs = performance.now()
  const batch: QueuedAccess[] = []
  for (const queued of queue.splice(0, Math.min(most, batchLength(queue)))) {
    if (nowMs < queued.untilMs) batch.push(queued)
    else queued.reject(new NotSentError('its turn did not come in time'))
  }
  const [first, ...others] = batch
  return first && [first, ...others]
}

/** How many accesses, from the first one of a queue on, can share a step. */
export function batchLength (queue: readonly QueuedAccess[]): number {
  const [first] = queue as Batch // The queue is not empty.
  if (isAlone(first)) return 1
  let [keys, characters] = [0, 0]
  const end = queue.findIndex(other => {
    keys += keysIn(other)
    characters += charactersIn(other)
    return isAlone(other) || Math.abs(other.now - first.now) > SAME_MOMENT_MS || (other !== first && (keys > MAX_KEYS || characters > MAX_CHARACTERS))
  })
  return Math.min(MAX_ACCESSES, end < 0 ? queue.length : end)
}

function keysIn ({ access: { reads: { has = [], get = [] }, change } }: QueuedAccess): number {
  return sizeOf(has) + sizeOf(get) + (change?.writes?.size ?? 0)
}

function charactersIn ({ access: { change } }: QueuedAccess): number {
  let sum = 0
  for (const value of change?.writes?.values() ?? []) sum += value?.length ?? 0
  return sum
}

function sizeOf (names: Names): number {
  return 'size' in names ? names.size : names.length
}

/** Whether an access sees so much of a session that it cannot be decided on what others are about to write. */
function isAlone ({ access: { reads } }: QueuedAccess): boolean {
  return reads.all === true || reads.list !== undefined
}

export function readsOf (batch: Batch): Reads[] {
  return batch.map(({ access }) => access.reads)
}

/** The keys that a batch is known to write, those included that a later access of it removes with all others. */
export function writtenKeys (batch: Batch): string[] {
  return batch.flatMap(({ access: { change } }) => [...change?.writes?.keys() ?? []])
}

/** Whether all that a batch changes is known before anything is read. */
export function isKnownBefore (batch: Batch): boolean {
  return batch.every(({ access }) => access.change !== undefined)
}

/** What the accesses of a batch change whose changes are known beforehand. */
export function knownChange (batch: Batch): MergedChange {
  const [{ access: { change = {}, touch } }] = batch
  if (batch.length === 1) return changeOf(change, touch)
  const merger = new ChangeMerger()
  for (const { access } of batch) {
    merger.add(access.change ?? {})
    merger.touch ||= access.touch
  }
  return merger
}

/** The moment at which all of them take effect: none of them earlier than it was called. */
export function momentOf (batch: Batch): number {
  let moment = -Infinity
  for (const { now } of batch) moment = Math.max(moment, now)
  return moment
}

export type Decision = { readonly reply: unknown } | { readonly error: unknown }

/** Decides one after the other; of those that are not written yet up to the first on which the ones after it cannot build. */
export function decideAll (batch: Batch, draft: SessionDraft, now: number, areWritten = false): Decision[] {
  const decisions: Decision[] = []
  for (const { access } of batch) {
    if (!areWritten && !draft.isSizeKnown) break
    try {
      decisions.push({ reply: draft.take(access, now).reply })
    } catch (error) {
      decisions.push({ error })
    }
  }
  return decisions
}

/** Answers the only access of a batch, whose change is made: no other one builds on it. @returns 1 */
export function answerOne ([{ access, resolve }]: Batch, stored: StoredSession, now: number): number {
  const alive = aliveAt(stored, now)
  resolve(alive && { reply: decide(access, viewOf(alive.session, access.reads, alive.source)).reply })
  return 1
}

/** Answers all that there is no such session. @returns how many that are */
export function answerNoSession (batch: Batch): number {
  for (const { resolve } of batch) resolve(undefined)
  return batch.length
}

/** Answers as many of a batch as were decided. @returns how many that are */
export function answerDecided (batch: Batch, decisions: readonly Decision[]): number {
  for (const [index, decision] of decisions.entries()) {
    const { resolve, reject } = batch[index]! // There are no more decisions than accesses.
    if ('error' in decision) reject(decision.error)
    else resolve(decision)
  }
  return decisions.length
}
