import { DataFileError, PAGE_BYTES } from './pages.js'

/**
 * Goes through one list of free pages: how many they are. Lists can be larger than memory, so it is read in parts. First comes
 * its length; then numbers of pages, 0 for nothing, or as a negative number how many pages follow each other from the next one on.
 *
 * @param read fills a buffer from a place in the file
 * @param position where in the file the list is, `size` bytes long
 * @param take called for each run of pages
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
