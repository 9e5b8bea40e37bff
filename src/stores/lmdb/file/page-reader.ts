import { readSync } from 'node:fs'
import { checkHeader, DataFileError, HEADER_BYTES, METAS, OVERFLOW, PAGE_BYTES, u64, valueAt, valueBytes } from './pages.js'

/** The pages of a file. Each can be taken once, because no page has two uses. All but taken() throw DataFileError. */
export interface Pages {
  /** Takes `count` pages from `first` on. @param conflict what is wrong with a page that was taken before */
  take (first: number, count: number, conflict: string): void
  taken (): number
  /** Takes a page, reads it and checks its header. */
  read (number: number, kind: number, newest: number, into: Buffer): void
  /** Reads `count` bytes of pages that were taken. */
  bytes (position: number, count: number, into: Buffer, at: number): void
}

const IN_USE = 'is in use in two places'

export function pagesOf (fd: number, lastPage: number): Pages {
  const seen = Buffer.alloc(Math.floor(lastPage / 8) + 1)
  let taken = 0

  function take (first: number, count: number, conflict: string): void {
    if (first < METAS || first + count - 1 > lastPage) {
      throw new DataFileError(`page ${first}: is referred to, as the first of ${count}, but the last page is ${lastPage}`)
    }
    for (let number = first; number < first + count; number++) {
      const byte = Math.floor(number / 8)
      const bit = 1 << (number % 8)
      if ((seen[byte]! & bit) !== 0) throw new DataFileError(`page ${number}: ${conflict}`)
      seen[byte]! |= bit
    }
    taken += count
  }

  function bytes (position: number, count: number, into: Buffer, at: number): void {
    if (readSync(fd, into, at, count, position) === count) return
    throw new DataFileError(`page ${Math.floor((position + count - 1) / PAGE_BYTES)}: is in use, but the file ends before its end`)
  }

  return {
    take,
    taken: () => taken,
    bytes,
    read (number, kind, newest, into) {
      take(number, 1, IN_USE)
      bytes(number * PAGE_BYTES, PAGE_BYTES, into, 0)
      checkHeader(into, number, kind, newest)
    },
  }
}

/** The values of BIG nodes of a leaf. Their overflow pages are consecutive, and only the first has a header. */
export interface BigValues {
  /** Takes the pages of a value, and returns how many they are. @param number of the leaf @throws {DataFileError} */
  take (node: number, number: number): number
  /** Reads the value whose pages were taken last; valid until the next call. @throws {DataFileError} */
  value (node: number): Buffer
  /** The byte offset of the value in the file. */
  position (node: number): number
}

export function bigValues (pages: Pages, txnId: number, leaf: Buffer): BigValues {
  let bytes = Buffer.allocUnsafeSlow(PAGE_BYTES)
  let view: Buffer | undefined

  const firstPage = (node: number) => u64(leaf, valueAt(leaf, node))

  return {
    take (node, number) {
      const first = firstPage(node)
      const count = u64(leaf, valueAt(leaf, node) + 16)
      const size = valueBytes(leaf, node)
      if (size > count * PAGE_BYTES - HEADER_BYTES) throw new DataFileError(`page ${number}: has a value of ${size} bytes on ${count} pages`)
      // Not the leaf's transaction: a compacting backup sets that to 1, but keeps the transactions of overflow pages.
      pages.read(first, OVERFLOW, txnId, bytes)
      const said = bytes.readUInt32LE(20)
      if (said !== count) throw new DataFileError(`page ${first}: is the first of ${said} pages, not of ${count}`)
      if (count > 1) pages.take(first + 1, count - 1, IN_USE)
      return count
    },

    value (node) {
      const size = valueBytes(leaf, node)
      const rest = HEADER_BYTES + size - PAGE_BYTES
      if (rest > bytes.length - PAGE_BYTES) {
        const larger = Buffer.allocUnsafeSlow(PAGE_BYTES + 2 * rest)
        bytes.copy(larger, 0, 0, PAGE_BYTES)
        bytes = larger
        view = undefined
      }
      if (rest > 0) pages.bytes((firstPage(node) + 1) * PAGE_BYTES, rest, bytes, PAGE_BYTES)
      // Values are often as long as the one before, and making a new view takes longer than the rest of this function.
      if (view?.length !== size) view = bytes.subarray(HEADER_BYTES, HEADER_BYTES + size)
      return view
    },

    position: node => firstPage(node) * PAGE_BYTES + HEADER_BYTES,
  }
}
