import { createContext, Script } from 'node:vm'

/** Milliseconds that a search inside values may take before it is ended. */
export const SEARCH_TIMEOUT_MS = 500

/** A search took longer than SEARCH_TIMEOUT_MS, or more of the stack than there is. */
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
 * Runs a pure task that a client's query may make exponentially long, such as a regular expression of RFC 9535, and ends it
 * after SEARCH_TIMEOUT_MS, so that one client cannot hold everybody else's requests. node:vm is the only way to end code
 * that runs synchronously. The task must not call into native modules: it is cut off wherever it stands.
 *
 * The limit is one of elapsed time, which on a busy machine may pass without the task running; then it runs again, with twice
 * the time, so that it ends however small its share of the machine is.
 * @throws {SearchLimitError}
 */
export function limited<T> (task: () => T): T {
  work = task
  try {
    return runWork() as T // What `task` answered.
  } finally {
    // The task holds the values that it searched.
    work = idle
  }
}

/** Runs `work` until it ends, or was given the time to. */
function runWork (): unknown {
  let timeout = SEARCH_TIMEOUT_MS
  while (true) {
    const before = process.cpuUsage()
    try {
      return script.runInContext(context, { timeout })
    } catch (error) {
      // A RangeError is what V8 throws when the stack is used up, and a filter of RFC 9535 can use up any.
      if (error instanceof RangeError) throw new SearchLimitError()
      if (!isTimeout(error)) throw error
      if (worked(before) >= SEARCH_TIMEOUT_MS / 2) throw new SearchLimitError()
      timeout *= 2
    }
  }
}

/** Milliseconds that this process was given a processor for. */
function worked (since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

/** The error comes from the other context, so that it is no instance of this one's Error. */
function isTimeout (error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}
