import type { Database } from 'lmdb'
import { PAGE_BYTES } from './file/pages.js'

export type Table = Database<Buffer, Buffer>

/** Bytes that LMDB keeps about a free page. */
const FREE_PAGE_BYTES = 8

/** Pages that LMDB copies for one change, at most: a path through a tree, which is never deeper in practice. */
const PATH = 5

/** With more changes than this in a transaction they mostly share all of their paths but the leaves. */
const FEW_CHANGES = 1_000

/** Changes tables, and knows how much that can have taken. Everything but takeGrowth() must be called inside a write transaction. */
export interface Writer {
  put (table: Table, key: Buffer, value: Buffer): void
  /** Stores an entry; 1 when it is new, else 0. */
  write (table: Table, key: Buffer, value: Buffer): number
  /** Removes an entry. Returns whether it was there. */
  remove (table: Table, key: Buffer): boolean
  /** Empties all tables. */
  clear (): void
  /** How many bytes the file can have to grow by, at most, for what was changed since the last call. */
  takeGrowth (): number
}

export function tableWriter (tables: readonly Table[]): Writer {
  const changed = { entries: 0, bytes: 0 }

  function count (bytes: number): void {
    changed.entries++
    changed.bytes += bytes
  }

  return {
    put (table, key, value) {
      count(key.length + value.length)
      table.putSync(key, value)
    },

    write (table, key, value) {
      count(key.length + value.length)
      // lmdb returns this, although its types declare that it returns nothing.
      const isNew = table.putSync(key, value, { noOverwrite: true }) as unknown as boolean
      if (!isNew) table.putSync(key, value)
      return isNew ? 1 : 0
    },

    remove (table, key) {
      count(0)
      return table.removeSync(key)
    },

    clear () {
      for (const table of tables) {
        // The pages that were in use are noted as free.
        count(pages(table) * FREE_PAGE_BYTES)
        table.clearSync()
      }
    },

    takeGrowth () {
      const { entries, bytes } = changed
      changed.entries = changed.bytes = 0
      // No more leaves can have been copied than there are.
      const leaves = entries > FEW_CHANGES ? Math.min(entries, tables.reduce((sum, table) => sum + pages(table), 0)) : entries
      return (leaves + (PATH - 1) * Math.min(entries, FEW_CHANGES)) * PAGE_BYTES + 2 * bytes
    },
  }
}

/** lmdb declares its statistics as an object of unknown content; these are always among it. */
interface Statistics { readonly entryCount: number, readonly treeBranchPageCount: number, readonly treeLeafPageCount: number, readonly overflowPages: number }

/** How many entries a table has. */
export function entries (table: { getStats (): object }): number {
  return (table.getStats() as Statistics).entryCount
}

function pages (table: { getStats (): object }): number {
  const { treeBranchPageCount, treeLeafPageCount, overflowPages } = table.getStats() as Statistics
  return treeBranchPageCount + treeLeafPageCount + overflowPages
}
