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
  /** Has it free what has expired, of which there is one to a store. */
  sweep (): void
  /** Has it end once the requests under way have finished; it listens by now. */
  stop (): void
  kill (): void
}

export interface Ending {
  /** Whether all that had served until then ended well. */
  readonly endedWell: boolean
  /** Whether all did that there ever were, and nothing can have befallen the data. */
  readonly isSound: boolean
}

export interface Crew {
  /**
   * Resolves once all workers listen and can use their store. Rejects with what the first says that cannot; then none is left.
   * Never settles when they are stopped before.
   */
  readonly started: Promise<AddressInfo>
  /** Stops all workers and waits for them. */
  stop (): Promise<Ending>
  kill (): void
}

/** Milliseconds before the second replacement of a worker, which double with each further one up to the longest wait. */
const FIRST_WAIT = 500
const LONGEST_WAIT = 10_000

/** The longest while no worker serves: connections are refused until one does. */
const LONELY_WAIT = 1_000

/** Milliseconds without a death after which the next is taken for the first. */
const QUIET = 60_000

/** Starts of one worker that failed in a row, after which nobody hopes any more. */
const HOPELESS = 3

/**
 * How long to wait after each death of a worker before it is replaced, in milliseconds: not at all after the first, longer and
 * longer while they go on.
 */
export function waits (elapsed = () => performance.now()): () => number {
  let wait = 0
  let last = -Infinity
  return () => {
    const now = elapsed()
    const isFirst = now - last > QUIET
    wait = isFirst ? 0 : Math.min(Math.max(2 * wait, FIRST_WAIT), LONGEST_WAIT)
    last = now
    return wait
  }
}

/** How a worker ended, in words. */
export function describe ({ code, signal }: End): string {
  if (signal === null) return `ended with code ${code}`
  // An LMDB file is mapped into memory: what is missing of it, or makes no sense, is met as one of these.
  const hint = signal === 'SIGSEGV' || signal === 'SIGBUS' ? ' (the data file may be damaged or truncated)' : ''
  return `died of ${signal}${hint}`
}

/**
 * Starts workers, and replaces those that end once all of them have started.
 *
 * @param launch makes a worker; of one that replaces another, the server was up already
 * @param giveUp ends the process: no worker can be started any more, and none is left
 */
export function startCrew (count: number, launch: (isReplacement: boolean) => Worker, log: Logger, giveUp: () => void, waitFor: (delay: number) => Promise<void> = sleep): Crew {
  const alive = new Set<Worker>()
  /** Those that listen. */
  const serving = new Set<Worker>()
  let sweeper: Worker | undefined
  let stopping = false
  let endedWell = true
  let isSound = true

  function add (isReplacement: boolean): Worker {
    const worker = launch(isReplacement)
    alive.add(worker)
    // Who waits for one of these, does not for the other at that time, or not at all.
    worker.opened.catch(() => {})
    worker.listening.then(() => serving.add(worker), () => {})
    worker.ended.then(({ code }) => {
      alive.delete(worker)
      if (serving.delete(worker) && stopping) endedWell &&= code === 0
      isSound &&= code === 0
    })
    return worker
  }

  function appointSweeper (): void {
    if (sweeper !== undefined && serving.has(sweeper)) return
    sweeper = [...serving][0]
    sweeper?.sweep()
  }

  /** Waits until a worker has ended; whether it had served. */
  async function served (worker: Worker): Promise<boolean> {
    try {
      await worker.listening
    } catch (error) {
      if (!stopping) log.error({ worker: worker.pid, err: error }, 'a worker could not be started')
      await worker.ended
      return false
    }
    log.info({ worker: worker.pid }, `worker ${worker.pid} serves`)
    appointSweeper()
    const end = await worker.ended
    appointSweeper()
    log[end.code === 0 ? 'info' : 'error']({ worker: worker.pid, ...end }, `worker ${worker.pid} ${describe(end)}`)
    return true
  }

  /** Keeps one place taken: replaces the worker there whenever it ends. */
  async function keep (first: Worker): Promise<void> {
    const nextWait = waits()
    let failures = 0
    let worker: Worker | undefined = first
    while (worker !== undefined) {
      failures = await served(worker) ? 0 : failures + 1
      if (failures >= HOPELESS && serving.size === 0 && !stopping) {
        log.fatal('ending because no worker is left and none can be started')
        return giveUp()
      }
      const wait = nextWait()
      await waitFor(serving.size === 0 ? Math.min(wait, LONELY_WAIT) : wait)
      worker = stopping ? undefined : add(true)
    }
  }

  function kill (): void {
    for (const worker of alive) worker.kill()
  }

  async function allEnded (): Promise<void> {
    await Promise.all([...alive].map(({ ended }) => ended))
  }

  async function start (): Promise<AddressInfo> {
    const first = Array.from({ length: count }, () => add(false))
    try {
      const addresses = await Promise.all(first.map(({ listening }) => listening))
      await Promise.all(first.map(({ opened }) => opened))
      for (const worker of first) keep(worker)
      return addresses[0]! // There is at least one worker.
    } catch (error) {
      // They end because they were told to.
      if (stopping) await new Promise(() => {})
      kill()
      await allEnded()
      throw error
    }
  }

  return {
    started: start(),
    async stop () {
      stopping = true
      for (const worker of alive) serving.has(worker) ? worker.stop() : worker.kill()
      await allEnded()
      return { endedWell, isSound }
    },
    kill,
  }
}
