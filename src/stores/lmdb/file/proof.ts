import { entriesOf, hasConflicts, pagesIn, type DamagedTable, type Size } from './damaged-table.js'
import type { Counts, Search } from './damaged-tree.js'
import type { FreePages } from './free-pages.js'
import type { Meta } from './meta.js'
import type { PageSet } from './page-set.js'
import { METAS } from './pages.js'
import { unreachedParts, type Part } from './unreached.js'

/** What is known of a file before the parts of its tables are looked for that nothing leads to. */
export interface Known {
  readonly meta: Meta
  readonly free: FreePages
  readonly tables: readonly DamagedTable[]
  /** The pages that were met from above. */
  readonly reached: PageSet
  /** What another way through the trees goes by, that leaves out pages which are free. */
  search (): Search
}

/**
 * Gives tables the parts that nothing leads to any more, because a page above them is damaged. They are whole, but that does not make
 * them current: LMDB loses a page now and then, which is neither free nor in use, and what stands there was true once. So a
 * table gets its parts only when it is proven that they are in use:
 *
 * - LMDB notes for each tree how many pages it has. When these, and the pages in the free list, are all that the file has, no page is
 *   lost, and each that is not free is in use. (For a table of which nothing is noted the pages are counted below its one part.)
 * - Or the table has with them exactly as many leaves and entries as LMDB noted. (Of parts with keys in one place only the last is taken.)
 *
 * In either case their keys have to lie beside those of the rest of the table.
 *
 * Where a page is in use and free, either the free list is wrong, or what refers to the page, and then it has what was true once, and
 * the right page is one that nothing leads to. So the page is believed if with it the table is as LMDB noted, and with
 * the other one, if there is any, it is not. If both fit, both are left out.
 */
export function * proveParts ({ meta, free, tables, reached, search }: Known): Generator<number> {
  const isTorn = tables.some(hasConflicts)
  if (!isTorn && tables.every(isAsNoted)) return
  const { parts, hasValues } = yield * unreachedParts(search(), { has: number => reached.has(number) || free.set.has(number), add () {} }, meta.lastPage)
  const measured: Measured[] = []
  for (const table of tables) {
    // It may be no more right than the rest.
    if (table.noted === undefined && table.counts.leaves === 0) table.root = undefined
    const own = parts.get(table.name) ?? []
    // More than one root there cannot be.
    if (hasConflicts(table) || (own.length > 0 && (table.root !== undefined || table.noted !== undefined || own.length === 1))) measured.push(yield * measure(table, own, search()))
  }
  const isComplete = !isTorn && lostPages(meta, free, tables.map(table => pagesOf(table, parts, measured))) === 0
  for (const { table, own, counts, isOrdered } of measured) {
    const isExact = isOrdered && table.noted !== undefined && hasAll(table.noted, counts)
    if (hasConflicts(table)) {
      const isSound = isAsNoted(table)
      table.refusesFree = !isSound || isExact || (hasValues && table.conflicts.values > 0)
      if (isSound || !isExact) continue
    }
    if (!isExact && !(isOrdered && isComplete)) continue
    table.parts = own
    table.noted ??= counts
  }
  if (isComplete) for (const table of tables) table.noted ??= table.root === undefined ? NOTHING : table.counts
}

/** Of an empty table. */
const NOTHING: Size = { branches: 0, leaves: 0, overflows: 0, entries: 0 }

function isAsNoted ({ noted, counts }: DamagedTable): boolean {
  return noted !== undefined && counts.gaps === 0 && counts.branches === noted.branches && hasAll(noted, counts)
}

/** Whether nothing is missing but branches, and nothing there that should not be. */
function hasAll (noted: Size, { leaves, overflows, entries }: Size): boolean {
  return leaves === noted.leaves && overflows === noted.overflows && entries === noted.entries
}

/** What was counted of a table together with some parts. */
interface Measured { readonly table: DamagedTable, readonly own: readonly Part[], readonly counts: Counts, readonly isOrdered: boolean }

/** Yields now and then. */
function * measure (table: DamagedTable, own: readonly Part[], search: Search): Generator<number, Measured> {
  let isOrdered = true
  for (const { page } of entriesOf(search, table, own, () => { isOrdered = false })) yield page
  return { table, own, counts: search.counts, isOrdered }
}

/** How many pages a table has; NaN when that is not known. */
function pagesOf ({ noted, name, counts }: DamagedTable, parts: ReadonlyMap<string, readonly Part[]>, measured: readonly Measured[]): number {
  if (noted !== undefined) return pagesIn(noted)
  const found = measured.find(({ table }) => table.name === name)?.counts ?? counts
  return found.gaps > 0 || (found === counts && parts.has(name)) ? NaN : pagesIn(found)
}

/** How many pages are neither in use nor free. */
function lostPages ({ lastPage, main, free: freeTree }: Meta, free: FreePages, sizes: readonly number[]): number {
  return sizes.reduce((left, size) => left - size, lastPage + 1 - METAS - pagesIn(main) - pagesIn(freeTree) - free.count)
}
