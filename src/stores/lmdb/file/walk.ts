import type { BigValues, Pages } from './page-reader.js'
import { BIG, BRANCH, checkNodes, childOf, DataFileError, flagsOf, keyAt, keyBytes, LEAF, nodeAt, PAGE_BYTES, u64, type Tree } from './pages.js'

/** Compares the keys of two nodes. */
export type Compare = (a: Buffer, aNode: number, b: Buffer, bNode: number) => number

export const compareBytes: Compare = (a, aNode, b, bNode) => {
  const aBytes = keyBytes(a, aNode)
  const bBytes = keyBytes(b, bNode)
  const offset = keyAt(bNode) - keyAt(aNode)
  const end = keyAt(aNode) + Math.min(aBytes, bBytes)
  for (let at = keyAt(aNode); at < end; at++) {
    const difference = a[at]! - b[at + offset]!
    if (difference !== 0) return difference
  }
  return aBytes - bBytes
}

export const compareNumbers: Compare = (a, aNode, b, bNode) => numberOf(a, aNode) - numberOf(b, bNode)

/** The key of a node in the free list: the number of a transaction. @throws {DataFileError} when it is not 8 bytes long */
export function numberOf (page: Buffer, node: number): number {
  if (keyBytes(page, node) !== 8) throw new DataFileError(`page ${u64(page, 0)}: has a key that is no number of a transaction`)
  return u64(page, keyAt(node))
}

/**
 * Makes a function that walks a tree and checks it. `flags` are those that nodes of its leaves can have. `visit` is called for each
 * node, with the number of its page, while that page is in `leaf`. The function returns the last transaction that wrote a page of
 * the tree, 0 for an empty one, and throws a DataFileError when the tree is not as LMDB leaves it.
 */
export function walker (pages: Pages, txnId: number, leaf: Buffer, big: BigValues) {
  return (name: string, tree: Tree, flags: number, compare: Compare, visit: (node: number, number: number) => void): number => {
    /** The branches from the root down to the current page, and the index of the node in each that leads there. */
    const path: Array<{ readonly page: Buffer, count: number, index: number }> = []
    const met = { branches: 0, leaves: 0, overflows: 0, entries: 0 }
    let last = 0

    /** @param newest the transaction of the page above, which is rewritten whenever this one is */
    function descend (number: number, depth: number, newest: number): void {
      if (depth === tree.depth) return readLeaf(number, newest)
      const step = (path[depth - 1] ??= { page: Buffer.allocUnsafeSlow(PAGE_BYTES), count: 0, index: 0 })
      pages.read(number, BRANCH, newest, step.page)
      last = Math.max(last, u64(step.page, 8))
      step.count = checkNodes(step.page, number, BRANCH, 0)
      met.branches++
      for (step.index = 0; step.index < step.count; step.index++) {
        descend(childOf(step.page, nodeAt(step.page, step.index)), depth + 1, u64(step.page, 8))
      }
    }

    function readLeaf (number: number, newest: number): void {
      pages.read(number, LEAF, newest, leaf)
      last = Math.max(last, u64(leaf, 8))
      const count = checkNodes(leaf, number, LEAF, flags)
      checkBounds(number, nodeAt(leaf, 0), nodeAt(leaf, count - 1))
      met.leaves++
      met.entries += count
      for (let index = 0; index < count; index++) {
        const node = nodeAt(leaf, index)
        if (index > 0 && compare(leaf, nodeAt(leaf, index - 1), leaf, node) >= 0) throw new DataFileError(`page ${number}: node ${index} is out of order`)
        if (flagsOf(leaf, node) === BIG) met.overflows += big.take(node, number)
        visit(node, number)
      }
    }

    /**
     * Checks that a search from the root would find the keys of a leaf there. If that holds for all leaves, the keys in the
     * branches are in order too. The first key of a branch separates nothing.
     */
    function checkBounds (number: number, first: number, last: number): void {
      const left = path.findLast(({ index }) => index > 0)
      const right = path.findLast(({ index, count }) => index < count - 1)
      const isAfter = left === undefined || compare(left.page, nodeAt(left.page, left.index), leaf, first) <= 0
      const isBefore = right === undefined || compare(right.page, nodeAt(right.page, right.index + 1), leaf, last) > 0
      if (!isAfter || !isBefore) throw new DataFileError(`page ${number}: has keys that belong elsewhere`)
    }

    if (tree.root !== undefined) descend(tree.root, 1, txnId)
    else if (tree.depth > 0) throw new DataFileError(`${name}: has no root, but a depth of ${tree.depth}`)
    for (const what of ['branches', 'leaves', 'overflows', 'entries'] as const) {
      if (met[what] !== tree[what]) throw new DataFileError(`${name}: has ${met[what]} ${what}, not the ${tree[what]} that LMDB counted`)
    }
    return last
  }
}
