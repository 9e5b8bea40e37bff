import { MAX_KEY_BYTES } from './limits.js'
import type { StatusName } from './status.js'

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
