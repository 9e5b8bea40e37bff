import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { freemem } from 'node:os'
import { eachFree } from './free-list.js'
import { latestOf, metaOf, readMetas, type Snapshot } from './meta.js'
import { bigValues, pagesOf } from './page-reader.js'
import {
  BIG, DataFileError, flagsOf, isPlainTree, keyAt, keyBytes, METAS, PAGE_BYTES, SUBTREE, TREE_BYTES, treeAt, valueAt, valueBytes, type Tree,
} from './pages.js'
import { compareBytes, compareNumbers, numberOf, walker } from './walk.js'

export { DataFileError } from './pages.js'

export interface FileSummary {
  /** Pages in use, of all kinds. */
  readonly pages: number
  /** Pages that LMDB can use again. */
  readonly freePages: number
  /** Pages that are neither. LMDB loses some now and then; the only effect is that they are not used again. */
  readonly lostPages: number
  /** The size of the file. */
  readonly bytes: number
  /** The last transaction. */
  readonly txnId: number
  /** How many records each table has. Names of tables are their bytes as Latin-1. */
  readonly entries: ReadonlyMap<string, number>
}

/** Receives a record, in buffers that are valid only until it returns. */
export type Visit = (table: string, key: Buffer, value: Buffer) => void

/**
 * Reads and checks the whole data file of an LMDB environment, without LMDB. LMDB trusts its file: on one that is damaged or
 * cut off it would crash, or read something else than was written. On a file that this function accepts, LMDB does neither, and
 * reads exactly what `visit` receives. Nobody may write to the file meanwhile.
 *
 * Takes twice the memory of the largest value, one bit for each page, and a few MiB.
 * @param visit called for each record of each named table, tables and records in byte order
 * @throws {DataFileError} when the file is not as LMDB leaves it; errors of `visit` and of reading pass through
 */
export function checkDataFile (path: string, visit: Visit): FileSummary {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const [a, b] = readMetas(fd, size)
    const snapshot = latestOf(metaOf(a, 0), metaOf(b, 1))
    if (size < freemem() / 2) readAhead(fd, size)
    return { bytes: size, txnId: snapshot.txnId, ...readTrees(fd, snapshot, visit) }
  } finally {
    closeSync(fd)
  }
}

/** Makes the system read the file sequentially, so that later reads, in the order of keys, do not wait for disk seeks. */
function readAhead (fd: number, size: number): void {
  const chunk = Buffer.allocUnsafeSlow(2 ** 20)
  for (let at = 0; at < size; at += chunk.length) readSync(fd, chunk, 0, chunk.length, at)
}

function readTrees (fd: number, { txnId, lastPage, main, free, isFirst }: Snapshot, visit: Visit): Omit<FileSummary, 'bytes' | 'txnId'> {
  const pages = pagesOf(fd, lastPage)
  const leaf = Buffer.allocUnsafeSlow(PAGE_BYTES)
  const big = bigValues(pages, txnId, leaf)
  const walk = walker(pages, txnId, leaf, big)
  const view = viewer(leaf)

  const tables = new Map<string, Tree>()
  const mainOf = walk('the table of tables', main, SUBTREE, compareBytes, (node, number) => {
    const at = valueAt(leaf, node)
    const name = leaf.toString('latin1', keyAt(node), at)
    const isTable = flagsOf(leaf, node) === SUBTREE && valueBytes(leaf, node) === TREE_BYTES && isPlainTree(leaf, at)
    // A name is stored with its terminating NUL.
    if (!isTable || name.indexOf('\0') !== name.length - 1) throw new DataFileError(`page ${number}: has a table that is not plain`)
    tables.set(name.slice(0, -1), treeAt(leaf, at))
  })
  for (const [name, tree] of tables) {
    walk(`the table ${JSON.stringify(name)}`, tree, BIG, compareBytes, node => {
      const key = view(keyAt(node), keyBytes(leaf, node))
      visit(name, key, flagsOf(leaf, node) === BIG ? big.value(node) : view(valueAt(leaf, node), valueBytes(leaf, node)))
    })
  }
  let freePages = 0
  const freeOf = walk('the free list', free, BIG, compareNumbers, (node, number) => {
    const freedBy = numberOf(leaf, node)
    if (freedBy < 1 || freedBy > txnId) throw new DataFileError(`page ${number}: has a list of pages that transaction ${freedBy} freed`)
    const position = flagsOf(leaf, node) === BIG ? big.position(node) : number * PAGE_BYTES + valueAt(leaf, node)
    freePages += eachFree(pages.bytes, position, valueBytes(leaf, node), (first, count) => { pages.take(first, count, FREE) })
  })
  // The tree pages of a compacting backup are all of transaction 1. In any other file the last transaction wrote some.
  const last = Math.max(mainOf, freeOf)
  if (last !== txnId && !isFirst) throw new DataFileError(`pages 0 and 1: are of transaction ${txnId}, but the pages are of ${last} and before`)
  const taken = METAS + pages.taken()
  const entries = new Map(Array.from(tables, ([name, tree]) => [name, tree.entries]))
  return { pages: taken - freePages, freePages, lostPages: lastPage + 1 - taken, entries }
}

/** Makes views of parts of a page. It reuses a view when a record of the same length was in the same place before. */
function viewer (page: Buffer): (at: number, bytes: number) => Buffer {
  const views = new Array<Buffer | undefined>(PAGE_BYTES)
  return (at, bytes) => {
    const made = views[at]
    return made?.length === bytes ? made : (views[at] = page.subarray(at, at + bytes))
  }
}

const FREE = 'is free, but in use too, or free twice'
