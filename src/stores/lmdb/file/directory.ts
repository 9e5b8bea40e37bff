import { keyOf, noCounts, type Counts } from './damaged-tree.js'
import type { DamagedFile } from './damaged-file.js'
import {
  checkHeader, checkNodes, DataFileError, flagsOf, isPlainTree, LEAF, METAS, PAGE_BYTES, readableNodes, SUBTREE, TREE_BYTES, treeAt, u64, valueAt,
  valueBytes, type Tree,
} from './pages.js'

/** What the table of tables says; LMDB calls it the main database. */
export interface Directory {
  /** The known tables whose records can be read. */
  readonly tables: ReadonlyMap<string, Tree>
  /** Whether it has tables, but no known ones. */
  readonly isForeign: boolean
  /** Its own size, as LMDB should have noted it. */
  readonly counts: Counts
}

/**
 * Reads the table of tables. It takes one page as long as the names are few and short.
 * @param number of that page
 * @param names of the known tables, in byte order
 * @param txnId the transaction that wrote the page, if known
 * @param report receives what is wrong with the page
 * @throws {DataFileError} when the page is no table of tables, or of another transaction
 */
export function readDirectory (file: DamagedFile, number: number, names: readonly string[], txnId: number | undefined, report: (fault: string) => void): Directory {
  const page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  file.read(number, LEAF, Infinity, page)
  if (txnId !== undefined && u64(page, 8) !== txnId) throw new DataFileError(`page ${number}: has a table of tables of transaction ${u64(page, 8)}`)
  let isWhole = true
  try {
    checkNodes(page, number, LEAF, SUBTREE)
  } catch (error) {
    isWhole = false
    report((error as DataFileError).message) // It throws nothing else.
  }
  const nodes = readableNodes(page, LEAF, SUBTREE)
  const found = nodes.map(node => nameOf(page, node))
  const isForeign = isWhole && nodes.every((node, index) => isTable(page, node) && !names.includes(found[index]!))
  if (!isForeign && !nodes.some((node, index) => names.includes(found[index]!) && valueBytes(page, node) === TREE_BYTES)) {
    throw new DataFileError(`page ${number}: has no tables`)
  }
  const missing = names.filter(name => !found.includes(name))
  const others = found.filter(name => !names.includes(name))
  const tables = new Map<string, Tree>()
  for (const [index, node] of nodes.entries()) {
    // When a single name is damaged, its place in the order tells which it was.
    const name = others[0] === found[index] && others.length === 1 && missing[0] === names[index] && missing.length === 1 ? missing[0] : found[index]!
    if (name !== found[index] || !isTable(page, node)) report(`page ${number}: has a table that is not plain`)
    if (names.includes(name!) && valueBytes(page, node) === TREE_BYTES) tables.set(name!, treeAt(page, valueAt(page, node)))
  }
  return { tables, isForeign, counts: { ...noCounts(), depth: 1, leaves: 1, entries: nodes.length } }
}

function nameOf (page: Buffer, node: number): string {
  return keyOf(page, node).toString('latin1').replace(/\0$/, '')
}

function isTable (page: Buffer, node: number): boolean {
  return flagsOf(page, node) === SUBTREE && valueBytes(page, node) === TREE_BYTES && isPlainTree(page, valueAt(page, node))
}

/** Whether a page is a faultless table of tables with known tables only. */
function isDirectory (page: Buffer, number: number, names: readonly string[], txnId: number): boolean {
  try {
    checkHeader(page, number, LEAF, txnId)
    checkNodes(page, number, LEAF, SUBTREE)
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    return false
  }
  return readableNodes(page, LEAF, SUBTREE).every(node => isTable(page, node) && names.includes(nameOf(page, node)))
}

/** Searches the file for tables of tables that a transaction wrote. @param skip says which pages cannot be one @returns page numbers */
export function findDirectories (file: DamagedFile, names: readonly string[], txnId: number, skip: (number: number) => boolean): number[] {
  const found: number[] = []
  for (const { number, page } of pagesOfTransaction(file, txnId)) if (!skip(number) && isDirectory(page, number, names, txnId)) found.push(number)
  return found
}

/** The pages whose headers name this transaction, each in a buffer that is valid only until the next. */
export function * pagesOfTransaction (file: DamagedFile, txnId: number): Generator<{ readonly number: number, readonly page: Buffer }> {
  const page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  for (let number = METAS; number < file.pages; number++) {
    try {
      file.page(number, page)
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
      continue
    }
    if (u64(page, 0) === number && u64(page, 8) === txnId) yield { number, page }
  }
}
