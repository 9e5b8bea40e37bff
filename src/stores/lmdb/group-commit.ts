import { TURN_MS } from '../../limits.js'

/** How one piece of work ended: what it answers, or the error that is its own and leaves the others alone. */
export type WorkResult<T> = { readonly value: T } | { readonly error: unknown }

/** Work that shares transactions with whatever else waits at the same time. */
export interface GroupCommit {
  /**
   * Runs `work` inside the next transaction. Once that is committed it resolves with the value, or
   * rejects with the work's own error. Rejects with what the transaction threw when it failed as a whole, which is also
   * what happens when `work` throws instead of returning its error.
   */
  run<T> (work: () => WorkResult<T>): Promise<T>
  /** Resolves when nothing waits any more. */
  drained (): Promise<void>
}

interface Job {
  work (): void
  /** Resolves or rejects the promise of the work with its result. */
  deliver (): void
  fail (error: unknown): void
}

/**
 * Collects work and runs all of it once per turn of the event loop in one call of `transact`, which must run its argument
 * and return when the result is durable, or throw when nothing of it was kept; after that it may also run it once more. A
 * turn takes at most `most` pieces, and begins none after TURN_MS milliseconds, in the order they came; the rest waits for the
 * next turn, so that the event loop gets to everything else in between.
 *
 * @param elapsed a monotonic clock in milliseconds: how long work takes is all that it is asked
 */
export function groupCommit (transact: (work: () => void) => void, most: number, elapsed = () => performance.now()): GroupCommit {
  const queue: Job[] = []

  function add (job: Job): void {
    queue.push(job)
    if (queue.length === 1) setImmediate(turn)
  }

  /** Works until the turn is over: the jobs that were done. */
  function work (): Job[] {
    const end = elapsed() + TURN_MS
    const done: Job[] = []
    for (const job of queue) {
      job.work()
      done.push(job)
      if (done.length === most || elapsed() > end) break
    }
    return done
  }

  function turn (): void {
    try {
      let done: Job[] = []
      transact(() => { done = work() })
      queue.splice(0, done.length)
      for (const job of done) job.deliver()
    } catch (error) {
      // Those that were not reached too: what failed this transaction is likely to fail the next.
      for (const job of queue.splice(0, most)) job.fail(error)
    }
    if (queue.length > 0) setImmediate(turn)
  }

  return {
    run<T> (work: () => WorkResult<T>) {
      return new Promise<T>((resolve, reject) => {
        let result: WorkResult<T>
        add({
          work () { result = work() },
          deliver () { 'error' in result ? reject(result.error) : resolve(result.value) },
          fail: reject,
        })
      })
    },

    async drained () {
      while (queue.length > 0) await new Promise(resolve => setImmediate(resolve))
    },
  }
}
