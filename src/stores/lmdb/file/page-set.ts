/** A set of pages, with one bit for each page of a file. */
export interface PageSet {
  /** False for a page beyond the end of the file. */
  has (number: number): boolean
  add (first: number, count?: number): void
}

/** @param pages how many pages the file has */
export function pageSet (pages: number): PageSet {
  const bits = Buffer.alloc(Math.ceil(pages / 8))
  return {
    has: number => number < pages && (bits[Math.floor(number / 8)]! & 1 << (number % 8)) !== 0,
    add (first, count = 1) {
      for (let number = first; number < Math.min(first + count, pages); number++) bits[Math.floor(number / 8)]! |= 1 << (number % 8)
    },
  }
}
