/** Milliseconds between two looks at what is overdue: nobody needs to know more exactly that an answer did not come. */
const TICK_MS = 20

/** Rejects what is not answered in time. All that is waited for shares one timer, which runs only while something is. */
export class Deadlines {
  /** What to do about the work that is overdue at a tick, by the number of the tick. */
  readonly #ticks = new Map<number, Set<() => void>>()
  #waiting = 0
  #timer: NodeJS.Timeout | undefined

  /**
   * Settles as `work` does, or rejects with what `overdue` gives, when that takes too long.
   * @param untilMs until when it has time, as performance.now()
   */
  limit<T> (work: Promise<T>, untilMs: number, overdue: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const expire = (): void => reject(overdue())
      const expiries = this.#expiriesAt(Math.ceil(untilMs / TICK_MS))
      expiries.add(expire)
      this.#waiting++
      this.#timer ??= setTimeout(this.#look, TICK_MS)
      const isAnswered = (): void => { if (expiries.delete(expire)) this.#waiting-- }
      work.then(value => {
        isAnswered()
        resolve(value)
      }, error => {
        isAnswered()
        reject(error)
      })
    })
  }

  #expiriesAt (tick: number): Set<() => void> {
    let expiries = this.#ticks.get(tick)
    if (expiries === undefined) this.#ticks.set(tick, expiries = new Set())
    return expiries
  }

  readonly #look = (): void => {
    const now = performance.now() / TICK_MS
    for (const [tick, expiries] of this.#ticks) {
      if (tick > now) continue
      this.#ticks.delete(tick)
      this.#waiting -= expiries.size
      for (const expire of expiries) expire()
      expiries.clear()
    }
    this.#timer = this.#waiting > 0 ? setTimeout(this.#look, TICK_MS) : undefined
    // Else they would stay until something is waited for again.
    if (this.#waiting === 0) this.#ticks.clear()
  }
}
