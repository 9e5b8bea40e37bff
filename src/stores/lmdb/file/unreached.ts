import { txnIdOf } from './damaged-file.js'
import { entriesBelow, kindOf, noCounts, readTreePage, tableOf, type Search } from './damaged-tree.js'
import { pageSet, type PageSet } from './page-set.js'
import { BIG, BRANCH, checkHeader, checkNodes, childOf, DataFileError, LEAF, METAS, OVERFLOW, PAGE_BYTES } from './pages.js'

/** A part of a table's tree that no readable page refers to. */
export interface Part {
  readonly root: number
  /** The transaction that wrote the root. */
  readonly txnId: number
  readonly first: Buffer
  readonly last: Buffer
}

/**
 * Finds the parts of trees on pages that are neither free nor reached from the roots, each as large as it can be. It does not
 * tell whether they are in use: pages that LMDB has lost hold parts of older trees. Yields page numbers, to give others a turn.
 *
 * @param met pages that were reached, or are free
 * @param last the last page that can be in use
 * @param search its `taken` and `counts` do not change
 * @returns the parts by table, in the order of their keys; and whether there are also large values on such pages
 */
export function * unreachedParts (search: Search, met: PageSet, last: number): Generator<number, { readonly parts: ReadonlyMap<string, Part[]>, readonly hasValues: boolean }> {
  const { pages } = search.file
  const candidates = pageSet(pages)
  const children = pageSet(pages)
  const page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  let hasValues = false
  for (let number = METAS; number <= Math.min(last, pages - 1); number++) {
    yield number
    if (met.has(number)) continue
    const kind = kindAt(search, number, page)
    if (kind === OVERFLOW) {
      hasValues = true
      // A client chose the bytes of the value, and can make its pages look like any others.
      number += pagesOfValue(page) - 1
    } else if (kind !== undefined) {
      candidates.add(number)
      if (kind === BRANCH) for (const node of readTreePage(search, number, search.newest, page)) children.add(childOf(page, node))
    }
  }
  const parts = new Map<string, Part[]>()
  for (let root = METAS; root < pages; root++) {
    if (!candidates.has(root) || children.has(root)) continue
    const found = yield * partBelow(search, root, page)
    if (found === undefined) continue
    const others = parts.get(found.table)
    if (others === undefined) parts.set(found.table, [found.part])
    else others.push(found.part)
  }
  return { parts: new Map(Array.from(parts, ([table, some]) => [table, withoutOlder(some)])), hasValues }
}

/** @param page the first page of a large value */
function pagesOfValue (page: Buffer): number {
  return Math.max(page.readUInt32LE(20), 1)
}

/** The kind of a page; undefined when it is damaged or of another kind. */
function kindAt ({ file, newest }: Search, number: number, page: Buffer): number | undefined {
  try {
    file.page(number, page)
    const kind = kindOf(page)
    if (![BRANCH, LEAF, OVERFLOW].includes(kind)) return undefined
    checkHeader(page, number, kind, newest)
    if (kind !== OVERFLOW) checkNodes(page, number, kind, BIG)
    else if (number + pagesOfValue(page) > file.pages) return undefined
    return kind
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    return undefined
  }
}

/** The part below a page, and its table; undefined when no entry there is intact. */
function * partBelow (search: Search, root: number, page: Buffer): Generator<number, { readonly table: string, readonly part: Part } | undefined> {
  const { pages } = search.file
  search.file.page(root, page)
  const txnId = txnIdOf(page)
  // Every page of the file can be a leaf, so a set for each would cost too much; and a leaf by itself needs none.
  const taken = kindOf(page) === BRANCH ? pageSet(pages) : { has: () => false, add () {} }
  const own = { ...search, report () {}, taken, counts: noCounts() }
  const table = tableOf(own, root)
  if (table === undefined) return undefined
  let first: Buffer | undefined
  let last: Buffer | undefined
  for (const entry of entriesBelow(own, table, root)) {
    yield entry.page
    if (entry.table !== table) continue
    last = Buffer.from(entry.key)
    first ??= last
  }
  return first && last && { table, part: { root, txnId, first, last } }
}

/**
 * Parts in the order of their keys. Of parts whose keys overlap, only the one written last is kept: when it was written, the
 * other was not in use any more.
 */
function withoutOlder (parts: Part[]): Part[] {
  const kept: Part[] = []
  for (const part of parts.sort((a, b) => Buffer.compare(a.first, b.first))) {
    while (kept.length > 0 && Buffer.compare(kept.at(-1)!.last, part.first) >= 0 && kept.at(-1)!.txnId < part.txnId) kept.pop()
    const before = kept.at(-1)
    if (before === undefined || Buffer.compare(before.last, part.first) < 0) kept.push(part)
  }
  return kept
}
