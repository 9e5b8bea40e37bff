import type { AddressInfo } from 'node:net'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { authority, isLoopback } from '../authority.js'
import type { Config } from '../cli/settings.js'
import { FAILED } from '../exit-codes.js'
import type { Gateway } from '../protocol/gateway.js'
import { reason } from '../reason.js'
import type { SessionStore } from '../session.js'

// The parts of main.ts, in a file of their own because importing main.ts starts a server.

/** Milliseconds that requests under way have to finish after a signal. */
export const GRACE_MS = 10_000

/** Milliseconds after that in which everything else has to close; then the process ends. */
export const SLACK_MS = 1_000

/** A fault that ends the start and that the operator can mend: its message says all, so that no stack is shown. */
export class StartError extends Error {}

/**
 * Waits for a step of the start.
 *
 * @param step what could not be done if it fails, such as `listen on 127.0.0.1:1987`
 * @throws StartError when the step fails
 */
export async function attempt<T> (step: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing
  } catch (error) {
    throw new StartError(`cannot ${step}: ${reason(error)}`, { cause: error })
  }
}

/** The line that says that requests are served, and at which address. */
export function readyLine (version: string, { address, port }: AddressInfo, dataPlace: string): string {
  return `holdfast ${version} listening on http://${authority(address, port)}, data ${dataPlace}`
}

/** Says who may use a server that others can reach and that asks for no API keys. */
export function warnOfAnybody ({ host, apiKeysFile }: Pick<Config, 'host' | 'apiKeysFile'>, log: Pick<Logger, 'warn'>): void {
  if (apiKeysFile !== undefined || isLoopback(host)) return
  log.warn(`without API keys whoever reaches ${host} can make sessions, and read, change and end those whose token or name is known; SH_INFO_ALL and SH_END_ALL are forbidden there`)
}

type Skipped = closeWithGrace.AllEvents[]

/**
 * Signals that stand for a fault of the process itself, such as SIGBUS when the data file was cut short. Node cannot handle them: with
 * a listener the process would meet the same fault again and again for ever, and without one it ends.
 */
const FAULTS: Skipped = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV']

/**
 * Ends the process gracefully on a signal (SIGHUP is none: servers read their files again), or with FAILED on an error that nobody caught; at once with FAILED on a second
 * signal, or when closing takes too long.
 *
 * @param close is awaited; what it throws is logged, and the exit code is then FAILED
 * @param delay milliseconds that `close` may take
 * @param skip signals that are ignored here
 * @returns `close` ends the process as a signal does, `uninstall` takes the handlers away
 */
export function endGracefully (log: Logger, close: () => Promise<void>, delay = GRACE_MS + SLACK_MS, skip: Skipped = []): { close (): void, uninstall (): void } {
  return closeWithGrace({ delay, logger: log, skip: [...FAULTS, 'SIGHUP', ...skip] }, async ({ err, signal, manual }) => {
    const asked = signal !== undefined || manual === true
    if (asked) log.info(signal === undefined ? 'stopping as it was told to' : `stopping because of ${signal}`)
    else log.fatal({ err }, 'stopping because of an error that nobody caught')
    await close()
    // An error may be undefined, as in Promise.reject(), which close-with-grace would take for a wish to stop.
    if (!asked) process.exit(FAILED)
  })
}

/** What sweeping needs of a gateway. */
export interface Sweepable {
  readonly store: Pick<SessionStore, 'sweep'>
  readonly now: Gateway['now']
}

/** Sessions freed in one step, so that requests wait for it 5 ms at most; the store cuts it short when it takes too long. */
const SWEEP_SESSIONS = 50

/** Milliseconds of rest after a step that found something, at least, and after one that did not. */
const SWEEP_PAUSE_MS = 10
const SWEEP_REST_MS = 1_000

/**
 * The rest is this many times as long as the step before it, which leaves four fifths of the time to requests. When sweeping has
 * found work for SWEEP_PATIENCE_MS on end, more expires than it frees that way, and requests are left half of the time.
 */
const SWEEP_PAUSE_STEPS = 4
const SWEEP_PATIENCE_MS = 300_000
const SWEEP_HURRY_STEPS = 1

/**
 * Frees expired sessions again and again. Nobody sees an expired session anyway: this only gives back its space, so a
 * sweep that fails is reported and tried again. It does not keep the process alive.
 *
 * @param elapsed a monotonic clock in milliseconds
 * @returns stops sweeping, and resolves once no sweep is under way, so that the store can be closed
 */
export function sweepRegularly ({ store, now }: Sweepable, report: (error: unknown) => void, elapsed = () => performance.now()): () => Promise<void> {
  let underWay = Promise.resolve()
  let stopped = false
  let busySince = Infinity
  let timer: NodeJS.Timeout

  async function step (): Promise<void> {
    const begun = elapsed()
    const freed = await store.sweep(now(), SWEEP_SESSIONS).catch(error => {
      report(error)
      return 0
    })
    if (freed === 0) {
      busySince = Infinity
      return schedule(SWEEP_REST_MS)
    }
    const ended = elapsed()
    busySince = Math.min(busySince, begun)
    const steps = ended - busySince > SWEEP_PATIENCE_MS ? SWEEP_HURRY_STEPS : SWEEP_PAUSE_STEPS
    schedule(Math.max(SWEEP_PAUSE_MS, steps * (ended - begun)))
  }

  function schedule (delay: number): void {
    if (!stopped) timer = setTimeout(() => { underWay = step() }, delay).unref()
  }

  schedule(SWEEP_REST_MS)
  return async () => {
    stopped = true
    clearTimeout(timer)
    await underWay
  }
}
