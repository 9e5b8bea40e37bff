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

/** How many entries one turn of the event loop takes. */
const ENTRIES_PER_TURN = 500

/** How many sessions with lost keys are named. */
const MAX_EXAMPLES = 100

/** In the order of their bytes. */
const NAMES = [...TABLE_NAMES, 'meta'].sort()

/**
 * Opens a store to read what is whole in it, however damaged its data file is, without LMDB. The file is read three times, and
 * not changed; no server can open it meanwhile.
 *
 * @param path the store's directory, or its data file, or a copy of that
 * @throws {InputError} when there is none, or a server has it
 * @throws {Error} when nothing of it can be known to be current
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
 * What is wrong with the record of the format; undefined when nothing is. It is the one without a CRC32.
 * @throws {InputError} when this is a file of LMDB, but not of a store @throws {Error} when it is of another format
 */
function checkFormat (data: DamagedData, { path, isMarked }: Source): string | undefined {
  let format: string | undefined
  for (const { key, value } of data.entries('meta')) if (isFormat(key)) format = value?.toString()
  const hasNothing = data.isEmpty && format === undefined && data.faults.count === 0
  if (data.isForeign || hasNothing) throw new InputError(`${path} is a file of LMDB, but none of Holdfast's`)
  // Where the record is damaged, the marker beside the file still says which format it is.
  if (format !== undefined && format !== FORMAT && /^\d+$/.test(format) && !isMarked) throw otherFormat(format)
  return format === FORMAT ? undefined : 'the record of the format: is damaged'
}

/** Goes through all of it, and lets the event loop turn now and then. @param report told what came last */
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
  /** Sessions whose records could be read. */
  #sessions = 0
  #lostKeys = 0
  #unowned = 0
  readonly #examples: Loss[] = []

  /** @param fault one that is not among those of the file */
  constructor (data: DamagedData, source: Source, fault: string | undefined, signal: AbortSignal | undefined) {
    this.#data = data
    this.#source = source
    this.#fault = fault
    this.#signal = signal
  }

  /** In the order of their generations, which is that of the keys: so no keys have to be kept. */
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
      // What was not asked for.
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
      // What is whole has a value.
      if (table === 'sessions') places.add(decodeStored(key, value!).generation, page, node)
      yield
    }
  }

  /** The generations of which nobody sees the keys any more, in their order. */
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
