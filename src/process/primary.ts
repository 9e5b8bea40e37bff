import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { attempt, authority, endGracefully, FAILED, GRACE, readyLine, SLACK, StartError } from './lifecycle.js'
import { startOfTime, type Moment } from '../clock.js'
import { describe, startCrew, type End, type Worker } from './supervisor.js'
import { closeLostConnections } from './handover.js'
import { BEAT_FD, BEAT_MS, listen, SILENCE } from './heartbeat.js'
import { createLog } from './log.js'
import type { Config } from '../cli/settings.js'
import type { StoreFiles } from '../stores/options.js'
import { claimStore, placeOf } from '../stores/table.js'
import { VERSION } from '../version.js'

/** What the primary says to a worker. */
export type Order =
  /** `files` are those of a store that was claimed. `isReplacement` when the server was up already. */
  | { readonly kind: 'start', readonly config: Config, readonly since: Moment, readonly files: StoreFiles | undefined, readonly isReplacement: boolean }
  | { readonly kind: 'sweep' }
  | { readonly kind: 'stop' }

/** What a worker says to its primary. */
export type Report =
  | { readonly kind: 'up' }
  | { readonly kind: 'listening', readonly address: AddressInfo }
  | { readonly kind: 'opened' }
  | { readonly kind: 'failed', readonly message: string }

/** The last is BEAT_FD. */
const STDIO = ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'] as const

/** The program of a worker. */
const WORKER = fileURLToPath(new URL('worker.js', import.meta.url))

/**
 * Takes the data, and has several workers serve it, replacing those that die. Serves no request itself. Ends the process
 * upon a signal or a fault that nobody caught.
 *
 * @param count how many workers
 * @throws StartError when one of them cannot be started
 */
export async function serveWithWorkers (config: Config, count: number): Promise<void> {
  const { store, host } = config
  const log = createLog(config)
  const dataPlace = placeOf(store)
  const claim = await attempt(`open the data ${dataPlace}`, claimStore(store))
  try {
    const port = await attempt(`listen on ${authority(host, config.port)}`, freePort(host, config.port))
    const start = { kind: 'start', config: { ...config, port }, since: startOfTime(message => log.warn(message)), files: claim?.files } as const
    cluster.setupPrimary({ exec: WORKER, args: [], stdio: [...STDIO] })
    const crew = startCrew(count, isReplacement => launch({ ...start, isReplacement }, log), log, () => process.exit(FAILED))
    // On a second signal, too, and when closing took too long.
    process.once('exit', crew.kill)
    const ending = endGracefully(log, async () => {
      const { endedWell, isSound } = await crew.stop()
      await claim?.release(isSound)
      if (!endedWell) process.exit(FAILED)
      // A worker that hangs is killed before that, and the others end by themselves.
    }, GRACE + 2 * SLACK)
    const address = await crew.started.catch(error => {
      ending.uninstall()
      throw error
    })
    process.stdout.write(`${readyLine(VERSION, address, dataPlace)}\n`)
  } catch (error) {
    await claim?.release(false)
    throw error
  }
}

/**
 * The port to listen on, which for 0 is any that is free. It is tried here so that a port in use is found before anything is
 * started, and so that a replacement can have the port of the others even if none of them is left.
 */
async function freePort (host: string, port: number): Promise<number> {
  const server = createServer().listen(port, host)
  await once(server, 'listening')
  const address = server.address() as AddressInfo // It listens on TCP.
  await once(server.close(), 'close')
  return address.port
}

function launch (start: Extract<Order, { kind: 'start' }>, log: Logger): Worker {
  const worker = cluster.fork()
  closeLostConnections(worker.process)
  // One that is gone needs no order, and what became of it is known from its end.
  const say = (order: Order): void => { worker.send(order, () => {}) }
  const ended = new Promise<End>(resolve => {
    worker.once('exit', (code, signal) => resolve({ code, signal: signal as NodeJS.Signals | null })) // As child processes have it.
    // A process that could not be made has no other end.
    worker.on('error', () => resolve({ code: FAILED, signal: null }))
  })
  const beats = worker.process.stdio[BEAT_FD] as Readable | undefined // As STDIO says; nothing when it could not be made.
  const end = beats && listen(beats, () => {
    log.error({ worker: worker.process.pid }, `worker ${worker.process.pid} is killed because it has given no sign of life for ${SILENCE * BEAT_MS / 1e3} s: is it stopped?`)
    worker.process.kill('SIGKILL')
  })
  ended.then(end)
  const listening = promised<AddressInfo>()
  const opened = promised<void>()
  const fail = (message: string): void => { for (const { reject } of [listening, opened]) reject(new StartError(message)) }
  worker.on('message', (report: Report) => {
    switch (report.kind) {
      case 'up': return say(start)
      case 'listening': return listening.resolve(report.address)
      case 'opened': return opened.resolve()
      case 'failed': return fail(report.message)
    }
  })
  ended.then(end => fail(`cannot start a worker: it ${describe(end)}`))
  return {
    pid: worker.process.pid,
    listening: listening.promise,
    opened: opened.promise,
    ended,
    sweep: () => say({ kind: 'sweep' }),
    stop: () => say({ kind: 'stop' }),
    kill: () => { worker.process.kill('SIGKILL') },
  }
}

/** A promise with what settles it. */
function promised<T> (): { promise: Promise<T>, resolve (value: T): void, reject (error: Error): void } {
  let settle = { resolve (_value: T): void {}, reject (_error: Error): void {} }
  const promise = new Promise<T>((resolve, reject) => { settle = { resolve, reject } })
  return { promise, ...settle }
}
