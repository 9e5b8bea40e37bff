import type { JsonText } from '../../json/text.js'
import type { Entry } from './file/damaged-tree.js'
import { decodeKey, decodeText, generationOf, hasOwnKey, NUMBER_BYTES } from './records.js'

/** How many names of lost keys are kept of one session. */
const MAX_NAMES = 10

/** And of all whose turn has not come: damaged ones may be out of order. */
const MAX_KEPT = 1_000

/**
 * The keys of a damaged store, in the order of the generations under which they stand: they are gone through once, together with
 * the sessions in that order.
 */
export class SalvagedKeys {
  readonly #entries: Iterator<Entry, void>
  /** Generations of which nobody sees the keys any more, in their order. */
  readonly #trash: readonly number[]
  #trashAt = 0
  /** The next key that is whole. */
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

  /** Keys that were skipped, though they are not in the trash. */
  get unowned (): number {
    return this.#unowned
  }

  /** Keys of the generation that were asked for. */
  get count (): number {
    return this.#count
  }

  /** The names of keys of the generation that are not whole, as far as they are known, once all that are were asked for. */
  get lost (): string[] {
    return this.#lost.filter(({ generation }) => generation === this.#generation).map(({ name }) => name).slice(0, MAX_NAMES)
  }

  /** Goes on to a generation. Yields for each key that is skipped. */
  * skipTo (generation: number): Generator<void> {
    for (; this.#entry !== undefined && generationOf(this.#entry.key) < generation; this.#next()) {
      if (!this.#isTrash(generationOf(this.#entry.key))) this.#unowned++
      yield
    }
    this.#lost = this.#lost.filter(lost => lost.generation >= generation)
    this.#generation = generation
    this.#count = 0
  }

  /** The keys of the generation, or those that were not asked for yet. */
  * ofGeneration (): Generator<readonly [string, JsonText]> {
    while (this.#entry !== undefined && generationOf(this.#entry.key) === this.#generation) {
      const { key, value } = this.#entry
      const found = [decodeKey(key), decodeText(key, value!)] as const // What is whole has a value.
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
    // The first of a value's CRC32s says whether the key at least is as it was written.
    const isKnown = key.length >= NUMBER_BYTES && (value === undefined || hasOwnKey(key, value))
    if (isKnown && this.#lost.length < MAX_KEPT) this.#lost.push({ generation: generationOf(key), name: decodeKey(key) })
  }

  #isTrash (generation: number): boolean {
    while (this.#trashAt < this.#trash.length && this.#trash[this.#trashAt]! < generation) this.#trashAt++
    return this.#trash[this.#trashAt] === generation
  }
}
