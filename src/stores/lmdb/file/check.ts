import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { freemem } from 'node:os'
import { bigValues, pagesOf, type Pages } from './page-reader.js'
import {
  BIG, checkHeader, DataFileError, flagsOf, HEADER_BYTES, isPlainTree, keyAt, keyBytes, META, METAS, PAGE_BYTES, SUBTREE, TREE_BYTES,
  treeAt, u16, u64, valueAt, valueBytes, type Tree,
} from './pages.js'
import { compareBytes, compareNumbers, numberOf, walker } from './walk.js'

export { DataFileError } from './pages.js'

export interface FileSummary {
  /** Pages in use, of all kinds. */
  readonly pages: number
  /** Pages that LMDB can use again. */
  readonly freePages: number
  /** Pages that are neither. LMDB loses some now and then; all it means is that they are not used again. */
  readonly lostPages: number
  /** The size of the file. */
  readonly bytes: number
  /** The last transaction. */
  readonly txnId: number
  /** Numbers of records by table, tables by the bytes of their names as Latin-1. */
  readonly entries: ReadonlyMap<string, number>
}

/** Gets a record, in buffers that are good only until it returns. */
export type Visit = (table: string, key: Buffer, value: Buffer) => void

/**
 * Reads the data file of an LMDB environment as a whole, without LMDB, which trusts its file: it would crash on one that is
 * damaged or cut off, or read something else than was written. On a file that this accepts LMDB does neither, and reads
 * exactly what `visit` has got. Nobody may write to the file meanwhile.
 *
 * Takes twice the memory of the largest value, one bit for each page, and no more than a few MiB beside that.
 * @param visit called for each record of each named table, the tables and their records in the order of their bytes
 * @throws {DataFileError} when the file is not as LMDB leaves it; what `visit` throws, and errors of reading, as they are
 */
export function checkDataFile (path: string, visit: Visit): FileSummary {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const snapshot = readSnapshot(fd, size)
    if (size < freemem() / 2) readAhead(fd, size)
    return { bytes: size, txnId: snapshot.txnId, ...readTrees(fd, snapshot, visit) }
  } finally {
    closeSync(fd)
  }
}

/** A state of the whole file. */
interface Snapshot {
  readonly txnId: number
  readonly lastPage: number
  readonly free: Tree
  readonly main: Tree
  /** Whether no other was before it: in a new file, and in what LMDB's compacting backup makes. */
  readonly isFirst: boolean
}

/** The state that LMDB goes by: the later one of two. */
function readSnapshot (fd: number, size: number): Snapshot {
  if (size === 0) throw new DataFileError('the file is empty')
  if (size < METAS * PAGE_BYTES) throw new DataFileError(`the file has ${size} bytes, less than the ${METAS} pages that every data file begins with`)
  const [a, b] = [0, 1].map(number => {
    const meta = Buffer.alloc(META_BYTES)
    readSync(fd, meta, 0, META_BYTES, number * PAGE_BYTES)
    return snapshotOf(meta, number)
  }) as [Meta, Meta] // One for each number.
  const [current, other] = a.txnId >= b.txnId ? [a, b] : [b, a]
  // Transactions write these pages in turn: those with an even number the first, the others the second. One that fails at
  // that leaves its trees behind with the number and the last page of two before. Hence the one bit whose damage can pass for
  // something else: it makes the last transaction look like such a failure.
  const isOwn = current.txnId % 2 === (current === a ? 0 : 1)
  const isNext = other.txnId === current.txnId - 1 && other.lastPage <= current.lastPage
  const isFirst = other.txnId === 0 && other.lastPage === METAS - 1 && other.main.root === undefined && other.free.root === undefined
  if (!isOwn || (!isNext && !isFirst)) {
    throw new DataFileError(`pages 0 and 1: are of transactions ${a.txnId} and ${b.txnId}, which do not follow each other`)
  }
  return { ...current, isFirst }
}

type Meta = Omit<Snapshot, 'isFirst'>

/** What one of the first two pages says, checked to be as LMDB writes it here. */
function snapshotOf (meta: Buffer, number: number): Meta {
  const [at, free, main] = [HEADER_BYTES, HEADER_BYTES + 24, HEADER_BYTES + 24 + TREE_BYTES]
  const refuse = (what: string) => { throw new DataFileError(`page ${number}: ${what}`) }
  if (meta.readUInt32LE(at) !== MAGIC) refuse('is not of LMDB')
  if (meta.readUInt32LE(at + 4) !== VERSION) refuse(`is of version ${meta.readUInt32LE(at + 4)} of LMDB's format, not of ${VERSION}`)
  if (meta.readUInt32LE(free) !== PAGE_BYTES) refuse(`says that pages have ${meta.readUInt32LE(free)} bytes, not ${PAGE_BYTES}`)
  checkHeader(meta, number, META, 0)
  const flags = u16(meta, free + 4)
  if ((flags & ~NO_SUBDIR) !== INTEGER_KEYS) refuse(`has the flags ${flags.toString(16)}`)
  if (!isPlainTree(meta, main)) refuse('has a table of tables that is not plain')
  const mapBytes = u64(meta, at + 16)
  const lastPage = u64(meta, at + 120)
  const isMap = u64(meta, at + 8) === 0 && mapBytes % PAGE_BYTES === 0 && mapBytes <= MAX_MAP_BYTES
  if (!isMap || lastPage < METAS - 1 || (lastPage + 1) * PAGE_BYTES > mapBytes) {
    refuse(`maps ${mapBytes} bytes for pages up to ${lastPage}`)
  }
  return { txnId: u64(meta, at + 128), lastPage, free: treeAt(meta, free), main: treeAt(meta, main) }
}

const META_BYTES = HEADER_BYTES + 144
const MAGIC = 0xbeefc0de
const VERSION = 2

/** These flags say that the free list has numbers as keys, and that the environment was opened by a file's name. */
const INTEGER_KEYS = 0x0008
const NO_SUBDIR = 0x4000

/** More than LMDB gets to map anywhere. */
const MAX_MAP_BYTES = 2 ** 48

/** Has the system read the file in its order, so that what follows, in the order of keys, does not wait for a disk to seek. */
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
    // The 0 that ends a name in C is stored with it.
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
    freePages += takeFree(pages, position, valueBytes(leaf, node))
  })
  // The pages of a backup are all of transaction 1. Everywhere else the last transaction has written something.
  const last = Math.max(mainOf, freeOf)
  if (last !== txnId && !isFirst) throw new DataFileError(`pages 0 and 1: are of transaction ${txnId}, but the pages are of ${last} and before`)
  const taken = METAS + pages.taken()
  const entries = new Map(Array.from(tables, ([name, tree]) => [name, tree.entries]))
  return { pages: taken - freePages, freePages, lostPages: lastPage + 1 - taken, entries }
}

/** Makes buffers of parts of a page. Where records are as long as those of the page before, it has them from there. */
function viewer (page: Buffer): (at: number, bytes: number) => Buffer {
  const views = new Array<Buffer | undefined>(PAGE_BYTES)
  return (at, bytes) => {
    const made = views[at]
    return made?.length === bytes ? made : (views[at] = page.subarray(at, at + bytes))
  }
}

const FREE = 'is free, but in use too, or free twice'

/**
 * Takes the pages of one list of free pages: how many they are. Lists can be larger than memory, so it is read in parts.
 * First comes its length; then numbers of pages, 0 for nothing, or as a negative number how many pages follow each other from
 * the next one on.
 */
function takeFree (pages: Pages, position: number, size: number): number {
  const part = Buffer.allocUnsafe(Math.min(size, 2 ** 16))
  let partAt = 0
  let partEnd = 0
  let count = 0

  function number (index: number): number {
    const at = index * 8
    if (at + 8 > size) throw new DataFileError(`page ${Math.floor(position / PAGE_BYTES)}: has a list of free pages that breaks off`)
    if (at >= partEnd) {
      partAt = at
      partEnd = Math.min(at + part.length, size)
      pages.bytes(position + at, partEnd - at, part, 0)
    }
    return part.readUInt32LE(at - partAt) + part.readInt32LE(at - partAt + 4) * 2 ** 32
  }

  const length = number(0)
  if (size % 8 !== 0 || length < 0) throw new DataFileError(`page ${Math.floor(position / PAGE_BYTES)}: has a list of ${length} free pages in ${size} bytes`)
  for (let index = 1; index <= length; index++) {
    const entry = number(index)
    if (entry === 0) continue
    const run = entry < 0 ? -entry : 1
    pages.take(entry < 0 ? number(++index) : entry, run, FREE)
    count += run
  }
  return count
}
