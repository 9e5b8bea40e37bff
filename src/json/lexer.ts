/** A text is not valid JSON (RFC 8259). */
export class JsonError extends Error {
  /** @param offset of the first wrong byte, counted from 0; the length of the text when it ends too early */
  constructor (readonly offset: number, readonly expected: string) {
    super(`byte ${offset}: expected ${expected}`)
    this.name = 'JsonError'
  }
}

export type Kind = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
export const QUOTE = 0x22
const PLUS = 0x2b
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const BACKSLASH = 0x5c
export const END = -1

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

/** Reads white space and scalars, byte by byte. A class, because every step moves its position. */
export class Lexer {
  at = 0

  /** The whole text once a part of it was asked for, when all of it is ASCII: bytes are characters then. */
  #text: string | undefined

  constructor (readonly bytes: Buffer, readonly ascii: boolean) {
    if (bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.at = 3
  }

  /** The byte at the current position, or END. */
  peek (): number {
    return this.at < this.bytes.length ? this.bytes[this.at] as number : END // The test before it keeps it in range.
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

  /** Reads past a string; true when it has an escape, so that its text is not its value. @throws {JsonError} */
  string (): boolean {
    const { bytes } = this
    const { length } = bytes
    let escaped = false
    let at = this.at + 1
    while (at < length) {
      const byte = bytes[at] as number // The loop's condition keeps it in range.
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
    if (!this.ascii) return this.bytes.toString('utf8', start, end)
    this.#text ??= this.bytes.toString('latin1')
    return this.#text.slice(start, end)
  }
}
