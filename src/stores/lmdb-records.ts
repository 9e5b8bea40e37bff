import { MAX_KEY_BYTES } from '../limits.js'
import type { Session, SessionId } from '../session.js'

/**
 * The bytes of the LMDB store, format 1. All numbers are IEEE 754 doubles, big-endian: exact for every millisecond and
 * count, and in byte order those that are not negative stand in the order of their values.
 *
 *   sessions  id (32 bytes)                          duration, idle, startedAt, usedAt, number of keys, flags (1 byte), name
 *   keys      id, the key in UTF-8                   the JSON text in UTF-8
 *   expiry    deadline, id                           nothing; only sessions with a finite deadline
 *   meta      "format", "secret"                     "1"; random bytes
 */
export const FORMAT = '1'

/** A session and its number of keys, as the sessions table has them: without expiry applied. */
export interface Stored {
  readonly session: Session
  readonly size: number
}

const SHARED = 1
const DELETE_SESSION = 2
const FLAGS_AT = 40
const NAME_AT = 41
const ID_BYTES = 32

/** Greater than every byte of UTF-8, and as 33 bytes greater than every id. */
const AFTER_ANY_KEY = Buffer.from([0xff])
const AFTER_ANY_ID = Buffer.alloc(ID_BYTES + 1, 0xff)

export function encodeId (id: SessionId): Buffer {
  return Buffer.from(id, 'hex')
}

export function encodeStored ({ session, size }: Stored): Buffer {
  const bytes = Buffer.alloc(NAME_AT + Buffer.byteLength(session.name))
  const numbers = [session.duration, session.idle, session.startedAt, session.usedAt, size]
  numbers.forEach((number, index) => bytes.writeDoubleBE(number, index * 8))
  bytes[FLAGS_AT] = (session.shared ? SHARED : 0) | (session.deleteSession ? DELETE_SESSION : 0)
  bytes.write(session.name, NAME_AT)
  return bytes
}

export function decodeStored (bytes: Buffer): Stored {
  const flags = bytes.readUInt8(FLAGS_AT)
  const session = {
    name: bytes.toString('utf8', NAME_AT),
    shared: (flags & SHARED) !== 0,
    duration: bytes.readDoubleBE(0),
    idle: bytes.readDoubleBE(8),
    deleteSession: (flags & DELETE_SESSION) !== 0,
    startedAt: bytes.readDoubleBE(16),
    usedAt: bytes.readDoubleBE(24)
  }
  return { session, size: bytes.readDoubleBE(32) }
}

/**
 * The entry of `key` in the keys table; undefined for a key that is too long to be in it. (LMDB itself takes 1,978 bytes,
 * the id included.)
 */
export function encodeKey (id: Buffer, key: string): Buffer | undefined {
  const length = Buffer.byteLength(key)
  if (length > MAX_KEY_BYTES) return undefined
  const bytes = Buffer.allocUnsafe(ID_BYTES + length)
  id.copy(bytes)
  bytes.write(key, ID_BYTES)
  return bytes
}

export function decodeKey (bytes: Buffer): string {
  return bytes.toString('utf8', ID_BYTES)
}

/** A part of the keys table: all from `start` on (or after it, when `exclusiveStart`), and before `end`. */
export interface KeyRange {
  readonly start: Buffer
  readonly end: Buffer
  readonly exclusiveStart: boolean
}

/** The keys of one session. */
export function allKeys (id: Buffer): KeyRange {
  return { start: id, end: Buffer.concat([id, AFTER_ANY_KEY]), exclusiveStart: false }
}

/** The keys of one session that start with `prefix` and come after `after`; undefined when there can be none. */
export function keyRange (id: Buffer, prefix: string, after: string | undefined): KeyRange | undefined {
  const first = encodeKey(id, prefix)
  if (first === undefined) return undefined
  const end = Buffer.concat([first, AFTER_ANY_KEY])
  // No key is longer than the limit, so whatever comes after a longer `after` comes after its beginning too.
  const start = Buffer.concat([id, Buffer.from(after ?? '').subarray(0, MAX_KEY_BYTES)])
  const exclusiveStart = after !== undefined && Buffer.compare(start, first) >= 0
  return { start: exclusiveStart ? start : first, end, exclusiveStart }
}

/** @param deadline milliseconds since the Unix epoch, finite */
export function encodeExpiry (deadline: number, id: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(8 + id.length)
  bytes.writeDoubleBE(deadline)
  id.copy(bytes, 8)
  return bytes
}

/** The end of the expiry table's part that is due at `now`, exclusive. */
export function endOfDue (now: number): Buffer {
  return encodeExpiry(now, AFTER_ANY_ID)
}

export function idOfExpiry (bytes: Buffer): Buffer {
  return bytes.subarray(8)
}
