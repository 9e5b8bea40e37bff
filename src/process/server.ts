import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { buildApp } from '../app.js'
import { Keyring } from '../auth/keyring.js'
import { anybody, type CallerOf } from '../caller.js'
import { availability, type Availability } from './availability.js'
import { authority, isLoopback } from '../authority.js'
import { FAILED } from '../exit-codes.js'
import { attempt, endGracefully, GRACE_MS, readyLine, sweepRegularly, warnOfAnybody } from './lifecycle.js'
import { clockFrom, startOfTime, type Moment } from '../clock.js'
import { createGateway } from '../protocol/gateway.js'
import { createLog } from './log.js'
import type { Config } from '../cli/settings.js'
import { StatusError } from '../status.js'
import { openAt, placeOf, rowOf, type StoreOptions } from '../stores/table.js'
import { VERSION } from '../version.js'
import { startWatchdog } from './watchdog.js'

/** Milliseconds in which answers that are already made may still go out when the store has failed. */
const LAST_WORDS_MS = 1_000

/** A server that answers requests. */
export interface Server {
  readonly address: AddressInfo
  /**
   * Resolves once the store can be used; until then requests are answered with StoreUnavailable. Rejects with a StartError when
   * the store was given up, and never settles when the server is closed before.
   */
  readonly opened: Promise<void>
  /** Begins to free what has expired. One of all processes on a store does so. */
  sweep (): void
  /** Reads the file of API keys again, if there is one. */
  reload (): void
  /** Lets the requests under way finish and then closes everything. */
  close (): Promise<void>
}

/** How the process of a server stands to the data. Unless given, it has the data to itself. */
export interface ProcessRole {
  /** What the claim of the data says that a worker has to open it with. */
  readonly options?: StoreOptions | undefined
  /** Whether it waits for its store for as long as it takes. */
  readonly waitsForStore?: boolean
}

/** Serves until a signal or a fault that nobody caught; then ends the process. @throws StartError */
export async function serveAlone (config: Config): Promise<void> {
  const log = createLog(config)
  const server = await startServer(config, log, startOfTime(message => log.warn(message)))
  process.on('SIGHUP', server.reload)
  const ending = endGracefully(log, server.close)
  await server.opened.catch(async error => {
    ending.uninstall()
    await server.close()
    throw error
  })
  server.sweep()
  warnOfAnybody(config, log)
  process.stdout.write(`${readyLine(VERSION, server.address, placeOf(config.store))}\n`)
}

/** What each process may have of a number: requests go to the workers in turn. */
function shareOf ({ workers }: Config, all: number): number {
  return Math.ceil(all / workers)
}

/** Who may do what: whoever has a key of the ring; without one everybody, on a loopback address everything. */
function callerFrom (keyring: Keyring | undefined, host: string): CallerOf {
  if (keyring === undefined) return anybody(isLoopback(host) ? 'admin' : 'client')
  return key => key === undefined ? undefined : keyring.find(key)
}

/**
 * Opens the data and listens, also while the data has to be waited for. When the store fails later on, this ends the process.
 *
 * @param since what its clock counts from
 * @throws StartError
 */
export async function startServer (config: Config, log: Logger, since: Moment, place: ProcessRole = {}, open = openAt): Promise<Server> {
  const { store: location, host, port, bodyLimit, apiKeysFile, rateLimit } = config
  const connections = { all: shareOf(config, config.maxConnections), perAddress: shareOf(config, config.maxConnectionsPerAddress ?? Infinity) }
  const dataPlace = placeOf(location)
  const keyring = apiKeysFile === undefined ? undefined : await attempt(`use the API keys in ${apiKeysFile}`, Keyring.open(apiKeysFile, log))
  const readiness = availability(log, dataPlace, () => keyring?.warning)
  let closeApp = async (): Promise<void> => {}
  const options = storeOptions(config, log, place, readiness, async () => await closeApp())
  const store = await attempt(`open the data ${dataPlace}`, open(location, options))
  let closing: Promise<void> | undefined
  const opened = attempt(`open the data ${dataPlace}`, store.opened ?? Promise.resolve()).finally(async () => {
    // The store is closed by then, and its answer is of no interest any more.
    if (closing !== undefined) await new Promise(() => {})
  })
  // The caller handles the rejection; this only keeps Node from reporting it first.
  opened.then(readiness.opened, () => {})
  const gateway = await attempt(`use the data ${dataPlace}`, createGateway(store, { now: clockFrom(since) })).catch(async error => {
    await store.close()
    throw error
  })
  const app = buildApp(gateway, { bodyLimit, connections, ...rateLimit !== undefined && { rateLimit: { ...rateLimit, max: shareOf(config, rateLimit.max) } }, log, readiness, callerOf: callerFrom(keyring, host) })
  closeApp = async () => await app.close()
  let stopSweeping = async (): Promise<void> => {}

  async function closeAll (): Promise<void> {
    readiness.end('The server is stopping.')
    // A request that never ends would keep the server from ending.
    const cut = setTimeout(() => {
      log.warn(`closing the connections whose requests have not ended in ${GRACE_MS / 1e3} s`)
      app.server.closeAllConnections()
    }, GRACE_MS)
    await app.close()
    clearTimeout(cut)
    keyring?.close()
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
    // A store that cannot be used has already said so.
    sweep () {
      stopSweeping = sweepRegularly(gateway, error => {
        const isTold = error instanceof StatusError && error.status === 'StoreUnavailable'
        if (readiness.hasStore && !isTold) log.error({ err: error }, 'a sweep failed')
      })
    },
    reload () { keyring?.reload() },
    close,
  }
}

/** The options of the store: settings, the role of this process, and where its reports go. */
function storeOptions (config: Config, log: Logger, { options, waitsForStore = false }: ProcessRole, readiness: Availability, closeApp: () => Promise<void>): StoreOptions {
  return {
    lmdb: { ...options?.lmdb, ...rowOf(config.store).needsWatchdog && { commits: startWatchdog(log.isLevelEnabled('fatal')) } },
    valkey: {
      ...options?.valkey,
      openTimeoutS: waitsForStore ? Infinity : config.storeTimeout,
      answerDeadlineMs: config.storeDeadline,
      waitReplicas: config.waitReplicas,
    },
    report: error => log.error({ err: error }, 'a fault in the store'),
    onAvailability: readiness.tell,

    /** Clients get the answers that are made, and 500 for requests under way; then this process ends, whatever still waits. */
    onFatal (error) {
      log.fatal({ err: error }, 'ending because the store cannot go on')
      readiness.end('The store has failed, and the server is ending.')
      const exit = (): void => process.exit(FAILED)
      setTimeout(exit, LAST_WORDS_MS)
      closeApp().finally(exit)
    },
  }
}
