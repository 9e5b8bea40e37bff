import { readSync } from 'node:fs'
import { checkHeader, DataFileError, METAS, PAGE_BYTES, u64 } from './pages.js'

/** A file in which pages may be unreadable, or hold anything. */
export interface DamagedFile {
  readonly fd: number
  readonly bytes: number
  /** How many complete pages it has. */
  readonly pages: number
  /** Reads a page and checks its header. @param newest the last transaction that can have written it @throws {DataFileError} */
  read (number: number, kind: number, newest: number, into: Buffer): void
  /** Reads a page without checking it. @throws {DataFileError} when it cannot be read */
  page (number: number, into: Buffer): void
  /** Reads `count` bytes of the file into a buffer. @throws {DataFileError} when they cannot be read */
  part (position: number, count: number, into: Buffer, at: number): void
}

export function damagedFile (fd: number, bytes: number): DamagedFile {
  const pages = Math.floor(bytes / PAGE_BYTES)

  function part (position: number, count: number, into: Buffer, at: number): void {
    const number = Math.floor((position + count - 1) / PAGE_BYTES)
    if (position + count > bytes) throw new DataFileError(`page ${number}: is in use, but the file ends before its end`)
    reading(() => readSync(fd, into, at, count, position), number)
  }

  function page (number: number, into: Buffer): void {
    if (number < METAS) throw new DataFileError(`page ${number}: is referred to, but holds no data`)
    part(number * PAGE_BYTES, PAGE_BYTES, into, 0)
  }

  return {
    fd,
    bytes,
    pages,
    part,
    page,
    read (number, kind, newest, into) {
      page(number, into)
      checkHeader(into, number, kind, newest)
    },
  }
}

/** Runs `read`. @param number the page that it reads, if it is a single one @throws {DataFileError} when the disk cannot read it (EIO) */
export function reading<T> (read: () => T, number?: number): T {
  try {
    return read()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error // An error without a code has undefined here.
    throw new DataFileError(`${number === undefined ? 'the free list' : `page ${number}`}: cannot be read from the disk`)
  }
}

/** The transaction that wrote a page. */
export function txnIdOf (page: Buffer): number {
  return u64(page, 8)
}
