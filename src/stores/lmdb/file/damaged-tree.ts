import { txnIdOf, type DamagedFile } from './damaged-file.js'
import type { PageSet } from './page-set.js'
import {
  BIG, BRANCH, checkHeader, checkNodes, childOf, DataFileError, flagsOf, HEADER_BYTES, keyAt, keyBytes, LEAF, OVERFLOW, PAGE_BYTES, readableNodes,
  u16, u64, valueAt, valueBytes,
} from './pages.js'

/** Returns the name of the table that an entry belongs to; undefined when the entry is damaged. */
export type Identify = (key: Buffer, value: Buffer) => string | undefined

/** An entry of a leaf, in buffers that are valid only until the next one is asked for. */
export interface Entry {
  readonly key: Buffer
  /** Undefined when it is on overflow pages, and they are damaged. */
  readonly value: Buffer | undefined
  /** The table that it belongs to; undefined when it is damaged. */
  readonly table: string | undefined
  /** Where it is: the number of the leaf, and the byte offset of the node on it. */
  readonly page: number
  readonly node: number
}

/** What was met in a tree, as LMDB counts it. `gaps` are pages that could not be read, or only in part. */
export interface Counts { depth: number, branches: number, leaves: number, overflows: number, entries: number, gaps: number }

export const noCounts = (): Counts => ({ depth: 0, branches: 0, leaves: 0, overflows: 0, entries: 0, gaps: 0 })

/** The input and the output of one search through the trees of a file. */
export interface Search {
  readonly file: DamagedFile
  /** The last transaction that can have written a page. */
  readonly newest: number
  readonly identify: Identify
  /** Why a page that is referred to cannot be in use; undefined when it can. @param txnId of the page */
  refuse (number: number, txnId: number): string | undefined
  /** Receives what is wrong with a page. */
  report (fault: string): void
  /** The pages met so far: no page has two places. */
  readonly taken: PageSet
  readonly counts: Counts
}

/** LMDB's cursors hold no more levels (CURSOR_STACK), so no tree is deeper. */
const MAX_DEPTH = 32

/**
 * The entries of a table, in order, on all pages below `root` that can be read and reached, and that are what the page above
 * takes them for. Of a leaf that is damaged inside, it gives the entries that are not.
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
    // `leaf` is used again for the pages below.
    const branch = Buffer.from(leaf)
    const keys = nodes.map((node, index) => index === 0 ? undefined : keyOf(branch, node))
    // A damaged key may separate nothing, so then only the bounds from the branches above hold.
    const unordered = keys.findIndex((key, index) => index > 1 && Buffer.compare(keys[index - 1]!, key!) >= 0)
    if (unordered > 0) search.report(`page ${number}: node ${unordered} is out of order`)
    for (const [index, node] of nodes.entries()) {
      const [from, to] = unordered < 0 ? [keys[index] ?? left, keys[index + 1] ?? right] : [left, right]
      yield * below(childOf(branch, node), txnIdOf(branch), from, to, depth + 1)
    }
  }

  /** Reads a page into `leaf`, takes it and returns its nodes. @throws {DataFileError} when it is not a page of this tree */
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
    // One key that fits is enough, because a page that belongs elsewhere has none. The first key of a branch has no meaning.
    if (!(isBranch ? nodes.length === 1 || nodes.slice(1).some(fits) : nodes.some(fits))) throw new DataFileError(`page ${number}: has keys that belong elsewhere`)
    const found = tableBelow(search, leaf, nodes, depth)
    if (found !== undefined && found !== table) throw new DataFileError(`page ${number}: belongs to the table ${found}, not to ${table}`)
    taken.add(number)
    counts.depth = Math.max(counts.depth, depth)
    try {
      checkNodes(leaf, number, isBranch ? BRANCH : LEAF, BIG)
    } catch (error) {
      search.report((error as DataFileError).message) // It throws nothing else.
      counts.gaps++
    }
    // Either the key of such an entry is damaged, or a key in a branch above. Intact entries are taken all the same.
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
      // The pages of a damaged value may belong to another one.
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

/** Reads a branch or a leaf and returns its readable nodes. @throws {DataFileError} when it is neither, or not the page it should be */
export function readTreePage (search: Search, number: number, newest: number, into: Buffer): number[] {
  search.file.page(number, into)
  const kind = kindOf(into) === BRANCH ? BRANCH : LEAF
  checkHeader(into, number, kind, newest)
  const fault = search.refuse(number, txnIdOf(into))
  if (fault !== undefined) throw new DataFileError(`page ${number}: ${fault}`)
  return readableNodes(into, kind, BIG)
}

/** The table of the first intact entry below a page; undefined when there is none. @throws {DataFileError} when the page cannot be read */
export function tableOf (search: Search, root: number): string | undefined {
  const page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  return tableBelow(search, page, readTreePage(search, root, search.newest, page), 1)
}

/** As tableOf(), for a page that was read already. */
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
  // Values on the page itself come first: they cost less to check.
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

/** Reads a value from its overflow pages; undefined when these are not what the node says. */
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
    // Before the loop, because a damaged count can be in the billions. The value can end before the last of its pages does.
    if (Math.max((first + count - 1) * PAGE_BYTES + 1, first * PAGE_BYTES + HEADER_BYTES + size) > file.bytes) {
      throw new DataFileError(`page ${first + count - 1}: is in use, but the file ends before its end`)
    }
    for (let number = first; number < first + count; number++) {
      const fault = taken.has(number) ? 'is in use in two places' : refuse(number, txnIdOf(head))
      if (fault !== undefined) throw new DataFileError(`page ${number}: ${fault}`)
    }
    const value = Buffer.allocUnsafe(size)
    file.part(first * PAGE_BYTES + HEADER_BYTES, size, value, 0)
    return value
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    report(error.message)
    return undefined
  }
}
