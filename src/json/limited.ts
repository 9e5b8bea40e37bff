import { createContext, Script } from 'node:vm'

/** Milliseconds after which a search inside values is stopped. */
export const SEARCH_TIMEOUT_MS = 500

/** A search took longer than SEARCH_TIMEOUT_MS, or overflowed the stack. */
export class SearchLimitError extends Error {
  constructor () {
    super(`the search takes longer than ${SEARCH_TIMEOUT_MS} ms, or too much memory`)
    this.name = 'SearchLimitError'
  }
}

const idle = (): unknown => undefined
let work = idle
const script = new Script('run()')
const context = createContext({ run: () => work() })

/**
 * Runs a pure task that a client's query can make exponentially long, such as a regular expression of RFC 9535, and stops it
 * after SEARCH_TIMEOUT_MS, so that one client cannot block all other requests. node:vm is the only way to stop code
 * that runs synchronously. The task must not call native modules: it can be stopped at any point.
 *
 * The limit is elapsed time. On a busy machine that can pass while the task hardly runs; the task then starts again with twice
 * the time, so that it ends however small its share of the machine is.
 * @throws {SearchLimitError} and what the task throws, but for a RangeError
 */
export function limited<T> (task: () => T): T {
  work = task
  try {
    return runWork() as T // The result of `task`.
  } finally {
    // Otherwise the task would keep the values that it searched in memory.
    work = idle
  }
}

/** Runs `work` until it ends, or has had its processor time. */
function runWork (): unknown {
  let timeout = SEARCH_TIMEOUT_MS
  while (true) {
    const before = process.cpuUsage()
    try {
      return script.runInContext(context, { timeout })
    } catch (error) {
      // V8 throws a RangeError when the stack overflows, and a filter of RFC 9535 can overflow any stack.
      if (error instanceof RangeError) throw new SearchLimitError()
      if (!isTimeout(error)) throw error
      if (worked(before) >= SEARCH_TIMEOUT_MS / 2) throw new SearchLimitError()
      timeout *= 2
    }
  }
}

/** Milliseconds of processor time that this process has used. */
function worked (since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

/** The error comes from the other context, so it is no instance of this context's Error. */
function isTimeout (error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}
