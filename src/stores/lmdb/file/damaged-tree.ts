import { txnIdOf, type DamagedFile } from './damaged-file.js'
import type { PageSet } from './page-set.js'
import {
  BIG, BRANCH, checkHeader, checkNodes, childOf, DataFileError, flagsOf, HEADER_BYTES, keyAt, keyBytes, LEAF, OVERFLOW, PAGE_BYTES, readableNodes,
  u16, u64, valueAt, valueBytes,
} from './pages.js'

/** Says whose entry this is: the name of a table; undefined for one that is not as it was written. */
export type Identify = (key: Buffer, value: Buffer) => string | undefined

/** An entry of a leaf, in buffers that are good only until the next one is asked for. */
export interface Entry {
  readonly key: Buffer
  /** Undefined when it is on pages of its own, and not whole there. */
  readonly value: Buffer | undefined
  /** Whose it is; undefined when it is not as it was written. */
  readonly table: string | undefined
  /** Where it is: the leaf, and the node on it. */
  readonly page: number
  readonly node: number
}

/** What was met in a tree, as LMDB counts it, and how many pages could not be read, or not as a whole. */
export interface Counts { depth: number, branches: number, leaves: number, overflows: number, entries: number, gaps: number }

export const noCounts = (): Counts => ({ depth: 0, branches: 0, leaves: 0, overflows: 0, entries: 0, gaps: 0 })

/** What one way through the trees of a file goes by. */
export interface Search {
  readonly file: DamagedFile
  /** The last transaction that can have written a page. */
  readonly newest: number
  readonly identify: Identify
  /** What is wrong with it that a page is referred to; undefined when nothing is. @param txnId of the page */
  refuse (number: number, txnId: number): string | undefined
  /** Told what is wrong with a page. */
  report (fault: string): void
  /** The pages that were met: each of them has one place. */
  readonly taken: PageSet
  readonly counts: Counts
}

/** Trees are never deeper: LMDB has no room for more. */
const MAX_DEPTH = 32

/**
 * The entries of a table, in their order, on all pages below `root` that can be read: what is above them has to lead there, and
 * each has to be what it is taken for. Of a leaf that is damaged within, the entries that are not.
 */
export function * entriesBelow (search: Search, table: string, root: number): Generator<Entry> {
  const { newest, taken, counts } = search
  const leaf = Buffer.allocUnsafeSlow(PAGE_BYTES)
  yield * below(root, newest, undefined, undefined, 1)

  function * below (number: number, newest: number, left: Buffer | undefined, right: Buffer | undefined, depth: number): Generator<Entry> {
    let nodes: number[]
    try {
      nodes = open(number, newest, left, right, depth)
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
      search.report(error.message)
      counts.gaps++
      return
    }
    if (kindOf(leaf) === LEAF) {
      counts.leaves++
      counts.entries += nodes.length
      yield * entriesOn(number, nodes)
      return
    }
    counts.branches++
    // The buffer is used again for what lies below.
    const branch = Buffer.from(leaf)
    const keys = nodes.map((node, index) => index === 0 ? undefined : keyOf(branch, node))
    // One that is damaged may part nothing, so then all that is known is what the branches above say.
    const unordered = keys.findIndex((key, index) => index > 1 && Buffer.compare(keys[index - 1]!, key!) >= 0)
    if (unordered > 0) search.report(`page ${number}: node ${unordered} is out of order`)
    for (const [index, node] of nodes.entries()) {
      const [from, to] = unordered < 0 ? [keys[index] ?? left, keys[index + 1] ?? right] : [left, right]
      yield * below(childOf(branch, node), txnIdOf(branch), from, to, depth + 1)
    }
  }

  /** Reads a page of the tree into `leaf`, and takes it: its nodes. @throws {DataFileError} when it is not one of this tree's */
  function open (number: number, newest: number, left: Buffer | undefined, right: Buffer | undefined, depth: number): number[] {
    if (taken.has(number)) throw new DataFileError(`page ${number}: is in use in two places`)
    const nodes = readTreePage(search, number, newest, leaf)
    if (nodes.length === 0) throw new DataFileError(`page ${number}: has nothing that can be read`)
    const isBranch = kindOf(leaf) === BRANCH
    if (isBranch && depth === MAX_DEPTH) throw new DataFileError(`page ${number}: lies deeper than any page can`)
    const fits = (node: number) => {
      const key = keyOf(leaf, node)
      return (left === undefined || Buffer.compare(key, left) >= 0) && (right === undefined || Buffer.compare(key, right) < 0)
    }
    // One will do, because pages that belong elsewhere have none. The first key of a branch says nothing.
    if (!(isBranch ? nodes.length === 1 || nodes.slice(1).some(fits) : nodes.some(fits))) throw new DataFileError(`page ${number}: has keys that belong elsewhere`)
    const found = tableBelow(search, leaf, nodes, depth)
    if (found !== undefined && found !== table) throw new DataFileError(`page ${number}: belongs to the table ${found}, not to ${table}`)
    taken.add(number)
    counts.depth = Math.max(counts.depth, depth)
    try {
      checkNodes(leaf, number, isBranch ? BRANCH : LEAF, BIG)
    } catch (error) {
      search.report((error as DataFileError).message) // All that it throws.
      counts.gaps++
    }
    // Of such an entry the key is damaged, or of a branch above. What is whole is taken all the same.
    if (!isBranch && !nodes.every(fits)) search.report(`page ${number}: has keys that belong elsewhere`)
    const unordered = isBranch ? -1 : nodes.findIndex((node, index) => index > 0 && Buffer.compare(keyOf(leaf, nodes[index - 1]!), keyOf(leaf, node)) >= 0)
    if (unordered > 0) search.report(`page ${number}: node ${unordered} is out of order`)
    return nodes
  }

  function * entriesOn (page: number, nodes: readonly number[]): Generator<Entry> {
    for (const node of nodes) {
      const key = keyOf(leaf, node)
      if (flagsOf(leaf, node) !== BIG) {
        const value = leaf.subarray(valueAt(leaf, node), valueAt(leaf, node) + valueBytes(leaf, node))
        yield { key, value, table: search.identify(key, value), page, node }
        continue
      }
      const value = bigValue(search, leaf, node, search.report)
      const owner = value && search.identify(key, value)
      const count = u64(leaf, valueAt(leaf, node) + 16)
      if (value !== undefined) counts.overflows += count
      // What is not whole may be another's.
      if (owner !== undefined) taken.add(u64(leaf, valueAt(leaf, node)), count)
      yield { key, value, table: owner, page, node }
    }
  }
}

export function kindOf (page: Buffer): number {
  return u16(page, 18)
}

export function keyOf (page: Buffer, node: number): Buffer {
  return page.subarray(keyAt(node), keyAt(node) + keyBytes(page, node))
}

/** Reads a branch or a leaf: those of its nodes that can be read. @throws {DataFileError} when it is none, or not the one it should be */
export function readTreePage (search: Search, number: number, newest: number, into: Buffer): number[] {
  search.file.page(number, into)
  const kind = kindOf(into) === BRANCH ? BRANCH : LEAF
  checkHeader(into, number, kind, newest)
  const fault = search.refuse(number, txnIdOf(into))
  if (fault !== undefined) throw new DataFileError(`page ${number}: ${fault}`)
  return readableNodes(into, kind, BIG)
}

/** The table that has the first entry below a page which is as it was written; undefined when none is. */
export function tableOf (search: Search, root: number): string | undefined {
  const page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  return tableBelow(search, page, readTreePage(search, root, search.newest, page), 1)
}

/** Whose the first entry is, below a page, that is as it was written; undefined when none is. */
function tableBelow (search: Search, page: Buffer, nodes: readonly number[], depth: number): string | undefined {
  if (kindOf(page) === LEAF) return tableOn(search, page, nodes)
  const child = Buffer.allocUnsafeSlow(PAGE_BYTES)
  for (const node of depth < MAX_DEPTH ? nodes : []) {
    try {
      const found = tableBelow(search, child, readTreePage(search, childOf(page, node), txnIdOf(page), child), depth + 1)
      if (found !== undefined) return found
    } catch (error) {
      if (!(error instanceof DataFileError)) throw error
    }
  }
  return undefined
}

function tableOn (search: Search, leaf: Buffer, nodes: readonly number[]): string | undefined {
  // What is on the page itself first: it takes less.
  for (const isBig of [false, true]) {
    for (const node of nodes) {
      if ((flagsOf(leaf, node) === BIG) !== isBig) continue
      const value = isBig ? bigValue(search, leaf, node, () => {}) : leaf.subarray(valueAt(leaf, node), valueAt(leaf, node) + valueBytes(leaf, node))
      const found = value && search.identify(keyOf(leaf, node), value)
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** A value that is on pages of its own; undefined when they are not what the node says. */
function bigValue ({ file, newest, refuse, taken }: Search, leaf: Buffer, node: number, report: (fault: string) => void): Buffer | undefined {
  const first = u64(leaf, valueAt(leaf, node))
  const count = u64(leaf, valueAt(leaf, node) + 16)
  const size = valueBytes(leaf, node)
  try {
    if (size > count * PAGE_BYTES - HEADER_BYTES) throw new DataFileError(`page ${u64(leaf, 0)}: has a value of ${size} bytes on ${count} pages`)
    const head = Buffer.allocUnsafe(PAGE_BYTES)
    file.read(first, OVERFLOW, newest, head)
    const said = head.readUInt32LE(20)
    if (said !== count) throw new DataFileError(`page ${first}: is the first of ${said} pages, not of ${count}`)
    for (let number = first; number < first + count; number++) {
      const fault = taken.has(number) ? 'is in use in two places' : refuse(number, txnIdOf(head))
      if (fault !== undefined) throw new DataFileError(`page ${number}: ${fault}`)
    }
    if (first * PAGE_BYTES + HEADER_BYTES + size > file.bytes) throw new DataFileError(`page ${first + count - 1}: is in use, but the file ends before its end`)
    const value = Buffer.allocUnsafe(size)
    file.part(first * PAGE_BYTES + HEADER_BYTES, size, value, 0)
    return value
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    report(error.message)
    return undefined
  }
}
