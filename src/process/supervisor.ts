import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'

/** How a process ended: one of the two is null. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that was started, as its primary sees it. */
export interface Worker {
  readonly pid: number | undefined
  /** Rejects with a StartError when it cannot serve. */
  readonly listening: Promise<AddressInfo>
  /** Resolves once it can use its store, which it may have to wait for while it listens. Rejects as `listening` does. */
  readonly opened: Promise<void>
  readonly ended: Promise<End>
  /** Tells it to free what has expired. One worker of a store does. */
  sweep (): void
  /** Tells it to read the file of API keys again. Only for a worker that listens. */
  reload (): void
  /** Tells it to end once the requests under way have finished. Only for a worker that listens. */
  stop (): void
  kill (): void
}

export interface Ending {
  /** Whether every worker that served until then ended well. */
  readonly endedWell: boolean
  /** Whether every worker that there ever was ended well, so that the data cannot be damaged. */
  readonly isSound: boolean
}

/** Milliseconds before the second replacement of a worker, which double with each further one up to the longest wait. */
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 10_000

/** The longest wait while no worker serves: connections are refused until one does. */
const LONGEST_WAIT_ALONE_MS = 1_000

/** Milliseconds without a death after which the next one counts as the first. */
const QUIET_MS = 60_000

/** Starts of one worker that fail in a row before the process gives up, if no other worker serves. */
const MAX_FAILED_STARTS = 3

/**
 * How long to wait after each death of a worker before it is replaced, in milliseconds: not at all after the first, longer and
 * longer while they go on.
 */
export function waits (elapsed = () => performance.now()): () => number {
  let wait = 0
  let last = -Infinity
  return () => {
    const now = elapsed()
    const isFirst = now - last > QUIET_MS
    wait = isFirst ? 0 : Math.min(Math.max(2 * wait, FIRST_WAIT_MS), LONGEST_WAIT_MS)
    last = now
    return wait
  }
}

/** How a worker ended, in words. */
export function describe ({ code, signal }: End): string {
  if (signal === null) return `ended with code ${code}`
  // LMDB maps its file into memory: a file that is cut short or makes no sense ends the process with one of these.
  const hint = signal === 'SIGSEGV' || signal === 'SIGBUS' ? ' (the data file may be damaged or truncated)' : ''
  return `died of ${signal}${hint}`
}

/** What a supervisor works with. */
export interface SupervisorOptions {
  /** How many workers there are. */
  readonly count: number
  /** Makes a worker. Of one that replaces another, the server was up already. */
  launch (isReplacement: boolean): Worker
  readonly log: Logger
  /** Ends the process: no worker can be started any more, and none is left. */
  giveUp (): void
  /** Waits so many milliseconds. */
  readonly waitFor?: (delayMs: number) => Promise<void>
}

/** Starts workers, replaces those that end once all of them have started, and has one of them sweep. */
export class Supervisor {
  /**
   * Resolves once all workers listen and can use their store. Rejects with what the first says that cannot; then none is left.
   * It stays open when they are stopped before.
   */
  readonly started: Promise<AddressInfo>
  readonly #options: SupervisorOptions
  readonly #alive = new Set<Worker>()
  /** Those that listen. */
  readonly #serving = new Set<Worker>()
  #sweeper: Worker | undefined
  #isStopping = false
  #endedWell = true
  #isSound = true

  constructor (options: SupervisorOptions) {
    this.#options = options
    this.started = this.#start()
  }

  /** Stops all workers and waits for them. */
  async stop (): Promise<Ending> {
    this.#isStopping = true
    for (const worker of this.#alive) this.#serving.has(worker) ? worker.stop() : worker.kill()
    await this.#allEnded()
    return { endedWell: this.#endedWell, isSound: this.#isSound }
  }

  /** Has all workers read the file of API keys again. One that does not listen yet reads it anyway. */
  reload (): void {
    for (const worker of this.#serving) worker.reload()
  }

  kill (): void {
    for (const worker of this.#alive) worker.kill()
  }

  async #start (): Promise<AddressInfo> {
    const first = Array.from({ length: this.#options.count }, () => this.#add(false))
    try {
      const addresses = await Promise.all(first.map(({ listening }) => listening))
      await Promise.all(first.map(({ opened }) => opened))
      for (const worker of first) this.#keep(worker)
      return addresses[0]! // There is at least one worker.
    } catch (error) {
      // stop() ended them.
      if (this.#isStopping) await new Promise(() => {})
      this.kill()
      await this.#allEnded()
      throw error
    }
  }

  #add (isReplacement: boolean): Worker {
    const worker = this.#options.launch(isReplacement)
    this.#alive.add(worker)
    // start() and served() wait for one of these and may never look at the other; this only keeps Node from reporting that.
    worker.opened.catch(() => {})
    worker.listening.then(() => this.#serving.add(worker), () => {})
    worker.ended.then(({ code }) => {
      this.#alive.delete(worker)
      if (this.#serving.delete(worker) && this.#isStopping) this.#endedWell &&= code === 0
      this.#isSound &&= code === 0
    })
    return worker
  }

  /** Keeps one place taken: replaces the worker there whenever it ends. */
  async #keep (first: Worker): Promise<void> {
    const { log, giveUp, waitFor = sleep } = this.#options
    const nextWait = waits()
    let failures = 0
    let worker: Worker | undefined = first
    while (worker !== undefined) {
      failures = await this.#served(worker) ? 0 : failures + 1
      if (failures >= MAX_FAILED_STARTS && this.#serving.size === 0 && !this.#isStopping) {
        log.fatal('ending because no worker is left and none can be started')
        return giveUp()
      }
      const wait = nextWait()
      await waitFor(this.#serving.size === 0 ? Math.min(wait, LONGEST_WAIT_ALONE_MS) : wait)
      worker = this.#isStopping ? undefined : this.#add(true)
    }
  }

  /** Waits until a worker has ended; whether it had served. */
  async #served (worker: Worker): Promise<boolean> {
    const { log } = this.#options
    try {
      await worker.listening
    } catch (error) {
      if (!this.#isStopping) log.error({ worker: worker.pid, err: error }, 'a worker could not be started')
      await worker.ended
      return false
    }
    log.info({ worker: worker.pid }, `worker ${worker.pid} serves`)
    this.#appointSweeper()
    const end = await worker.ended
    this.#appointSweeper()
    log[end.code === 0 ? 'info' : 'error']({ worker: worker.pid, ...end }, `worker ${worker.pid} ${describe(end)}`)
    return true
  }

  #appointSweeper (): void {
    if (this.#sweeper !== undefined && this.#serving.has(this.#sweeper)) return
    this.#sweeper = [...this.#serving][0]
    this.#sweeper?.sweep()
  }

  async #allEnded (): Promise<void> {
    await Promise.all([...this.#alive].map(({ ended }) => ended))
  }
}
