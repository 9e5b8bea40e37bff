import { readSync } from 'node:fs'
import { checkHeader, DataFileError, HEADER_BYTES, isPlainTree, META, METAS, PAGE_BYTES, treeAt, TREE_BYTES, u16, u64, type Tree } from './pages.js'

/** What a meta page (one of the first two) says: a state of the whole file. */
export interface Meta {
  readonly txnId: number
  readonly lastPage: number
  readonly free: Tree
  readonly main: Tree
}

/** The state that LMDB uses. */
export interface Snapshot extends Meta {
  /** Whether no state was before it: in a new file, and in a compacting backup. */
  readonly isFirst: boolean
}

export const META_BYTES = HEADER_BYTES + 144
const MAGIC = 0xbeefc0de
const VERSION = 2

/** Flags: the keys of the free list are integers (MDB_INTEGERKEY); the environment was opened by a file's name (MDB_NOSUBDIR). */
const INTEGER_KEYS = 0x0008
const NO_SUBDIR = 0x4000

/** No machine lets LMDB map more. */
const MAX_MAP_BYTES = 2 ** 48

const [MAGIC_AT, FREE_AT, MAIN_AT] = [HEADER_BYTES, HEADER_BYTES + 24, HEADER_BYTES + 24 + TREE_BYTES]

/** Reads the two meta pages, META_BYTES of each. @param size of the file, in bytes @throws {DataFileError} when the file is too short */
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

/** Whether this is a meta page of LMDB at all. */
export function isOfLmdb (meta: Buffer): boolean {
  return meta.readUInt32LE(MAGIC_AT) === MAGIC
}

/** What a meta page says, unchecked. */
export function fieldsOf (meta: Buffer): Meta {
  return { txnId: u64(meta, MAGIC_AT + 128), lastPage: u64(meta, MAGIC_AT + 120), free: treeAt(meta, FREE_AT), main: treeAt(meta, MAIN_AT) }
}

/** What a meta page says. @throws {DataFileError} when it is not as LMDB writes it here */
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

/** The later one of the two states, which LMDB uses. @throws {DataFileError} when they do not follow each other */
export function latestOf (a: Meta, b: Meta): Snapshot {
  const [current, other] = a.txnId >= b.txnId ? [a, b] : [b, a]
  // Transactions write the meta pages in turn: even numbers the first page, odd numbers the second. One that fails to write its
  // meta page leaves there its trees, with the number and the last page of two transactions before. So there is one bit whose
  // damage goes unnoticed: it makes the last transaction look like such a failure.
  const isOwn = current.txnId % 2 === (current === a ? 0 : 1)
  const isNext = other.txnId === current.txnId - 1 && other.lastPage <= current.lastPage
  const isFirst = isEmpty(other)
  if (!isOwn || (!isNext && !isFirst)) {
    throw new DataFileError(`pages 0 and 1: are of transactions ${a.txnId} and ${b.txnId}, which do not follow each other`)
  }
  return { ...current, isFirst }
}

/** Whether this is the state of a file that was never written to. */
export function isEmpty ({ txnId, lastPage, main, free }: Meta): boolean {
  return txnId === 0 && lastPage === METAS - 1 && main.root === undefined && free.root === undefined
}
