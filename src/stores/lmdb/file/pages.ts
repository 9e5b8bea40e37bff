/*
 * The pages of LMDB's data file, version 2, and the checks that each must pass by itself, whatever it holds. All numbers are
 * little-endian, and there are no checksums.
 */

/** A fault of a data file. The message tells an operator, in one line, what is wrong and where. */
export class DataFileError extends Error {}

export const PAGE_BYTES = 4_096

/** The first two pages hold no data, but say where it is. */
export const METAS = 2

/** Every page begins with its own number (8 bytes), the transaction that wrote it (8), 0 (2), and its kind (2). */
export const HEADER_BYTES = 24
export const BRANCH = 1
export const LEAF = 2
export const OVERFLOW = 4
export const META = 8

/**
 * After the header, branches and leaves have the offsets of their nodes, in the order of the keys. At the end of the page are
 * the nodes, in no order. Offsets count from the end of the header. The header's last four bytes say where the offsets end (2)
 * and where the nodes begin (2).
 */
const BODY_BYTES = PAGE_BYTES - HEADER_BYTES

/** The value's size, or the low bytes of the child's page number (4 bytes); flags, or that number's high bytes (2); the key's size (2). */
const NODE_BYTES = 8

/** The value is on overflow pages. In its place are the first of them (8 bytes), a transaction (8), and how many they are (8). */
export const BIG = 1
const BIG_BYTES = 24

/** The value is the root of a tree: a table. */
export const SUBTREE = 2
export const TREE_BYTES = 48

/** A value that would make its node larger goes to overflow pages, so that two nodes fit on every page. */
const MAX_NODE_BYTES = 2_034
const MAX_KEY_BYTES = 1_978

/** An unsigned 16-bit number. Reading spends most of its time here; the checks of Buffer's own methods would double that. */
export function u16 (bytes: Buffer, at: number): number {
  return bytes[at]! | bytes[at + 1]! << 8
}

/** An unsigned 64-bit number. Above 2 ** 53 it is not exact, but it is only compared with numbers far below that. */
export function u64 (bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32
}

/** The byte offset of a node on its page. */
export function nodeAt (page: Buffer, index: number): number {
  return u16(page, HEADER_BYTES + 2 * index) + HEADER_BYTES
}

export function keyAt (node: number): number {
  return node + NODE_BYTES
}

export function keyBytes (page: Buffer, node: number): number {
  return u16(page, node + 6)
}

export function valueAt (page: Buffer, node: number): number {
  return keyAt(node) + keyBytes(page, node)
}

export function valueBytes (page: Buffer, node: number): number {
  return page.readUInt32LE(node)
}

export function flagsOf (page: Buffer, node: number): number {
  return u16(page, node + 4)
}

export function childOf (page: Buffer, node: number): number {
  return page.readUInt32LE(node) + u16(page, node + 4) * 2 ** 32
}

/**
 * Checks the header of a page.
 * @param newest the last transaction that can have written it. LMDB would write to pages of a later one, taking them for its own
 * @throws {DataFileError}
 */
export function checkHeader (page: Buffer, number: number, kind: number, newest: number): void {
  if (u64(page, 0) !== number) throw new DataFileError(`page ${number}: says that it is page ${u64(page, 0)}`)
  const found = page.readUInt32LE(16)
  if (found !== kind << 16) throw new DataFileError(`page ${number}: is of kind ${found.toString(16)} and not ${(kind << 16).toString(16)}`)
  if (u64(page, 8) > newest) throw new DataFileError(`page ${number}: is of transaction ${u64(page, 8)}, which is after ${newest}`)
}

/** Where each node of the page that is being checked ends, at the index that is half the node's offset. */
const ends = new Uint16Array(BODY_BYTES / 2)

/**
 * Checks that the nodes of a branch or a leaf lie side by side up to the end of the page, as LMDB keeps them, and that each
 * can be a node.
 * @param flags the flags that nodes of this leaf can have
 * @returns how many nodes there are
 * @throws {DataFileError}
 */
export function checkNodes (page: Buffer, number: number, kind: number, flags: number): number {
  const lower = u16(page, 20)
  const upper = u16(page, 22)
  if (lower % 2 !== 0 || upper % 2 !== 0 || lower > upper || upper > BODY_BYTES) {
    throw new DataFileError(`page ${number}: has its free space from ${lower} to ${upper}`)
  }
  const count = lower / 2
  if (count < (kind === BRANCH ? 2 : 1)) throw new DataFileError(`page ${number}: has ${count} nodes`)
  ends.fill(0)
  for (let index = 0; index < count; index++) {
    const end = endOfNode(page, kind, flags, index, upper)
    if (end === 0) throw new DataFileError(`page ${number}: node ${index} cannot be one`)
    ends[(nodeAt(page, index) - HEADER_BYTES) / 2] = end
  }
  // Going from each end to the next meets every node exactly once if none overlap and there are no gaps.
  let met = 0
  let at = upper
  for (; at < BODY_BYTES; met++) at = ends[at / 2] || PAGE_BYTES
  if (at !== BODY_BYTES || met !== count) throw new DataFileError(`page ${number}: its nodes do not lie side by side`)
  return count
}

/**
 * The nodes of a page that are valid by themselves, in its order. Of a page that checkNodes() refuses, these are the nodes around
 * the damage, and perhaps some that never were nodes.
 */
export function readableNodes (page: Buffer, kind: number, flags: number): number[] {
  const lower = Math.min(u16(page, 20), BODY_BYTES)
  const upper = u16(page, 22)
  // Before `upper` are remains of removed nodes.
  const first = upper >= lower && upper <= BODY_BYTES ? upper : lower
  const nodes: number[] = []
  for (let index = 0; index < lower >> 1; index++) {
    if (endOfNode(page, kind, flags, index, first) > 0) nodes.push(nodeAt(page, index))
  }
  return nodes
}

/** Where in the body of the page a node ends; 0 when it is not valid. @param upper where in the body the first node can begin */
function endOfNode (page: Buffer, kind: number, flags: number, index: number, upper: number): number {
  const node = nodeAt(page, index)
  const at = node - HEADER_BYTES
  const fits = at % 2 === 0 && at >= upper && at <= BODY_BYTES - NODE_BYTES
  const size = !fits ? 0 : kind === BRANCH ? branchNode(page, node, index) : leafNode(page, node, flags)
  return size === 0 || at + size > BODY_BYTES ? 0 : at + size
}

/** The length of a branch's node in bytes; 0 when it is not valid. The key of the first node has no meaning, and is mostly empty. */
function branchNode (page: Buffer, node: number, index: number): number {
  const key = keyBytes(page, node)
  return key > MAX_KEY_BYTES || (key === 0 && index > 0) ? 0 : even(NODE_BYTES + key)
}

/** The length of a leaf's node in bytes; 0 when it is not valid. */
function leafNode (page: Buffer, node: number, flags: number): number {
  const key = keyBytes(page, node)
  const own = flagsOf(page, node)
  const size = NODE_BYTES + key + (own === BIG ? BIG_BYTES : valueBytes(page, node))
  return key === 0 || key > MAX_KEY_BYTES || size > MAX_NODE_BYTES || (own & ~flags) !== 0 ? 0 : even(size)
}

function even (size: number): number {
  return (size + 1) & ~1
}

/** What LMDB's record of a tree (MDB_db) says. */
export interface Tree {
  readonly depth: number
  readonly branches: number
  readonly leaves: number
  /** Overflow pages: those of values that are not in a leaf. */
  readonly overflows: number
  readonly entries: number
  /** Undefined when the tree is empty. */
  readonly root: number | undefined
}

const NO_PAGE = 2n ** 64n - 1n

/** Reads the record of a tree, without the flags at its beginning. */
export function treeAt (bytes: Buffer, at: number): Tree {
  const isEmpty = bytes.readBigUInt64LE(at + 40) === NO_PAGE
  return {
    depth: u16(bytes, at + 6),
    branches: u64(bytes, at + 8),
    leaves: u64(bytes, at + 16),
    overflows: u64(bytes, at + 24),
    entries: u64(bytes, at + 32),
    root: isEmpty ? undefined : u64(bytes, at + 40),
  }
}

/** Whether the tree whose record is at `at` has plain keys: in byte order, each once. */
export function isPlainTree (bytes: Buffer, at: number): boolean {
  return bytes.readUInt32LE(at) === 0 && u16(bytes, at + 4) === 0
}
