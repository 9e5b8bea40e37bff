import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { buildApp } from '../app.js'
import { availability, type Availability } from './availability.js'
import { attempt, authority, endGracefully, FAILED, GRACE, readyLine, sweepRegularly } from './lifecycle.js'
import { clockFrom, startOfTime, type Moment } from '../clock.js'
import { createGateway } from '../protocol/gateway.js'
import { createLog } from './log.js'
import type { Config } from '../cli/settings.js'
import { StatusError } from '../status.js'
import type { StoreOptions } from '../stores/options.js'
import { openStore, parseStoreUrl, placeOf } from '../stores/table.js'
import { VERSION } from '../version.js'
import { startWatchdog } from './watchdog.js'

/** Milliseconds that answers already made have to go out in when the store has failed. */
const LAST_WORDS = 1_000

/** A server that answers requests. */
export interface Server {
  readonly address: AddressInfo
  /**
   * Resolves once the store can be used; until then requests are answered with StoreUnavailable. Rejects with a StartError when
   * the store was given up, and never settles when the server is closed before.
   */
  readonly opened: Promise<void>
  /** Begins to free what has expired: of all processes on one store one does. */
  sweep (): void
  /** Lets the requests under way finish and then closes everything. */
  close (): Promise<void>
}

/** What a server has to know of its process: nothing when that has the data to itself. */
export type Place = Pick<StoreOptions, 'role' | 'files' | 'timeout'>

/** Serves until a signal or a fault that nobody caught; then ends the process. @throws StartError */
export async function serveAlone (config: Config): Promise<void> {
  const log = createLog(config)
  const server = await startServer(config, log, startOfTime(message => log.warn(message)))
  const ending = endGracefully(log, server.close)
  await server.opened.catch(async error => {
    ending.uninstall()
    await server.close()
    throw error
  })
  server.sweep()
  process.stdout.write(`${readyLine(VERSION, server.address, placeOf(config.store))}\n`)
}

/**
 * Opens the data and listens, also while the data has to be waited for. When the store fails later on, this ends the process.
 *
 * @param since what its clock counts from
 * @throws StartError
 */
export async function startServer (config: Config, log: Logger, since: Moment, place: Place = {}, open = openStore): Promise<Server> {
  const { store: url, host, port, bodyLimit } = config
  const readiness = availability(log, placeOf(url))
  let closeApp = async (): Promise<void> => {}
  const options = storeOptions(config, log, place, readiness, async () => await closeApp())
  const store = await attempt(`open the data ${placeOf(url)}`, open(url, options))
  let closing: Promise<void> | undefined
  const opened = attempt(`open the data ${placeOf(url)}`, store.opened ?? Promise.resolve()).finally(async () => {
    // It is closed because nobody waits any more, or was given up already.
    if (closing !== undefined) await new Promise(() => {})
  })
  // That it is rejected is for the caller to deal with, who does not have it yet.
  opened.then(readiness.opened, () => {})
  const gateway = await attempt(`use the data ${placeOf(url)}`, createGateway(store, { now: clockFrom(since) })).catch(async error => {
    await store.close()
    throw error
  })
  const app = buildApp(gateway, { bodyLimit, log, readiness })
  closeApp = async () => await app.close()
  let stopSweeping = async (): Promise<void> => {}

  async function closeAll (): Promise<void> {
    readiness.end('The server is stopping.')
    // Anybody could keep it from ending with a request that never does.
    const cut = setTimeout(() => {
      log.warn(`closing the connections whose requests have not ended in ${GRACE / 1e3} s`)
      app.server.closeAllConnections()
    }, GRACE)
    await app.close()
    clearTimeout(cut)
    await stopSweeping()
    await store.close()
  }
  const close = async (): Promise<void> => await (closing ??= closeAll())

  await attempt(`listen on ${authority(host, port)}`, app.listen({ host, port })).catch(async error => {
    await close()
    throw error
  })
  return {
    // Fastify's server listens on a TCP port here, so its address is neither null nor a path.
    address: app.server.address() as AddressInfo,
    opened,
    // A store that cannot be used has told so already.
    sweep () {
      stopSweeping = sweepRegularly(gateway, error => {
        const isTold = error instanceof StatusError && error.status === 'StoreUnavailable'
        if (readiness.hasStore && !isTold) log.error({ err: error }, 'a sweep failed')
      })
    },
    close,
  }
}

/** What the store has to know of the settings and of this process, and whom it tells what. */
function storeOptions (config: Config, log: Logger, place: Place, readiness: Availability, closeApp: () => Promise<void>): StoreOptions {
  return {
    timeout: config.storeTimeout,
    deadline: config.storeDeadline,
    waitReplicas: config.waitReplicas,
    ...place,
    report: error => log.error({ err: error }, 'a fault in the store'),
    onAvailability: readiness.tell,
    // Only LMDB keeps the main thread from everything while it waits for its disk, or for other processes.
    ...parseStoreUrl(config.store).kind === 'lmdb' && { commits: startWatchdog(log.isLevelEnabled('fatal')) },

    /** Clients get what is already answered, and 500 for what is under way; then this process ends, whatever still waits. */
    onFatal (error) {
      log.fatal({ err: error }, 'ending because the store cannot go on')
      readiness.end('The store has failed, and the server is ending.')
      const exit = (): void => process.exit(FAILED)
      setTimeout(exit, LAST_WORDS)
      closeApp().finally(exit)
    },
  }
}
