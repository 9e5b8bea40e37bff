import { closeSync, fstatSync, openSync } from 'node:fs'
import { damagedFile, type DamagedFile } from './damaged-file.js'
import { damagedTable, difference, entriesOf, expectedEntries, type DamagedTable, type Size } from './damaged-table.js'
import { keyOf, noCounts, type Counts, type Entry, type Identify, type Search } from './damaged-tree.js'
import { findDirectories, readDirectory, type Directory } from './directory.js'
import { freePages, type FreePages } from './free-pages.js'
import type { Meta } from './meta.js'
import { pageSet, type PageSet } from './page-set.js'
import { DataFileError, PAGE_BYTES, valueAt, valueBytes } from './pages.js'
import { proveParts } from './proof.js'
import { currentState, directoryTxnId, type State } from './state.js'

/** How many of the reported faults are kept. */
const MAX_FAULTS = 100

const NO_TABLES: Directory = { tables: new Map(), isForeign: false, counts: noCounts() }

/**
 * Reads what is intact in a data file that checkDataFile() refuses, without LMDB. Every entry that it gives is as it was written,
 * and current: the file is also full of older entries that are intact, because LMDB overwrites no page that is in use.
 *
 * It starts at the current state's table of tables (state.ts) and goes down from there, past what is damaged. It accepts a page
 * that has the number it is referred to by, a transaction not after that of the page above it, keys that belong there, and
 * entries of the right table. Below a page that it does not accept, it takes only what is proven to be in use (proof.ts).
 *
 * Takes a few bits of memory for each page, and the size of the largest value.
 */
export class DamagedData {
  readonly #file: DamagedFile
  readonly #names: readonly string[]
  readonly #identify: Identify
  readonly #state: State
  readonly #free: FreePages | undefined
  /** The free pages or, when their list is lost, those of one transaction before the last. */
  readonly #freeBefore: FreePages | undefined
  readonly #tables: ReadonlyMap<string, DamagedTable>
  readonly #faults: string[] = []
  #faultCount = 0
  /** Whether there are tables, but no known ones. */
  readonly isForeign: boolean

  /**
   * @param names of the known tables, in byte order
   * @param identify tells which table an entry belongs to
   * @throws {DataFileError} when it cannot be known which state is current @throws {Error} when opening or reading the file fails
   */
  constructor (path: string, names: readonly string[], identify: Identify) {
    this.#names = names
    this.#identify = identify
    const fd = openSync(path, 'r')
    try {
      this.#file = damagedFile(fd, fstatSync(fd).size)
      this.#state = currentState(this.#file, names, state => this.#pagesOf(state), this.#report)
      this.#free = this.#freePages(this.#state.meta, this.#report)
      this.#freeBefore = this.#free ?? this.#freePages(this.#state.previous, () => {})
      const { tables, isForeign, counts } = this.#readDirectory(this.#state, this.#report)
      if (this.#state.meta !== undefined) this.#compare('the table of tables', this.#state.meta.main, this.#state.meta.main.depth, counts)
      const pages = this.#pagesIn(this.#state)
      this.#tables = new Map(names.map(name => [name, damagedTable(name, tables.get(name), pages)]))
      this.isForeign = isForeign
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  close (): void {
    closeSync(this.#file.fd)
  }

  /** What is wrong with the file, one line for each fault: the first MAX_FAULTS, and how many there are. */
  get faults (): { readonly some: readonly string[], readonly count: number } {
    return { some: this.#faults, count: this.#faultCount }
  }

  get bytes (): number {
    return this.#file.bytes
  }

  /** Finds out what can be read; to be run before any entry is read. Yields often how many bytes it has met, to give others a turn. */
  * survey (): Generator<number> {
    const reached = pageSet(this.#file.pages)
    for (const table of this.#tables.values()) {
      if (table.noted === undefined && this.#state.main !== undefined) this.#report(`the table ${JSON.stringify(table.name)}: what LMDB noted of it is lost`)
      const search = { ...this.#search(this.#state), counts: table.counts, taken: this.#watched(table, reached), report: this.#report }
      let damaged = 0
      for (const entry of entriesOf(search, table, [])) {
        if (entry.table !== table.name) damaged++
        yield this.#met()
      }
      if (damaged > 0) this.#report(`the table ${JSON.stringify(table.name)}: records that are damaged: ${damaged}`)
      if (table.noted !== undefined && table.counts.gaps === 0) this.#compare(`the table ${JSON.stringify(table.name)}`, table.noted, table.depth, table.counts)
    }
    const { meta } = this.#state
    if (meta === undefined || this.#free === undefined) return
    const proof = proveParts({ meta, free: this.#free, tables: [...this.#tables.values()], reached, search: () => this.#search(this.#state, true) })
    while (proof.next().done !== true) yield this.#met()
  }

  /** Whether no table has a root or a part. */
  get isEmpty (): boolean {
    return [...this.#tables.values()].every(({ root, parts }) => root === undefined && parts.length === 0)
  }

  /** How many entries a table should have; undefined when that is unknown. */
  expected (name: string): number | undefined {
    return expectedEntries(this.#tables.get(name)!, this.#free !== undefined)
  }

  /** The entries of a table in the order of their keys, each once. Damaged ones that still have a key are among them. */
  entries (name: string): Generator<Entry> {
    const table = this.#tables.get(name)!
    return entriesOf(this.#search(this.#state, table.refusesFree), table, table.parts)
  }

  /** Reads again an entry that was met before, in a buffer of its own; not one with a large value. @throws {DataFileError} */
  entryAt (page: number, node: number): { readonly key: Buffer, readonly value: Buffer } {
    const bytes = Buffer.allocUnsafe(PAGE_BYTES)
    this.#file.page(page, bytes)
    return { key: keyOf(bytes, node), value: bytes.subarray(valueAt(bytes, node), valueAt(bytes, node) + valueBytes(bytes, node)) }
  }

  /** @param refusesFree whether to leave out pages that are on the free list */
  #search (state: State, refusesFree = false): Search {
    const refuse = (number: number, txnId: number): string | undefined => {
      if (refusesFree && this.#free?.set.has(number) === true) return 'is free'
      // Without the free list the previous one is nearly as good: of the pages free then, only the last transaction can have used any.
      if (this.#free === undefined && txnId < state.txnId && this.#freeBefore?.set.has(number) === true) return 'was free'
      return state.refuse(number, txnId)
    }
    return {
      file: this.#file,
      newest: state.txnId,
      identify: this.#identify,
      refuse,
      report () {},
      taken: pageSet(this.#file.pages),
      counts: noCounts(),
    }
  }

  readonly #report = (fault: string): void => {
    if (this.#faultCount++ < MAX_FAULTS) this.#faults.push(fault)
  }

  /** Reports where the pages met differ from what LMDB noted. */
  #compare (name: string, noted: Size, depth: number | undefined, counts: Counts): void {
    const fault = depth === counts.depth ? difference(name, noted, counts) : `${name}: has a depth of ${counts.depth}, not of ${depth}`
    if (fault !== undefined) this.#report(fault)
  }

  #met (): number {
    let pages = 0
    for (const { counts } of this.#tables.values()) pages += counts.leaves + counts.overflows
    return pages * PAGE_BYTES
  }

  /** A set of a table's pages that reports those that are on the free list too. */
  #watched (table: DamagedTable, reached: PageSet): PageSet {
    return {
      has: reached.has,
      add: (first, count) => {
        reached.add(first, count)
        for (let number = first; number < first + (count ?? 1); number++) {
          if (this.#free?.set.has(number) !== true) continue
          // Only the pages of a large value are added with a count.
          table.conflicts[count === undefined ? 'pages' : 'values']++
          this.#report(`page ${number}: is free, but in use too`)
        }
      },
    }
  }

  /** The pages that the tables of a state use. */
  #pagesOf (state: State): PageSet {
    const taken = pageSet(this.#file.pages)
    const { tables } = this.#readDirectory(state, () => {})
    for (const [name, tree] of tables) {
      const search = { ...this.#search(state), taken }
      const entries = entriesOf(search, damagedTable(name, tree, 0), [])
      while (entries.next().done !== true);
    }
    return taken
  }

  /** How many pages a state can use. */
  #pagesIn ({ meta }: State): number {
    return Math.max(this.#file.pages, (meta?.lastPage ?? 0) + 1)
  }

  #freePages (meta: Meta | undefined, report: (fault: string) => void): FreePages | undefined {
    try {
      return meta && freePages(this.#file, meta)
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
      report(error.message)
      return undefined
    }
  }

  #readDirectory ({ main, meta }: State, report: (fault: string) => void): Directory {
    if (main === undefined) return NO_TABLES
    const of = meta === undefined ? undefined : directoryTxnId(meta)
    try {
      return readDirectory(this.#file, main, this.#names, of, report)
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
      report(error.message)
    }
    // The reference to it may be what is damaged. A transaction writes only one table of tables, so a single match is the right one.
    const [found, ...others] = of === undefined ? [] : findDirectories(this.#file, this.#names, of, number => this.#free?.set.has(number) === true)
    return found === undefined || others.length > 0 ? NO_TABLES : readDirectory(this.#file, found, this.#names, of, report)
  }
}
