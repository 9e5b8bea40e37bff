import { entriesOf, hasConflicts, pagesIn, type DamagedTable, type Size } from './damaged-table.js'
import type { Counts, Search } from './damaged-tree.js'
import type { FreePages } from './free-pages.js'
import type { Meta } from './meta.js'
import type { PageSet } from './page-set.js'
import { METAS } from './pages.js'
import { unreachedParts, type Part } from './unreached.js'

/** What is known of a file before the search for parts of its tables that no page refers to. */
export interface Known {
  readonly meta: Meta
  readonly free: FreePages
  readonly tables: readonly DamagedTable[]
  /** The pages that were reached from the roots. */
  readonly reached: PageSet
  /** Starts another search, which leaves out free pages. */
  search (): Search
}

/**
 * Gives tables the parts that no page refers to any more, because a page above them is damaged. They are intact, but that does not
 * make them current: LMDB loses a page now and then, which is then neither free nor in use and holds old data. So a table
 * gets its parts only when one of these proves that they are in use:
 *
 * - LMDB notes for each tree how many pages it has. When these and the pages in the free list are all pages of the file, no page is
 *   lost, and each page that is not free is in use. (Of a table without such a note, the pages below its only part are counted.)
 * - With its parts, the table has exactly as many leaves, overflow pages and entries as LMDB noted. (Of parts whose keys overlap,
 *   only the newest is taken.)
 *
 * In either case the keys of the parts must not overlap those of the rest of the table.
 *
 * When a page is both in use and free, either the free list is wrong or the reference to the page. If the reference is, the page holds
 * old data, and no page refers to the right one. So the page is trusted if the table is as LMDB noted with it, and is not with
 * the other page, if there is one. If both fit, both are left out.
 *
 * Yields page numbers, to give others a turn.
 */
export function * proveParts ({ meta, free, tables, reached, search }: Known): Generator<number> {
  const isTorn = tables.some(hasConflicts)
  if (!isTorn && tables.every(isAsNoted)) return
  const { parts, hasValues } = yield * unreachedParts(search(), { has: number => reached.has(number) || free.set.has(number), add () {} }, meta.lastPage)
  const measured: Measured[] = []
  for (const table of tables) {
    // The record's size is lost and nothing below its root can be read, so the root may be wrong too.
    if (table.noted === undefined && table.counts.leaves === 0) table.root = undefined
    const own = parts.get(table.name) ?? []
    // A table of which nothing is known must be a single part, because it has one root.
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

/** The size of an empty table. */
const NOTHING: Size = { branches: 0, leaves: 0, overflows: 0, entries: 0 }

function isAsNoted ({ noted, counts }: DamagedTable): boolean {
  return noted !== undefined && counts.gaps === 0 && counts.branches === noted.branches && hasAll(noted, counts)
}

/** Whether all but the branches is as LMDB noted. */
function hasAll (noted: Size, { leaves, overflows, entries }: Size): boolean {
  return leaves === noted.leaves && overflows === noted.overflows && entries === noted.entries
}

/** The counts of a table together with the parts `own`. */
interface Measured { readonly table: DamagedTable, readonly own: readonly Part[], readonly counts: Counts, readonly isOrdered: boolean }

/** Counts a table together with the parts `own`. Yields page numbers. */
function * measure (table: DamagedTable, own: readonly Part[], search: Search): Generator<number, Measured> {
  let isOrdered = true
  for (const { page } of entriesOf(search, table, own, () => { isOrdered = false })) yield page
  return { table, own, counts: search.counts, isOrdered }
}

/** How many pages a table has; NaN when that is unknown. */
function pagesOf ({ noted, name, counts }: DamagedTable, parts: ReadonlyMap<string, readonly Part[]>, measured: readonly Measured[]): number {
  if (noted !== undefined) return pagesIn(noted)
  const found = measured.find(({ table }) => table.name === name)?.counts ?? counts
  return found.gaps > 0 || (found === counts && parts.has(name)) ? NaN : pagesIn(found)
}

/** How many pages are neither in use nor free. */
function lostPages ({ lastPage, main, free: freeTree }: Meta, free: FreePages, sizes: readonly number[]): number {
  return sizes.reduce((left, size) => left - size, lastPage + 1 - METAS - pagesIn(main) - pagesIn(freeTree) - free.count)
}
