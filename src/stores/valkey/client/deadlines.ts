/** Milliseconds between two looks at what is overdue: as exact as an answer that did not come has to be. */
const TICK = 20

interface Pending {
  readonly until: number
  /** Undefined once the promise is settled. */
  fail: (() => void) | undefined
}

/** Settles as `work` does, or, when that takes too long, rejects with what `overdue` gives. */
export type InTime = <T>(work: Promise<T>, overdue: () => Error) => Promise<T>

/**
 * Promises that all have the same patience, so that the one that was begun first is overdue first: one timer for all of them.
 * @param patience milliseconds
 */
export function inTimeOf (patience: number): InTime {
  let queue: Pending[] = []
  let timer: NodeJS.Timeout | undefined

  function look (): void {
    const now = performance.now()
    let first = 0
    for (let pending = queue[0]; pending !== undefined && (pending.fail === undefined || pending.until <= now); pending = queue[++first]) {
      pending.fail?.()
    }
    queue = queue.slice(first)
    timer = queue.length > 0 ? setTimeout(look, TICK) : undefined
  }

  return async (work, overdue) => await new Promise((resolve, reject) => {
    const pending: Pending = { until: performance.now() + patience, fail: () => reject(overdue()) }
    queue.push(pending)
    timer ??= setTimeout(look, TICK)
    work.then(value => {
      pending.fail = undefined
      resolve(value)
    }, error => {
      pending.fail = undefined
      reject(error)
    })
  })
}
