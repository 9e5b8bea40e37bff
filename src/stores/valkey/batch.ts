import type { JsonText } from '../../json/text.js'
import type { Access, Names } from '../../session.js'
import { standing, type Base } from './base.js'
import { add, nothing, overlayOn, type Overlay, type Sum } from './overlay.js'
import { decide, viewOf } from '../view.js'

/** An access that waits for its turn, and the promise that it was answered with. */
export interface Waiting {
  readonly access: Access<unknown>
  readonly now: number
  /** When it has to be answered, as performance.now(). */
  readonly until: number
  /** Whether its change has been sent and may be made. */
  isSent: boolean
  resolve (answer: { readonly reply: unknown } | undefined): void
  reject (error: unknown): void
}

/** Accesses in one step of the engine at most. */
const BATCH = 100

/** Keys that such a step reads and writes at most, unless one access alone has more: the engine does nothing else meanwhile. */
const KEYS = 10_000

/** Characters of values that such a step is known to write at most, unless one access alone has more. */
const CHARACTERS = 8 * 1024 * 1024

/** Accesses that were called so many milliseconds apart can share a step: each takes effect no earlier than it was called. */
const SAME_MOMENT = 100

const NO_WRITES: ReadonlyMap<string, JsonText | null> = new Map()

/** What accesses change whose changes are known beforehand. */
export function sumOf (batch: readonly Waiting[]): Sum {
  const [first] = batch as readonly [Waiting] // A batch is not empty.
  if (batch.length === 1) return { clear: false, writes: NO_WRITES, session: undefined, ...first.access.change, touch: first.access.touch }
  const sum = nothing()
  for (const { access } of batch) {
    add(sum, access.change ?? {})
    sum.touch ||= access.touch
  }
  return sum
}

/** How many of those that wait, from the first on, can share a step. */
export function together (queue: readonly Waiting[]): number {
  const [first] = queue as readonly [Waiting] // The queue is not empty.
  if (isAlone(first)) return 1
  let [keys, characters] = [0, 0]
  const end = queue.findIndex(other => {
    keys += keysIn(other)
    characters += charactersIn(other)
    return isAlone(other) || Math.abs(other.now - first.now) > SAME_MOMENT || (other !== first && (keys > KEYS || characters > CHARACTERS))
  })
  return Math.min(BATCH, end < 0 ? queue.length : end)
}

function keysIn ({ access: { reads: { has = [], get = [] }, change } }: Waiting): number {
  return sizeOf(has) + sizeOf(get) + (change?.writes?.size ?? 0)
}

function charactersIn ({ access: { change } }: Waiting): number {
  let sum = 0
  for (const value of change?.writes?.values() ?? []) sum += value?.length ?? 0
  return sum
}

function sizeOf (names: Names): number {
  return 'size' in names ? names.size : names.length
}

/** Whether an access sees so much of a session that it cannot be decided on what others are about to write. */
function isAlone ({ access: { reads } }: Waiting): boolean {
  return reads.all === true || reads.list !== undefined
}

/** The keys that a batch is known to write, those included that a later one of it removes with all others. */
export function writtenBy (batch: readonly Waiting[]): string[] {
  return batch.flatMap(({ access: { change } }) => [...change?.writes?.keys() ?? []])
}

/** Whether all that a batch changes is known before anything is read. */
export function isKnownBefore (batch: readonly Waiting[]): boolean {
  return batch.every(({ access }) => access.change !== undefined)
}

/** The moment at which all of them take effect: none of them earlier than it was called. */
export function momentOf (batch: readonly Waiting[]): number {
  return Math.max(...batch.map(({ now }) => now))
}

/** The session of a batch, to decide on; undefined when it has ended. */
export function overlay (base: Base, now: number): Overlay | undefined {
  const found = standing(base, now)
  const isEmptied = found?.session !== base.session
  const { entries, presences, values } = base
  return found && overlayOn(found.session, found.source, key => isEmptied || entries !== undefined || presences.has(key) || values.has(key))
}

export type Decided = { readonly reply: unknown } | { readonly error: unknown }

/** Decides one after the other; of those that are not written yet up to the first on which the ones after it cannot build. */
export function decideAll (batch: readonly Waiting[], over: Overlay, now: number, areWritten = false): Decided[] {
  const answers: Decided[] = []
  for (const { access } of batch) {
    if (!areWritten && !over.isKnown) break
    try {
      answers.push({ reply: over.take(access, now).reply })
    } catch (error) {
      answers.push({ error })
    }
  }
  return answers
}

/** Answers the only access of a batch, whose change is done: nothing comes after it. @returns 1 */
export function settleOne ([waiting]: readonly Waiting[], base: Base, now: number): number {
  const { access, resolve } = waiting! // A batch is not empty.
  const found = standing(base, now)
  resolve(found && { reply: decide(access, viewOf(found.session, access.reads, found.source)).reply })
  return 1
}

/** Tells all that there is no such session. @returns how many that are */
export function refuse (batch: readonly Waiting[]): number {
  for (const { resolve } of batch) resolve(undefined)
  return batch.length
}

/** Answers as many of a batch as were decided. @returns how many that are */
export function deliver (batch: readonly Waiting[], answers: readonly Decided[]): number {
  for (const [index, answer] of answers.entries()) {
    const { resolve, reject } = batch[index]! // There are no more answers than accesses.
    if ('error' in answer) reject(answer.error)
    else resolve(answer)
  }
  return answers.length
}
