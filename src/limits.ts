import type { StatusName } from './status.js'

/** Bytes of a key in UTF-8 (PROTOCOL 1). */
export const MAX_KEY_BYTES = 1024
/** Bytes of a session's name in UTF-8 (PROTOCOL 4). */
export const MAX_NAME_BYTES = 256
/** Envelopes in one POST /commands (PROTOCOL 5). */
export const MAX_BATCH_ENVELOPES = 1000
/** Bytes of a request's body, unless configured otherwise. */
export const DEFAULT_BODY_BYTES = 1024 * 1024
/** The greatest body limit that can be configured, and so the most bytes of a stored value: one reply can carry it. */
export const GREATEST_BODY_BYTES = 16 * 1024 * 1024
/** Characters that a value may grow to by KV_APPEND, KV_UPDATE and KV_MERGE: running out of memory cannot be caught. */
export const MAX_VALUE_CHARACTERS = 8 * 1024 * 1024
/** Characters of values that one command may read or one reply may carry, for the same reason. */
export const MAX_REPLY_CHARACTERS = 16 * 1024 * 1024
/** Characters of replies that may wait for their clients to read them, over all connections, for the same reason. */
export const MAX_UNSENT_CHARACTERS = 256 * 1024 * 1024
/** Milliseconds of work for one request after which other requests get a turn. */
export const TURN_MS = 10
/** Seconds of the longest `duration` and `idle`: over 300 years, and still exact in milliseconds. */
export const MAX_DURATION_S = 10_000_000_000

/** Connections at once, unless configured otherwise. */
export const DEFAULT_CONNECTIONS = 10_000

/** Whether a string is longer than `limit` bytes in UTF-8. */
export function isLonger (text: string, limit: number): boolean {
  // One UTF-16 unit is at most three bytes, so most strings need no count.
  return text.length * 3 > limit && Buffer.byteLength(text) > limit
}

/** Why a string cannot be a key (PROTOCOL 1); undefined when it can. */
export function keyFault (key: string): StatusName | undefined {
  if (!key.isWellFormed()) return 'KeyTypeInvalid'
  return isLonger(key, MAX_KEY_BYTES) ? 'ValueSize' : undefined
}
