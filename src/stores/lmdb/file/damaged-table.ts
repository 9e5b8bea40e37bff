import { entriesBelow, noCounts, type Counts, type Entry, type Search } from './damaged-tree.js'
import type { Tree } from './pages.js'
import type { Part } from './unreached.js'

/** How many pages and entries a table has. */
export type Size = Pick<Tree, 'branches' | 'leaves' | 'overflows' | 'entries'>

/** A table of a damaged file, as far as it is known. */
export interface DamagedTable {
  readonly name: string
  /** Undefined when the table is empty, or its root is lost. */
  root: number | undefined
  /** Its size as LMDB noted it, or one that is proven to be the same; undefined when it is lost. */
  noted: Size | undefined
  /** As LMDB noted it. */
  readonly depth: number | undefined
  /** What was met below its root. */
  readonly counts: Counts
  /** How many of the pages met are on the free list too: pages of the tree, and of large values. */
  readonly conflicts: { pages: number, values: number }
  /** Whether those pages are left out. */
  refusesFree: boolean
  /** Parts that no page refers to any more, but that are proven to be in use. */
  parts: readonly Part[]
}

/** @param tree its record in the table of tables @param pages how many pages the file can have */
export function damagedTable (name: string, tree: Tree | undefined, pages: number): DamagedTable {
  const noted = tree !== undefined && canBe(tree, pages) ? tree : undefined
  return { name, root: tree?.root, noted, depth: tree?.depth, counts: noCounts(), conflicts: { pages: 0, values: 0 }, refusesFree: false, parts: [] }
}

/** More entries than fit on a page. */
const MAX_ENTRIES_PER_PAGE = 500

/** Whether a table can have these numbers: every leaf has an entry, and only an empty table has no root. */
function canBe (tree: Tree, pages: number): boolean {
  const { leaves, entries } = tree
  return pagesIn(tree) <= pages && entries >= leaves && entries <= leaves * MAX_ENTRIES_PER_PAGE && (leaves > 0) === (tree.root !== undefined)
}

export function pagesIn ({ branches, leaves, overflows }: Size): number {
  return branches + leaves + overflows
}

export function hasConflicts ({ conflicts }: DamagedTable): boolean {
  return conflicts.pages + conflicts.values > 0
}

/**
 * How many entries a table should have; undefined when that is unknown.
 * @param isSure whether it is known which pages are free, so that the count of what was met is right when nothing is missing
 */
export function expectedEntries ({ noted, counts, parts }: DamagedTable, isSure: boolean): number | undefined {
  const isThere = isSure && counts.gaps === 0 && parts.length === 0 && counts.leaves === noted?.leaves
  return isThere ? counts.entries : noted?.entries
}

/**
 * The entries of a table in the order of their keys: those below its root, merged with those of `parts`. An intact entry that is
 * out of order is left out.
 * @param onDisorder called for each entry that is left out
 */
export function * entriesOf (search: Search, { name, root }: DamagedTable, parts: readonly Part[], onDisorder = () => {}): Generator<Entry> {
  let last: Buffer | undefined
  let next = 0

  function * unsorted (): Generator<Entry> {
    if (root !== undefined) {
      for (const entry of entriesBelow(search, name, root)) {
        while (entry.table === name && next < parts.length && Buffer.compare(parts[next]!.first, entry.key) < 0) yield * entriesBelow(search, name, parts[next++]!.root)
        yield entry
      }
    }
    while (next < parts.length) yield * entriesBelow(search, name, parts[next++]!.root)
  }

  for (const entry of unsorted()) {
    if (entry.table === name) {
      if (last !== undefined && Buffer.compare(last, entry.key) >= 0) {
        onDisorder()
        continue
      }
      last = Buffer.from(entry.key)
    }
    yield entry
  }
}

/** How a tree differs from what LMDB noted of it; undefined when it does not. @param name what the message calls the tree */
export function difference (name: string, noted: Size, counts: Size): string | undefined {
  for (const what of ['branches', 'leaves', 'overflows', 'entries'] as const) {
    if (counts[what] !== noted[what]) return `${name}: has ${counts[what]} ${what}, not the ${noted[what]} that LMDB counted`
  }
  return undefined
}
