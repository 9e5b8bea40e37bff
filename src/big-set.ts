import type { SessionId } from './session.js'

/** Sets, each for the ids that begin with another byte. */
const SETS = 256

/** A set of session ids without a limit: one Set of V8 holds 2^24 members at most. */
export class BigSet {
  readonly #sets = Array.from({ length: SETS }, () => new Set<string>())

  /** @returns whether the set did not have it yet */
  add (id: SessionId): boolean {
    const set = this.#sets[Number.parseInt(id.slice(0, 2), 16)]! // Two hexadecimal digits are less than 256.
    const { size } = set
    // One character for each byte takes half of the memory of the digits.
    return set.add(Buffer.from(id, 'hex').toString('latin1')).size > size
  }
}
