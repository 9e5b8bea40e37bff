import type { JsonText } from '../../json/text.js'
import type { Entry } from './file/damaged-tree.js'
import { decodeKey, decodeText, generationOf, hasOwnKey, NUMBER_BYTES } from './records.js'

/** How many names of lost keys are kept for one session. */
const MAX_NAMES = 10

/** How many names are kept for sessions that are still to come: damaged keys may be out of order. */
const MAX_KEPT = 1_000

/**
 * The keys of a damaged store, in the order of the generations that they are stored under. They are read once, in step with the
 * sessions in the same order.
 */
export class SalvagedKeys {
  readonly #entries: Iterator<Entry, void>
  /** The generations in the trash, in order. */
  readonly #trash: readonly number[]
  #trashAt = 0
  /** The next intact key. */
  #entry: Entry | undefined
  #lost: Array<{ readonly generation: number, readonly name: string }> = []
  #generation = 0
  #count = 0
  #unowned = 0

  constructor (entries: Iterator<Entry, void>, trash: readonly number[]) {
    this.#entries = entries
    this.#trash = trash
    this.#next()
  }

  /** How many skipped keys are not in the trash: no session that could be read has them. */
  get unowned (): number {
    return this.#unowned
  }

  /** How many keys of the current generation were read. */
  get count (): number {
    return this.#count
  }

  /** The known names of damaged keys of the current generation, at most MAX_NAMES; complete once its intact keys are read. */
  get lost (): string[] {
    return this.#lost.filter(({ generation }) => generation === this.#generation).map(({ name }) => name).slice(0, MAX_NAMES)
  }

  /** Moves on to a generation. Yields once for each key that it skips. */
  * skipTo (generation: number): Generator<void> {
    for (; this.#entry !== undefined && generationOf(this.#entry.key) < generation; this.#next()) {
      if (!this.#isTrash(generationOf(this.#entry.key))) this.#unowned++
      yield
    }
    this.#lost = this.#lost.filter(lost => lost.generation >= generation)
    this.#generation = generation
    this.#count = 0
  }

  /** The keys of the current generation that were not read yet. */
  * ofGeneration (): Generator<readonly [string, JsonText]> {
    while (this.#entry !== undefined && generationOf(this.#entry.key) === this.#generation) {
      const { key, value } = this.#entry
      const found = [decodeKey(key), decodeText(key, value!)] as const // An intact entry has a value.
      this.#count++
      this.#next()
      yield found
    }
  }

  #next (): void {
    let entry = this.#entries.next().value ?? undefined
    for (; entry !== undefined && entry.table !== 'keys'; entry = this.#entries.next().value ?? undefined) this.#noteLost(entry)
    this.#entry = entry
  }

  #noteLost ({ key, value }: Entry): void {
    // The first CRC32 in a value is that of its key, and shows whether at least the key is intact.
    const isKnown = key.length >= NUMBER_BYTES && (value === undefined || hasOwnKey(key, value))
    if (isKnown && this.#lost.length < MAX_KEPT) this.#lost.push({ generation: generationOf(key), name: decodeKey(key) })
  }

  #isTrash (generation: number): boolean {
    while (this.#trashAt < this.#trash.length && this.#trash[this.#trashAt]! < generation) this.#trashAt++
    return this.#trash[this.#trashAt] === generation
  }
}
