import type { FileHandle } from 'node:fs/promises'
import { InputError } from '../stores/input-error.js'
import { size } from './words.js'

/** Bytes read at a time: a line that lies in one of them is not copied. */
const CHUNK_BYTES = 2 ** 20
const LF = 0x0a

export interface Line {
  /** Counted from 1. */
  readonly number: number
  /** Without the line end. */
  readonly bytes: Buffer
  /** Where in the file the next line begins. */
  readonly end: number
}

/**
 * The lines of a file from its beginning, whatever was read from it before.
 *
 * @param most bytes of a line
 * @throws {InputError} when a line is longer
 */
export async function * readLines (file: FileHandle, most: number): AsyncGenerator<Line> {
  let number = 1
  let parts: Buffer[] = []
  let length = 0
  let position = 0
  while (true) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position)
    if (bytesRead === 0) break
    const chunk = buffer.subarray(0, bytesRead)
    let from = 0
    while (from < bytesRead) {
      const lineEnd = chunk.indexOf(LF, from)
      const to = lineEnd < 0 ? bytesRead : lineEnd
      length += to - from
      if (length > most) throw new InputError(`line ${number} is longer than ${size(most)}`)
      parts.push(chunk.subarray(from, to))
      from = to + 1
      if (lineEnd < 0) continue
      yield { number, bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts, length), end: position + from }
      number++
      parts = []
      length = 0
    }
    position += bytesRead
  }
  if (length > 0) yield { number, bytes: Buffer.concat(parts, length), end: position }
}
