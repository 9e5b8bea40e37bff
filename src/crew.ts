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
  readonly ended: Promise<End>
  /** Has it free what has expired, of which there is one to a store. */
  sweep (): void
  /** Has it end once the requests under way have finished; it serves by now. */
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
  readonly address: AddressInfo
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
 * Starts workers, waits until all of them listen, and from then on replaces those that end.
 *
 * @param giveUp ends the process: no worker can be started any more, and none is left
 * @throws what the first worker that did not listen says; then none is left
 */
export async function startCrew (count: number, launch: () => Worker, log: Logger, giveUp: () => void, waitFor: (delay: number) => Promise<void> = sleep): Promise<Crew> {
  const alive = new Set<Worker>()
  const serving = new Set<Worker>()
  let sweeper: Worker | undefined
  let stopping = false
  let endedWell = true
  let isSound = true

  function add (): Worker {
    const worker = launch()
    alive.add(worker)
    worker.ended.then(({ code }) => {
      alive.delete(worker)
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
    serving.add(worker)
    appointSweeper()
    const end = await worker.ended
    serving.delete(worker)
    appointSweeper()
    const endsWell = end.code === 0
    if (stopping) endedWell &&= endsWell
    log[endsWell ? 'info' : 'error']({ worker: worker.pid, ...end }, `worker ${worker.pid} ${describe(end)}`)
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
      worker = stopping ? undefined : add()
    }
  }

  function kill (): void {
    for (const worker of alive) worker.kill()
  }

  async function allEnded (): Promise<void> {
    await Promise.all([...alive].map(({ ended }) => ended))
  }

  const first = Array.from({ length: count }, add)
  const addresses = await Promise.all(first.map(({ listening }) => listening)).catch(async error => {
    kill()
    await allEnded()
    throw error
  })
  for (const worker of first) keep(worker)
  return {
    address: addresses[0]!, // There is at least one worker.
    async stop () {
      stopping = true
      for (const worker of alive) serving.has(worker) ? worker.stop() : worker.kill()
      await allEnded()
      return { endedWell, isSound }
    },
    kill
  }
}
