import { DataFileError, PAGE_BYTES } from './pages.js'

/**
 * Reads one list of free pages, in parts, because it can be larger than memory. The list holds 64-bit numbers: first its length,
 * then page numbers; 0 stands for nothing, and -n for a run of n pages that starts at the next number.
 *
 * @param read fills a buffer from a place in the file
 * @param position the byte offset of the list in the file
 * @param size of the list, in bytes
 * @param take called for each run of pages
 * @returns how many pages there are
 * @throws {DataFileError} when this is no such list
 */
export function eachFree (
  read: (position: number, count: number, into: Buffer, at: number) => void, position: number, size: number, take: (first: number, count: number) => void
): number {
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
      read(position + at, partEnd - at, part, 0)
    }
    return part.readUInt32LE(at - partAt) + part.readInt32LE(at - partAt + 4) * 2 ** 32
  }

  const length = number(0)
  if (size % 8 !== 0 || length < 0) throw new DataFileError(`page ${Math.floor(position / PAGE_BYTES)}: has a list of ${length} free pages in ${size} bytes`)
  for (let index = 1; index <= length; index++) {
    const entry = number(index)
    if (entry === 0) continue
    const run = entry < 0 ? -entry : 1
    take(entry < 0 ? number(++index) : entry, run)
    count += run
  }
  return count
}
