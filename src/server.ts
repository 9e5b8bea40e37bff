import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { buildApp } from './app.js'
import { attempt, authority, endGracefully, FAILED, GRACE, placeOf, readyLine, sweepRegularly } from './cli.js'
import { clockFrom, startOfTime, type Moment } from './clock.js'
import type { Config } from './config.js'
import { createGateway } from './gateway.js'
import { createLog } from './log.js'
import type { StoreOptions } from './stores/options.js'
import { openStore } from './stores/open.js'
import { VERSION } from './version.js'
import { startWatchdog } from './watchdog.js'

/** Milliseconds that answers already made have to go out in when the store has failed. */
const LAST_WORDS = 1_000

/** A server that answers requests. */
export interface Server {
  readonly address: AddressInfo
  /** Begins to free what has expired: of all processes on one store one does. */
  sweep (): void
  /** Lets the requests under way finish and then closes everything. */
  close (): Promise<void>
}

/** What a server has to know of its process: nothing when that has the data to itself. */
export interface Place extends Pick<StoreOptions, 'role' | 'files'> {
  /** As of startWatchdog(). */
  readonly beat?: number
}

/** Serves until a signal or a fault that nobody caught; then ends the process. @throws StartError */
export async function serveAlone (config: Config): Promise<void> {
  const log = createLog(config)
  const server = await startServer(config, log, startOfTime(message => log.warn(message)))
  server.sweep()
  endGracefully(log, server.close)
  process.stdout.write(`${readyLine(VERSION, server.address, placeOf(config.store))}\n`)
}

/**
 * Opens the data and listens. When the store fails later on, this ends the process.
 *
 * @param since what its clock counts from
 * @throws StartError
 */
export async function startServer (config: Config, log: Logger, since: Moment, { beat, ...place }: Place = {}): Promise<Server> {
  const { store: url, host, port, bodyLimit } = config
  const readiness: { reason: string | undefined } = { reason: undefined }
  let closeApp = async (): Promise<void> => {}

  /** Clients get what is already answered, and 500 for what is under way; then this process ends, whatever still waits. */
  function onFatal (error: Error): void {
    log.fatal({ err: error }, 'ending because the store cannot go on')
    readiness.reason = 'The store has failed, and the server is ending.'
    const exit = (): void => process.exit(FAILED)
    setTimeout(exit, LAST_WORDS)
    closeApp().finally(exit)
  }

  const store = await attempt(`open the data ${placeOf(url)}`, openStore(url, {
    ...place,
    report: error => log.error({ err: error }, 'a fault in the store'),
    onFatal,
    commits: startWatchdog(log.isLevelEnabled('fatal'), beat)
  }))
  const gateway = await attempt(`use the data ${placeOf(url)}`, createGateway(store, { now: clockFrom(since) })).catch(async error => {
    await store.close()
    throw error
  })
  const app = buildApp(gateway, { bodyLimit, log, readiness })
  closeApp = async () => await app.close()
  let stopSweeping = async (): Promise<void> => {}

  async function close (): Promise<void> {
    readiness.reason ??= 'The server is stopping.'
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

  await attempt(`listen on ${authority(host, port)}`, app.listen({ host, port })).catch(async error => {
    await close()
    throw error
  })
  return {
    // Fastify's server listens on a TCP port here, so its address is neither null nor a path.
    address: app.server.address() as AddressInfo,
    sweep () { stopSweeping = sweepRegularly(gateway, error => log.error({ err: error }, 'a sweep failed')) },
    close
  }
}
