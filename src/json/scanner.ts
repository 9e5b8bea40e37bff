import { isAscii, isUtf8 } from 'node:buffer'
import { END, JsonError, Lexer, QUOTE, type Kind } from './lexer.js'
import type { JsonText } from './text.js'
import { firstIllFormed } from './utf8.js'

/** How many levels of arrays and objects a JSON text may nest (PROTOCOL 5). */
export const MAX_DEPTH = 128

/** Where a value is in its document, and its parts if it was opened. Offsets are in bytes. */
export interface Node {
  readonly kind: Kind
  /** Start of the member's name in an object; otherwise the same as `start`. */
  readonly from: number
  readonly start: number
  readonly end: number
  /** The decoded names of an opened object, one for each item, in order, repeated ones included. */
  readonly names: readonly string[] | undefined
  /** The values of an opened object or array. */
  readonly items: readonly Node[] | undefined
}

/**
 * Which containers are opened: undefined leaves a value closed, as one slice; a function opens it, and decides the same for
 * each of its parts, given the name or index. The function must not scan.
 */
export type Opens = ((part: string | number) => Opens) | undefined

export const openAll: Opens = () => openAll

export interface Document {
  readonly root: Node
  /** The exact text from one byte to another. It may keep the whole text in memory for as long as it lives. */
  slice (start: number, end: number): string
  /** The exact text of a value. */
  text (node: Node): JsonText
}

const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const COMMA = 0x2c
const COLON = 0x3a

/** One pass over the bytes of a whole text. */
class Scanner extends Lexer {
  depth = 0

  constructor (bytes: Buffer, ascii: boolean, readonly maxDepth: number) {
    super(bytes, ascii)
  }

  /** Reads past a value and returns its node. @param from where its member starts; -1 when it is not in an object */
  value (opens: Opens, from = -1): Node {
    const start = this.at
    const byte = this.peek()
    const begin = from < 0 ? start : from
    if (byte === OPEN_OBJECT) {
      const names: string[] | undefined = opens === undefined ? undefined : []
      const items: Node[] | undefined = opens === undefined ? undefined : []
      this.object(opens, names, items)
      return { kind: 'object', from: begin, start, end: this.at, names, items }
    }
    if (byte === OPEN_ARRAY) {
      const items: Node[] | undefined = opens === undefined ? undefined : []
      this.array(opens, items)
      return { kind: 'array', from: begin, start, end: this.at, names: undefined, items }
    }
    const kind = this.scalar(byte)
    return { kind, from: begin, start, end: this.at, names: undefined, items: undefined }
  }

  /** Reads past a value without making nodes. */
  skip (): void {
    const byte = this.peek()
    if (byte === OPEN_OBJECT) this.object(undefined, undefined, undefined)
    else if (byte === OPEN_ARRAY) this.array(undefined, undefined)
    else this.scalar(byte)
  }

  enter (): number {
    if (++this.depth > this.maxDepth) this.fail(`at most ${this.maxDepth} levels of nesting`)
    this.at++
    return this.skipSpace()
  }

  leave (): void {
    this.depth--
    this.at++
  }

  object (opens: Opens, names: string[] | undefined, items: Node[] | undefined): void {
    let byte = this.enter()
    if (byte === CLOSE_OBJECT) return this.leave()
    let name = 'a name in double quotes or \'}\''
    while (true) {
      if (byte !== QUOTE) this.fail(name)
      this.member(opens, names, items)
      byte = this.skipSpace()
      if (byte === CLOSE_OBJECT) return this.leave()
      if (byte !== COMMA) this.fail('\',\' or \'}\'')
      this.at++
      byte = this.skipSpace()
      name = 'a name in double quotes'
    }
  }

  member (opens: Opens, names: string[] | undefined, items: Node[] | undefined): void {
    const from = this.at
    const escaped = this.string()
    const nameEnd = this.at
    if (this.skipSpace() !== COLON) this.fail('\':\'')
    this.at++
    this.skipSpace()
    if (opens === undefined || names === undefined || items === undefined) return this.skip()
    const name = escaped ? JSON.parse(this.slice(from, nameEnd)) as string : this.slice(from + 1, nameEnd - 1) // It is in quotes.
    names.push(name)
    items.push(this.value(opens(name), from))
  }

  array (opens: Opens, items: Node[] | undefined): void {
    let byte = this.enter()
    if (byte === CLOSE_ARRAY) return this.leave()
    while (true) {
      if (opens === undefined || items === undefined) this.skip()
      else items.push(this.value(opens(items.length)))
      byte = this.skipSpace()
      if (byte === CLOSE_ARRAY) return this.leave()
      if (byte !== COMMA) this.fail('\',\' or \']\'')
      this.at++
      this.skipSpace()
    }
  }

  document (opens: Opens): Node {
    this.skipSpace()
    const root = this.value(opens)
    if (this.skipSpace() !== END) this.fail('the end')
    return root
  }
}

/**
 * Checks in one pass that `bytes` are one JSON text (RFC 8259: well-formed UTF-8, with or without a byte order mark, nested
 * at most `maxDepth` levels), and finds the parts that `opens` asks for.
 * @throws {JsonError} with the first byte that is wrong and what was expected there
 */
export function scan (bytes: Buffer, opens: Opens, maxDepth = MAX_DEPTH): Document {
  if (!isUtf8(bytes)) failIllFormed(bytes, maxDepth)
  const scanner = new Scanner(bytes, isAscii(bytes), maxDepth)
  const root = scanner.document(opens)
  return {
    root,
    slice: (start, end) => scanner.slice(start, end),
    // This scanner has checked the node, so its text is JSON.
    text: node => scanner.slice(node.start, node.end) as JsonText,
  }
}

/** Scans text that is JSON already, such as a stored value. @throws {JsonError} when it nests deeper than MAX_DEPTH */
export function scanText (text: JsonText, opens: Opens): Document {
  return scan(Buffer.from(text), opens)
}

/** Reports the first fault, whether of the syntax or of the encoding. @throws {JsonError} */
function failIllFormed (bytes: Buffer, maxDepth: number): never {
  const offset = firstIllFormed(bytes)
  try {
    new Scanner(bytes.subarray(0, offset), false, maxDepth).document(undefined)
  } catch (error) {
    if (error instanceof JsonError && error.offset < offset) throw error
  }
  throw new JsonError(offset, 'well-formed UTF-8')
}

/** Decodes the text of a JSON string. */
export function decodeString (text: JsonText): string {
  return text.includes('\\') ? JSON.parse(text) as string : text.slice(1, -1) // The caller knows that it is a string.
}
