import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { authority } from '../authority.js'
import { promiseWithResolvers } from '../promise.js'
import { FAILED } from '../exit-codes.js'
import { attempt, endGracefully, GRACE_MS, readyLine, SLACK_MS, StartError, warnOfAnybody } from './lifecycle.js'
import { startOfTime, type Moment } from '../clock.js'
import { describe, Supervisor, type End, type Worker } from './supervisor.js'
import { closeLostConnections } from './handover.js'
import { BEAT_FD, BEAT_MS, listen, SILENT_LOOKS } from './heartbeat.js'
import { createLog } from './log.js'
import type { Config } from '../cli/settings.js'
import { claimData, placeOf, type StoreOptions } from '../stores/table.js'
import { VERSION } from '../version.js'

/** What the primary says to a worker. */
export type WorkerOrder =
  /** `options` are those that the claim of the data gave. `isReplacement` when the server was up already. */
  | { readonly kind: 'start', readonly config: Config, readonly since: Moment, readonly options: StoreOptions | undefined, readonly isReplacement: boolean }
  | { readonly kind: 'sweep' }
  /** Read the file of API keys again. */
  | { readonly kind: 'reload' }
  | { readonly kind: 'stop' }

/** What a worker says to its primary. */
export type WorkerReport =
  | { readonly kind: 'up' }
  | { readonly kind: 'listening', readonly address: AddressInfo }
  | { readonly kind: 'opened' }
  | { readonly kind: 'failed', readonly message: string }

/** The last is BEAT_FD. */
const STDIO = ['inherit', 'inherit', 'inherit', 'ipc', 'pipe'] as const

/** The program of a worker. */
const WORKER = fileURLToPath(new URL('worker.js', import.meta.url))

/**
 * Claims the data, starts workers that serve it, and replaces those that die. It serves no request itself. It ends the process
 * upon a signal or an error that nobody caught.
 * @throws StartError when one of them cannot be started
 */
export async function serveWithWorkers (config: Config): Promise<void> {
  const { store, host, workers: count } = config
  const log = createLog(config)
  const dataPlace = placeOf(store)
  const claim = await attempt(`open the data ${dataPlace}`, claimData(store))
  try {
    const port = await attempt(`listen on ${authority(host, config.port)}`, freePort(host, config.port))
    const start = { kind: 'start', config: { ...config, port }, since: startOfTime(message => log.warn(message)), options: claim?.options } as const
    cluster.setupPrimary({ exec: WORKER, args: [], stdio: [...STDIO] })
    const supervisor = new Supervisor({ count, log, launch: isReplacement => launch({ ...start, isReplacement }, log), giveUp: () => process.exit(FAILED) })
    process.on('SIGHUP', () => supervisor.reload())
    // Also after a second signal, and when closing takes too long.
    process.once('exit', () => supervisor.kill())
    const ending = endGracefully(log, async () => {
      const { endedWell, isSound } = await supervisor.stop()
      await claim?.release(isSound)
      if (!endedWell) process.exit(FAILED)
      // A worker that hangs is killed before that time is over; the others end by themselves.
    }, GRACE_MS + 2 * SLACK_MS)
    const address = await supervisor.started.catch(error => {
      ending.uninstall()
      throw error
    })
    warnOfAnybody(config, log)
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

function launch (start: Extract<WorkerOrder, { kind: 'start' }>, log: Logger): Worker {
  const worker = cluster.fork()
  closeLostConnections(worker.process)
  // An order to a worker that is gone is dropped: its `exit` event tells what became of it.
  const say = (order: WorkerOrder): void => { worker.send(order, () => {}) }
  const ended = new Promise<End>(resolve => {
    worker.once('exit', (code, signal) => resolve({ code, signal: signal as NodeJS.Signals | null })) // As child processes have it.
    // A process that could not be started has no `exit` event.
    worker.on('error', () => resolve({ code: FAILED, signal: null }))
  })
  const beats = worker.process.stdio[BEAT_FD] as Readable | undefined // As STDIO says; nothing when it could not be made.
  const end = beats && listen(beats, () => {
    log.error({ worker: worker.process.pid }, `worker ${worker.process.pid} is killed because it has given no sign of life for ${SILENT_LOOKS * BEAT_MS / 1e3} s: is it stopped?`)
    worker.process.kill('SIGKILL')
  })
  ended.then(end)
  const listening = promiseWithResolvers<AddressInfo>()
  const opened = promiseWithResolvers<void>()
  const fail = (message: string): void => { for (const { reject } of [listening, opened]) reject(new StartError(message)) }
  worker.on('message', (report: WorkerReport) => {
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
    reload: () => say({ kind: 'reload' }),
    stop: () => say({ kind: 'stop' }),
    kill: () => { worker.process.kill('SIGKILL') },
  }
}
