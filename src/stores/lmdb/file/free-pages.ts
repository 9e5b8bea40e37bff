import { eachFree } from './free-list.js'
import type { Meta } from './meta.js'
import { bigValues, pagesOf } from './page-reader.js'
import { pageSet, type PageSet } from './page-set.js'
import { reading, type DamagedFile } from './damaged-file.js'
import { BIG, DataFileError, flagsOf, PAGE_BYTES, valueAt, valueBytes } from './pages.js'
import { compareNumbers, numberOf, walker } from './walk.js'

/** The pages that a state of a file lists as free. */
export interface FreePages {
  readonly set: PageSet
  readonly count: number
}

/** A last page after this one (at 1 TiB) and after the file's end is a damaged number: reading takes a bit of memory for each page. */
const MAX_LAST_PAGE = 2 ** 28

/**
 * Reads the free list, all or nothing: an incomplete one cannot show that a page is in use.
 * @throws {DataFileError} when any part of the list is damaged
 */
export function freePages (file: DamagedFile, { txnId, lastPage, free }: Meta): FreePages {
  if (lastPage > Math.max(file.pages, MAX_LAST_PAGE)) throw new DataFileError(`pages 0 and 1: say that the last page is ${lastPage}`)
  const set = pageSet(file.pages)
  const pages = pagesOf(file.fd, lastPage)
  const leaf = Buffer.allocUnsafeSlow(PAGE_BYTES)
  const big = bigValues(pages, txnId, leaf)
  let count = 0
  const last = reading(() => walker(pages, txnId, leaf, big)('the free list', free, BIG, compareNumbers, (node, number) => {
    const freedBy = numberOf(leaf, node)
    if (freedBy < 1 || freedBy > txnId) throw new DataFileError(`page ${number}: has a list of pages that transaction ${freedBy} freed`)
    const position = flagsOf(leaf, node) === BIG ? big.position(node) : number * PAGE_BYTES + valueAt(leaf, node)
    count += eachFree(pages.bytes, position, valueBytes(leaf, node), (first, run) => {
      pages.take(first, run, 'is free twice, or holds the free list too')
      set.add(first, run)
    })
  }))
  // Every transaction writes to the free list, to note the pages of the state before it that it replaces.
  if (free.root !== undefined && last !== txnId) throw new DataFileError(`the free list: is of transaction ${last}, not of ${txnId}`)
  return { set, count }
}
