import { crc32 } from 'node:zlib'
import { MAX_KEY_BYTES } from '../../limits.js'
import type { JsonText } from '../../json/text.js'
import type { Session, SessionId } from '../../session.js'
import { StatusError } from '../../status.js'

/**
 * The bytes of the LMDB store, format 2. All numbers are IEEE 754 doubles, big-endian: exact for every millisecond and
 * count, and in byte order those that are not negative stand in the order of their values. Every value, but for that of
 * "format", begins with two CRC32 (4 bytes each, big-endian): of the entry's key, and of the key and the rest of the value.
 *
 *   sessions  id (32 bytes)                 duration, idle, startedAt, usedAt, number of keys, generation, flags (1 byte), name
 *   keys      generation, key in UTF-8      the JSON text in UTF-8
 *   expiry    deadline, id                  nothing; only sessions with a finite deadline
 *   trash     generation                    number of keys: nobody sees them any more, and a sweep removes them
 *   meta      "format"; "next"              "2", in digits; the next generation
 *
 * A session's keys stand under its generation and not under its id, so that it can be emptied or ended in one small
 * write whatever its size: its generation goes to the trash.
 */
export const FORMAT = '2'
export const FORMAT_KEY = Buffer.from('format')

/** A session, its number of keys and where they are, as the sessions table has them: without expiry applied. */
export interface Stored {
  readonly session: Session
  readonly size: number
  readonly generation: number
}

export const CRC_BYTES = 8
const SHARED = 1
const DELETE_SESSION = 2
const FLAGS_AT = 48
export const NAME_AT = 49
export const ID_BYTES = 32
export const NUMBER_BYTES = 8

/** Greater than every byte of UTF-8, and as 33 bytes greater than every id. */
const AFTER_ANY_KEY = Buffer.from([0xff])
const AFTER_ANY_ID = Buffer.alloc(ID_BYTES + 1, 0xff)

const NOTHING = Buffer.alloc(0)

/** The value of an entry: `length` bytes as `fill` writes them, behind their CRC32s. */
function sealed (key: Buffer, length: number, fill: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.allocUnsafe(CRC_BYTES + length)
  const content = bytes.subarray(CRC_BYTES)
  fill(content)
  const keyCrc = crc32(key)
  bytes.writeUInt32BE(keyCrc)
  bytes.writeUInt32BE(crc32(content, keyCrc), 4)
  return bytes
}

// A value may stand in lmdb's shared buffer, whose memory goes on behind its `length`: whatever cuts it is given an end.

/** Whether an entry is as it was written. */
export function isIntact (key: Buffer, value: Buffer): boolean {
  return intactContent(key, value) !== undefined
}

function intactContent (key: Buffer, value: Buffer): Buffer | undefined {
  if (value.length < CRC_BYTES) return undefined
  const content = value.subarray(CRC_BYTES, value.length)
  return value.readUInt32BE(4) === crc32(content, crc32(key)) ? content : undefined
}

/** Whether an entry that is not intact has its own key: what was stored under that key is damaged then, and nothing is missing. */
export function hasOwnKey (key: Buffer, value: Buffer): boolean {
  return value.length >= CRC_BYTES && value.readUInt32BE() === crc32(key)
}

/** What is thrown for a record that cannot be what was written. @param what for the log: which record, and how that shows */
export function damaged (what: string): StatusError {
  return new StatusError('DataDamaged', '', undefined, { cause: new Error(what) })
}

/**
 * What was sealed. @throws {StatusError} DataDamaged when the entry is not as it was written
 * @param kind what is in the table, for the message, such as `session`
 */
function unsealed (kind: string, key: Buffer, value: Buffer): Buffer {
  const content = intactContent(key, value)
  if (content === undefined) throw damaged(`The record of a ${kind} does not fit its CRC32`)
  return content
}

/** Bytes of a key and its value as its client knows them. */
export function payloadBytes (key: Buffer, value: Buffer): number {
  return key.length - NUMBER_BYTES + value.length - CRC_BYTES
}

/** Whether this is the one entry of `meta` that has no CRC32, so that every version can read it. */
export function isFormat (key: Buffer): boolean {
  return key.equals(FORMAT_KEY)
}

export function encodeId (id: SessionId): Buffer {
  return Buffer.from(id, 'hex')
}

export function decodeId (id: Buffer): SessionId {
  return id.toString('hex') as SessionId // As SessionId is defined.
}

export function encodeStored (id: Buffer, { session, size, generation }: Stored): Buffer {
  return sealed(id, NAME_AT + Buffer.byteLength(session.name), bytes => {
    bytes.writeDoubleBE(session.duration, 0)
    bytes.writeDoubleBE(session.idle, 8)
    bytes.writeDoubleBE(session.startedAt, 16)
    bytes.writeDoubleBE(session.usedAt, 24)
    bytes.writeDoubleBE(size, 32)
    bytes.writeDoubleBE(generation, 40)
    bytes[FLAGS_AT] = (session.shared ? SHARED : 0) | (session.deleteSession ? DELETE_SESSION : 0)
    bytes.write(session.name, NAME_AT)
  })
}

/** @throws {StatusError} DataDamaged */
export function decodeStored (id: Buffer, value: Buffer): Stored {
  const bytes = unsealed('session', id, value)
  const flags = bytes.readUInt8(FLAGS_AT)
  const session = {
    name: bytes.toString('utf8', NAME_AT),
    shared: (flags & SHARED) !== 0,
    duration: bytes.readDoubleBE(0),
    idle: bytes.readDoubleBE(8),
    deleteSession: (flags & DELETE_SESSION) !== 0,
    startedAt: bytes.readDoubleBE(16),
    usedAt: bytes.readDoubleBE(24),
  }
  return { session, size: bytes.readDoubleBE(32), generation: bytes.readDoubleBE(40) }
}

export function encodeText (key: Buffer, text: JsonText): Buffer {
  return sealed(key, Buffer.byteLength(text), bytes => bytes.write(text))
}

/** @throws {StatusError} DataDamaged */
export function decodeText (key: Buffer, value: Buffer): JsonText {
  return unsealed('key', key, value).toString() as JsonText // What encodeText() was given.
}

/** A value that is one number. */
export function encodeNumber (key: Buffer, number: number): Buffer {
  return sealed(key, NUMBER_BYTES, bytes => bytes.writeDoubleBE(number))
}

/** @param kind what is in the table, for the message @throws {StatusError} DataDamaged */
export function decodeNumber (kind: string, key: Buffer, value: Buffer): number {
  return unsealed(kind, key, value).readDoubleBE()
}

/** A value with nothing in it but its CRC. */
export function encodeNothing (key: Buffer): Buffer {
  return sealed(key, NOTHING.length, () => {})
}

/** The key of a generation in the trash table, and the beginning of all its entries in the keys table. */
export function encodeGeneration (generation: number): Buffer {
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES)
  bytes.writeDoubleBE(generation)
  return bytes
}

/** Whether a key can be in the keys table. (LMDB itself takes 1,978 bytes, the generation included.) */
export function fits (key: string): boolean {
  return key.length <= MAX_KEY_BYTES / 3 || Buffer.byteLength(key) <= MAX_KEY_BYTES
}

/** The entry of `key`, which must fit, in the keys table. */
export function encodeKey (generation: number, key: string): Buffer {
  const length = Buffer.byteLength(key)
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES + length)
  bytes.writeDoubleBE(generation)
  bytes.write(key, NUMBER_BYTES)
  return bytes
}

export function decodeKey (bytes: Buffer): string {
  return bytes.toString('utf8', NUMBER_BYTES)
}

/** Where the keys stand that an entry of the keys or the trash table belongs to. */
export function generationOf (bytes: Buffer): number {
  return bytes.readDoubleBE()
}

/** A part of the keys table: all from `start` on (or after it, when `exclusiveStart`), and before `end`. */
export interface KeyRange {
  readonly start: Buffer
  readonly end: Buffer
  readonly exclusiveStart: boolean
}

/** The keys of one generation. */
export function allKeys (generation: number): KeyRange {
  const start = encodeGeneration(generation)
  return { start, end: Buffer.concat([start, AFTER_ANY_KEY]), exclusiveStart: false }
}

/** The keys of one generation that start with `prefix` and come after `after`; undefined when there can be none. */
export function keyRange (generation: number, prefix: string, after: string | undefined): KeyRange | undefined {
  if (!fits(prefix)) return undefined
  const first = encodeKey(generation, prefix)
  const end = Buffer.concat([first, AFTER_ANY_KEY])
  // No key is longer than the limit, so whatever comes after a longer `after` comes after its beginning too.
  const start = Buffer.concat([encodeGeneration(generation), Buffer.from(after ?? '').subarray(0, MAX_KEY_BYTES)])
  const exclusiveStart = after !== undefined && Buffer.compare(start, first) >= 0
  return { start: exclusiveStart ? start : first, end, exclusiveStart }
}

/** @param deadline milliseconds since the Unix epoch, finite */
export function encodeExpiry (deadline: number, id: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES + id.length)
  bytes.writeDoubleBE(deadline)
  id.copy(bytes, NUMBER_BYTES)
  return bytes
}

/** The end of the expiry table's part that is due at `now`, exclusive. */
export function endOfDue (now: number): Buffer {
  return encodeExpiry(now, AFTER_ANY_ID)
}

export function idOfExpiry (bytes: Buffer): Buffer {
  return bytes.subarray(NUMBER_BYTES)
}
