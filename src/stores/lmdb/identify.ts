import { CRC_BYTES, ID_BYTES, isFormat, isIntact, NAME_AT, NUMBER_BYTES } from './records.js'

/** Of which table an entry is that is as it was written; undefined for one that is not. Each has keys or values that no other can have. */
export function identify (key: Buffer, value: Buffer): string | undefined {
  if (isFormat(key)) return 'meta'
  if (!isIntact(key, value)) return undefined
  if (key.length < NUMBER_BYTES) return 'meta'
  const content = value.subarray(CRC_BYTES)
  if (content.length === 0) return key.length === NUMBER_BYTES + ID_BYTES ? 'expiry' : undefined
  if (!beginsWithNumber(content)) return 'keys'
  if (key.length === ID_BYTES && content.length > NAME_AT) return 'sessions'
  return key.length === NUMBER_BYTES && content.length === NUMBER_BYTES ? 'trash' : undefined
}

/** Whether this can be a whole number of 0 and more, as sessions and the trash begin with: no JSON text begins with such a byte. */
function beginsWithNumber (content: Buffer): boolean {
  const [first] = content as unknown as readonly [number] // It is not empty.
  return first === 0 || (first >= 0x3f && first <= 0x43)
}
