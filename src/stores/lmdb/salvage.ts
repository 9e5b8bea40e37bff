import { setImmediate } from 'node:timers/promises'
import { expire } from '../../session.js'
import type { Part, Watch } from '../data-store.js'
import { InputError } from '../input-error.js'
import type { Loss, Losses, Salvage, SalvagedSession } from '../salvage.js'
import { DamagedData } from './file/damaged-data.js'
import { DataFileError } from './file/pages.js'
import { ForeignFileError } from './file/state.js'
import { otherFormat } from './files.js'
import { identify } from './identify.js'
import { decodeId, decodeStored, FORMAT, generationOf, isFormat } from './records.js'
import { openSource, type Source } from './salvage-source.js'
import { SalvagedKeys } from './salvaged-keys.js'
import { SessionPlaces } from './session-places.js'
import { TABLE_NAMES } from './tables.js'

/** How many entries are read in one turn of the event loop. */
const ENTRIES_PER_TURN = 500

/** How many sessions with lost keys the report names. */
const MAX_EXAMPLES = 100

/** In byte order. */
const NAMES = [...TABLE_NAMES, 'meta'].sort()

/**
 * Opens a damaged store to read what is intact in it, without LMDB. It reads the file three times and does not change it; no
 * server can open the store meanwhile.
 *
 * @param path the store's directory, its data file, or a copy of that file
 * @throws {InputError} when there is no such file, it is not Holdfast's, or a server has it open
 * @throws {Error} when it is of another format, or it cannot be known what in it is current
 */
export async function openSalvage (path: string, watch: Watch<Part> = {}): Promise<Salvage> {
  const source = openSource(path)
  let data: DamagedData | undefined
  try {
    data = openData(source.path)
    const { bytes } = data
    await inTurns(data.survey(), watch.signal, done => watch.report?.({ done, of: bytes }))
    return new LmdbSalvage(data, source, checkFormat(data, source), watch.signal)
  } catch (error) {
    data?.close()
    source.release()
    throw error
  }
}

function openData (path: string): DamagedData {
  try {
    return new DamagedData(path, NAMES, identify)
  } catch (error) {
    if (error instanceof ForeignFileError) throw new InputError(`${path} is no data file of a store: ${error.message}`)
    if (error instanceof DataFileError) throw new Error(`nothing of ${path} can be saved, because it cannot be known what of it is current: ${error.message}; restore a backup`)
    throw error
  }
}

/**
 * What is wrong with the record of the format, the only record without a CRC32; undefined when nothing is.
 * @throws {InputError} when the file is LMDB's, but not a store's @throws {Error} when it is of another format
 */
function checkFormat (data: DamagedData, { path, isMarked }: Source): string | undefined {
  let format: string | undefined
  for (const { key, value } of data.entries('meta')) if (isFormat(key)) format = value?.toString()
  const hasNothing = data.isEmpty && format === undefined && data.faults.count === 0
  if (data.isForeign || hasNothing) throw new InputError(`${path} is a file of LMDB, but none of Holdfast's`)
  // When the record is damaged, the marker beside the file still names the format.
  if (format !== undefined && format !== FORMAT && /^\d+$/.test(format) && !isMarked) throw otherFormat(format)
  return format === FORMAT ? undefined : 'the record of the format: is damaged'
}

/** Reads all items, and lets the event loop run every ENTRIES_PER_TURN. @param report gets the latest item each time */
async function inTurns<T> (all: Iterable<T>, signal: AbortSignal | undefined, report: (last: T) => void): Promise<void> {
  let count = 0
  for (const last of all) {
    if (++count % ENTRIES_PER_TURN > 0) continue
    report(last)
    signal?.throwIfAborted()
    await setImmediate()
  }
}

class LmdbSalvage implements Salvage {
  readonly #data: DamagedData
  readonly #source: Source
  readonly #fault: string | undefined
  readonly #signal: AbortSignal | undefined
  /** How many session records could be read. */
  #sessions = 0
  #lostKeys = 0
  #unowned = 0
  readonly #examples: Loss[] = []

  /** @param fault one that `data` does not report */
  constructor (data: DamagedData, source: Source, fault: string | undefined, signal: AbortSignal | undefined) {
    this.#data = data
    this.#source = source
    this.#fault = fault
    this.#signal = signal
  }

  /** In the order of their generations, as the keys are, so that one pass over the keys is enough. */
  async * sessions (now: number): AsyncGenerator<SalvagedSession> {
    const places = new SessionPlaces()
    await this.#inTurns(this.#find(places))
    const keys = new SalvagedKeys(this.#data.entries('keys'), [...this.#trash()])
    for (const { generation, page, node } of places.inOrder()) {
      await this.#inTurns(keys.skipTo(generation))
      const { key, value } = this.#data.entryAt(page, node)
      const stored = decodeStored(key, value)
      const session = expire(stored.session, now)
      const id = decodeId(key)
      this.#sessions++
      if (session !== undefined) yield { id, session, keys: session === stored.session ? keys.ofGeneration() : [] }
      // The keys that the caller did not read.
      await this.#inTurns(keys.ofGeneration())
      if (session === stored.session) this.#note({ id, keys: stored.size - keys.count, names: keys.lost })
    }
    await this.#inTurns(keys.skipTo(Infinity))
    this.#unowned = keys.unowned
  }

  losses (): Losses {
    const expected = this.#data.expected('sessions')
    const { some, count } = this.#data.faults
    return {
      faults: this.#fault === undefined ? { some, count } : { some: [...some, this.#fault], count: count + 1 },
      sessions: expected === undefined ? undefined : Math.max(0, expected - this.#sessions),
      keys: this.#lostKeys,
      unowned: this.#unowned,
      examples: this.#examples,
    }
  }

  close (): void {
    this.#data.close()
    this.#source.release()
  }

  * #find (places: SessionPlaces): Generator<void> {
    for (const { table, key, value, page, node } of this.#data.entries('sessions')) {
      // An intact entry has a value.
      if (table === 'sessions') places.add(decodeStored(key, value!).generation, page, node)
      yield
    }
  }

  /** The generations in the trash, in order: their keys await removal. */
  * #trash (): Generator<number> {
    for (const { table, key } of this.#data.entries('trash')) if (table === 'trash') yield generationOf(key)
  }

  #note (loss: Loss): void {
    if (loss.keys <= 0) return
    this.#lostKeys += loss.keys
    if (this.#examples.length < MAX_EXAMPLES) this.#examples.push(loss)
  }

  async #inTurns (all: Iterable<unknown>): Promise<void> {
    await inTurns(all, this.#signal, () => {})
  }
}
