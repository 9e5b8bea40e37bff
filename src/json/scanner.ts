import { isAscii, isUtf8 } from 'node:buffer'
import type { JsonText } from './text.js'
import { firstIllFormed } from './utf8.js'

/** Levels of arrays and objects that a JSON text may nest (PROTOCOL 5). */
export const MAX_DEPTH = 128

/** A text is not JSON as RFC 8259 has it. */
export class JsonError extends Error {
  /** @param offset byte, counted from 0, that no JSON text could have there; the length when the text ends too early */
  constructor (readonly offset: number, readonly expected: string) {
    super(`byte ${offset}: expected ${expected}`)
    this.name = 'JsonError'
  }
}

export type Kind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'

/** Where a value stands in its document, and its parts if it was opened. Offsets are bytes. */
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
 * Which containers get their parts: undefined leaves a value closed, as one slice; a function opens it, and says the
 * same of each of its parts by name or index. It must not scan.
 */
export type Opens = ((part: string | number) => Opens) | undefined

export const openAll: Opens = () => openAll

export interface Document {
  readonly root: Node
  /** The exact text from one byte to another, as a string of its own that keeps no part of the body alive. */
  slice (start: number, end: number): string
  /** The exact text of a value. */
  text (node: Node): JsonText
}

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const END = -1

const A_VALUE = 'a value'
const SIMPLE_ESCAPES = new Set(Buffer.from('"\\/bfnrt'))
const LITERALS = new Map<number, { bytes: Buffer, kind: Kind }>([
  [0x74, { bytes: Buffer.from('true'), kind: 'boolean' }],
  [0x66, { bytes: Buffer.from('false'), kind: 'boolean' }],
  [0x6e, { bytes: Buffer.from('null'), kind: 'null' }],
])

function isDigit (byte: number): boolean {
  return byte >= ZERO && byte <= NINE
}

function isHexDigit (byte: number): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}

/** One pass over the bytes. A class, because its position is state that every step moves. */
class Scanner {
  at = 0
  depth = 0

  constructor (readonly bytes: Buffer, readonly ascii: boolean) {
    if (bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.at = 3
  }

  /** The byte at the current position, or END. */
  peek (): number {
    return this.at < this.bytes.length ? this.bytes[this.at] as number : END // In range by the test before it.
  }

  skipSpace (): number {
    let byte = this.peek()
    while (byte === SPACE || byte === LF || byte === CR || byte === TAB) {
      this.at++
      byte = this.peek()
    }
    return byte
  }

  fail (expected: string): never {
    throw new JsonError(this.at, expected)
  }

  /** Passes a value, and answers its node; `from` is where its member began. */
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

  /** Passes a value that nobody wants the parts of; makes nothing. */
  skip (): void {
    const byte = this.peek()
    if (byte === OPEN_OBJECT) this.object(undefined, undefined, undefined)
    else if (byte === OPEN_ARRAY) this.array(undefined, undefined)
    else this.scalar(byte)
  }

  scalar (byte: number): Kind {
    if (byte === QUOTE) {
      this.string()
      return 'string'
    }
    if (byte === MINUS || isDigit(byte)) {
      this.number()
      return 'number'
    }
    const literal = LITERALS.get(byte)
    if (literal === undefined) this.fail(A_VALUE)
    for (const expected of literal.bytes) {
      if (this.peek() !== expected) this.fail(`'${literal.bytes.toString()}'`)
      this.at++
    }
    return literal.kind
  }

  enter (): number {
    if (++this.depth > MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} levels of nesting`)
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
    const name = escaped ? JSON.parse(this.slice(from, nameEnd)) as string : this.slice(from + 1, nameEnd - 1) // A string by its quotes.
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

  /** Passes a string; true when it has an escape, so that its text is not its value. */
  string (): boolean {
    const { bytes } = this
    const { length } = bytes
    let escaped = false
    let at = this.at + 1
    while (at < length) {
      const byte = bytes[at] as number // In range by the loop's condition.
      if (byte === QUOTE) {
        this.at = at + 1
        return escaped
      }
      if (byte === BACKSLASH) {
        escaped = true
        this.at = at + 1
        this.escape()
        at = this.at
      } else if (byte < SPACE) {
        this.at = at
        this.fail('no unescaped control character in a string')
      } else {
        at++
      }
    }
    this.at = length
    this.fail('\'"\'')
  }

  escape (): void {
    const byte = this.peek()
    if (byte === 0x75) { // u
      this.at++
      for (let digits = 0; digits < 4; digits++) {
        if (!isHexDigit(this.peek())) this.fail('a hexadecimal digit')
        this.at++
      }
    } else if (SIMPLE_ESCAPES.has(byte)) {
      this.at++
    } else {
      this.fail('one of "\\/bfnrtu after a backslash')
    }
  }

  number (): void {
    if (this.peek() === MINUS) this.at++
    if (this.peek() === ZERO) this.at++
    else this.digits()
    if (this.peek() === DOT) {
      this.at++
      this.digits()
    }
    if ((this.peek() | 0x20) === 0x65) { // e or E
      this.at++
      const sign = this.peek()
      if (sign === PLUS || sign === MINUS) this.at++
      this.digits()
    }
  }

  digits (): void {
    if (!isDigit(this.peek())) this.fail('a digit')
    while (isDigit(this.peek())) this.at++
  }

  slice (start: number, end: number): string {
    return this.bytes.toString(this.ascii ? 'latin1' : 'utf8', start, end)
  }

  document (opens: Opens): Node {
    this.skipSpace()
    const root = this.value(opens)
    if (this.skipSpace() !== END) this.fail('the end')
    return root
  }
}

/**
 * Checks that `bytes` are one JSON text (RFC 8259: well-formed UTF-8, with or without a byte order mark, nested at most
 * MAX_DEPTH levels) and finds the parts that `opens` asks for, in the same pass.
 * @throws {JsonError} with the first byte that is wrong and what was expected there
 */
export function scan (bytes: Buffer, opens: Opens): Document {
  if (!isUtf8(bytes)) failIllFormed(bytes)
  const scanner = new Scanner(bytes, isAscii(bytes))
  const root = scanner.document(opens)
  return {
    root,
    slice: (start, end) => scanner.slice(start, end),
    // A node's span was validated by this scanner, so it is JSON text.
    text: node => scanner.slice(node.start, node.end) as JsonText,
  }
}

/** Looks inside text that is JSON already: a value from a store. */
export function scanText (text: JsonText, opens: Opens): Document {
  return scan(Buffer.from(text), opens)
}

/** Of a fault in the syntax and one in the encoding, the first is reported. */
function failIllFormed (bytes: Buffer): never {
  const offset = firstIllFormed(bytes)
  try {
    new Scanner(bytes.subarray(0, offset), false).document(undefined)
  } catch (error) {
    if (error instanceof JsonError && error.offset < offset) throw error
  }
  throw new JsonError(offset, 'well-formed UTF-8')
}

/** The string that the text of a JSON string stands for. */
export function decodeString (text: JsonText): string {
  return text.includes('\\') ? JSON.parse(text) as string : text.slice(1, -1) // The caller knows that it is a string.
}
