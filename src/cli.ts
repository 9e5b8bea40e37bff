import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { getSystemErrorMap } from 'node:util'
import type { Gateway } from './gateway.js'
import type { SessionStore } from './session.js'
import { parseStoreUrl } from './stores/open.js'

// What main.ts is put together from. It stands apart because importing main.ts starts a server.

/** A fault that ends the start and is the operator's to mend: its message says all, so that no stack is shown. */
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

/** Why something failed, in words: for an error of the operating system its own words, without call and code. */
function reason (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { errno } = error as NodeJS.ErrnoException // Only read: undefined on every other error.
  return (errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]) ?? error.message
}

/** A host and a port as they stand in a URL. */
export function authority (host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Where a store keeps its data, to follow the word "data". It never holds a password, as a URL may. */
export function place (url: string): string {
  const store = parseStoreUrl(url)
  return store.kind === 'memory' ? 'in memory only' : `in ${resolve(store.directory)}`
}

/** The line that says that requests are served, and at which address. */
export function readyLine (version: string, { address, port }: AddressInfo, dataPlace: string): string {
  return `holdfast ${version} listening on http://${authority(address, port)}, data ${dataPlace}`
}

/** What sweeping needs of a gateway. */
export interface Sweepable {
  readonly store: Pick<SessionStore, 'sweep'>
  readonly now: Gateway['now']
}

/** Sessions freed in one step: few enough that requests do not have to wait for it. */
const SWEEP_LIMIT = 100

/**
 * Frees expired sessions again and again. Nobody sees an expired session anyway: this only gives back its space, so a
 * sweep that fails is reported and tried again.
 *
 * @param every milliseconds between two sweeps; it does not keep the process alive
 * @returns stops sweeping, and resolves once no sweep is under way, so that the store can be closed
 */
export function sweepRegularly (gateway: Sweepable, report: (error: unknown) => void, every: number): () => Promise<void> {
  let underWay: Promise<void> | undefined
  const stopping = new AbortController()
  const sweepAll = async () => {
    // Between two steps the event loop gets a turn, so that a million sessions due at once do not stop requests.
    while (await gateway.store.sweep(gateway.now(), SWEEP_LIMIT) === SWEEP_LIMIT && !stopping.signal.aborted) await setImmediate()
  }
  const timer = setInterval(() => {
    underWay ??= sweepAll().catch(report).finally(() => { underWay = undefined })
  }, every)
  timer.unref()
  return async () => {
    stopping.abort()
    clearInterval(timer)
    await underWay
  }
}
