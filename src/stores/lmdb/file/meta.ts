import { readSync } from 'node:fs'
import { checkHeader, DataFileError, HEADER_BYTES, isPlainTree, META, METAS, PAGE_BYTES, treeAt, TREE_BYTES, u16, u64, type Tree } from './pages.js'

/** What one of the first two pages says: a state of the whole file. */
export interface Meta {
  readonly txnId: number
  readonly lastPage: number
  readonly free: Tree
  readonly main: Tree
}

/** The state that LMDB goes by. */
export interface Snapshot extends Meta {
  /** Whether no other was before it: in a new file, and in what LMDB's compacting backup makes. */
  readonly isFirst: boolean
}

export const META_BYTES = HEADER_BYTES + 144
const MAGIC = 0xbeefc0de
const VERSION = 2

/** These flags say that the free list has numbers as keys, and that the environment was opened by a file's name. */
const INTEGER_KEYS = 0x0008
const NO_SUBDIR = 0x4000

/** More than LMDB gets to map anywhere. */
const MAX_MAP_BYTES = 2 ** 48

const [MAGIC_AT, FREE_AT, MAIN_AT] = [HEADER_BYTES, HEADER_BYTES + 24, HEADER_BYTES + 24 + TREE_BYTES]

/** The first two pages, as far as they say something. @param size of the file, in bytes */
export function readMetas (fd: number, size: number): readonly [Buffer, Buffer] {
  if (size === 0) throw new DataFileError('the file is empty')
  if (size < METAS * PAGE_BYTES) throw new DataFileError(`the file has ${size} bytes, less than the ${METAS} pages that every data file begins with`)
  return [readMeta(fd, 0), readMeta(fd, 1)]
}

function readMeta (fd: number, number: number): Buffer {
  const meta = Buffer.alloc(META_BYTES)
  readSync(fd, meta, 0, META_BYTES, number * PAGE_BYTES)
  return meta
}

/** Whether this is a page of LMDB's at all. */
export function isOfLmdb (meta: Buffer): boolean {
  return meta.readUInt32LE(MAGIC_AT) === MAGIC
}

/** What a meta page says, whether or not that can be true. */
export function fieldsOf (meta: Buffer): Meta {
  return { txnId: u64(meta, MAGIC_AT + 128), lastPage: u64(meta, MAGIC_AT + 120), free: treeAt(meta, FREE_AT), main: treeAt(meta, MAIN_AT) }
}

/** What one of the first two pages says, checked to be as LMDB writes it here. */
export function metaOf (meta: Buffer, number: number): Meta {
  const refuse = (what: string) => { throw new DataFileError(`page ${number}: ${what}`) }
  if (!isOfLmdb(meta)) refuse('is not of LMDB')
  if (meta.readUInt32LE(MAGIC_AT + 4) !== VERSION) refuse(`is of version ${meta.readUInt32LE(MAGIC_AT + 4)} of LMDB's format, not of ${VERSION}`)
  if (meta.readUInt32LE(FREE_AT) !== PAGE_BYTES) refuse(`says that pages have ${meta.readUInt32LE(FREE_AT)} bytes, not ${PAGE_BYTES}`)
  checkHeader(meta, number, META, 0)
  const flags = u16(meta, FREE_AT + 4)
  if ((flags & ~NO_SUBDIR) !== INTEGER_KEYS) refuse(`has the flags ${flags.toString(16)}`)
  if (!isPlainTree(meta, MAIN_AT)) refuse('has a table of tables that is not plain')
  const mapBytes = u64(meta, MAGIC_AT + 16)
  const fields = fieldsOf(meta)
  const isMap = u64(meta, MAGIC_AT + 8) === 0 && mapBytes % PAGE_BYTES === 0 && mapBytes <= MAX_MAP_BYTES
  if (!isMap || fields.lastPage < METAS - 1 || (fields.lastPage + 1) * PAGE_BYTES > mapBytes) {
    refuse(`maps ${mapBytes} bytes for pages up to ${fields.lastPage}`)
  }
  return fields
}

/** The later one of the two states, by which LMDB goes. @throws {DataFileError} when they do not follow each other */
export function latestOf (a: Meta, b: Meta): Snapshot {
  const [current, other] = a.txnId >= b.txnId ? [a, b] : [b, a]
  // Transactions write these pages in turn: those with an even number the first, the others the second. One that fails at
  // that leaves its trees behind with the number and the last page of two before. Hence the one bit whose damage can pass for
  // something else: it makes the last transaction look like such a failure.
  const isOwn = current.txnId % 2 === (current === a ? 0 : 1)
  const isNext = other.txnId === current.txnId - 1 && other.lastPage <= current.lastPage
  const isFirst = isEmpty(other)
  if (!isOwn || (!isNext && !isFirst)) {
    throw new DataFileError(`pages 0 and 1: are of transactions ${a.txnId} and ${b.txnId}, which do not follow each other`)
  }
  return { ...current, isFirst }
}

/** Whether this is the state of a file that nothing was ever written to. */
export function isEmpty ({ txnId, lastPage, main, free }: Meta): boolean {
  return txnId === 0 && lastPage === METAS - 1 && main.root === undefined && free.root === undefined
}
