/** Which faults were told already, so that one that lasts, or meets every request, is told once. */
export class ToldFaults {
  readonly #toldAtMs = new Map<string, number>()
  readonly #againAfterMs: number

  /** @param againAfterMs after so many milliseconds the same fault is told again; never unless given */
  constructor (againAfterMs = Infinity) {
    this.#againAfterMs = againAfterMs
  }

  /** How many are told and not over. */
  get size (): number {
    return this.#toldAtMs.size
  }

  /** Whether a fault is to be told now; from then on it counts as told. @param fault what it is the same fault by */
  isNew (fault: string): boolean {
    const now = performance.now()
    if (now - (this.#toldAtMs.get(fault) ?? -Infinity) < this.#againAfterMs) return false
    this.#toldAtMs.set(fault, now)
    return true
  }

  /** A fault is over: it is told anew when it comes back. @param fault all of them unless given */
  forget (fault?: string): void {
    if (fault === undefined) this.#toldAtMs.clear()
    else this.#toldAtMs.delete(fault)
  }
}
