import { isUtf8 } from 'node:buffer'

const BLOCK_BYTES = 4096

function isContinuation (byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}

function sequenceLength (lead: number): number {
  if (lead < 0xc0) return 1
  if (lead < 0xe0) return 2
  return lead < 0xf0 ? 3 : 4
}

/**
 * The offset, in bytes, of the first sequence that is not well-formed UTF-8 (Unicode 16, table 3-7). The caller knows that
 * there is one. Native code checks whole blocks, so that a long body costs little more than a short one.
 */
export function firstIllFormed (bytes: Buffer): number {
  let at = 0
  while (true) {
    let end = Math.min(at + BLOCK_BYTES, bytes.length)
    for (let spare = 0; spare < 3 && isContinuation(bytes[end]); spare++) end++
    if (!isUtf8(bytes.subarray(at, end))) break
    at = end
  }
  while (true) {
    const next = at + sequenceLength(bytes[at] as number) // In range: an ill-formed sequence is still ahead.
    if (!isUtf8(bytes.subarray(at, next))) return at
    at = next
  }
}
