import cluster from 'node:cluster'
import { FAILED } from '../exit-codes.js'
import { endGracefully, GRACE_MS, SLACK_MS, StartError } from './lifecycle.js'
import { startHeartbeat } from './heartbeat.js'
import { createLog } from './log.js'
import type { WorkerOrder, WorkerReport } from './primary.js'
import { startServer } from './server.js'

// A worker: the program that a primary starts several times and gives its orders.

/** A terminal sends these to all processes of a server, the first of them for Ctrl-C. The primary decides what to do. */
const FOR_THE_PRIMARY = ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const

// Nobody else starts this program.
const self = cluster.worker!

function say (report: WorkerReport, then?: () => void): void {
  self.send(report, then)
}

async function start ({ config, since, options, isReplacement }: Extract<WorkerOrder, { kind: 'start' }>): Promise<void> {
  const log = createLog(config)
  startHeartbeat()
  // The server is up, and an outage of its store does not end it.
  const server = await startServer(config, log, since, { options, waitsForStore: isReplacement })
  const ending = endGracefully(log, server.close, GRACE_MS + SLACK_MS, ['SIGTERM', ...FOR_THE_PRIMARY])
  let isStopping = false

  function stop (): void {
    // A signal to all processes of a server comes here too, besides the primary's order.
    if (!isStopping) ending.close()
    isStopping = true
  }

  process.on('SIGTERM', stop)
  self.on('message', ({ kind }: WorkerOrder) => {
    switch (kind) {
      case 'sweep': return server.sweep()
      case 'reload': return server.reload()
      default: return stop()
    }
  })
  say({ kind: 'listening', address: server.address })
  await server.opened
  say({ kind: 'opened' })
}

for (const signal of FOR_THE_PRIMARY) process.on(signal, () => {})
// Without its primary a worker has no right to the data any more, and gets no connections.
self.on('disconnect', () => process.exit(FAILED))
self.once('message', (order: Extract<WorkerOrder, { kind: 'start' }>) => {
  // A fault of ours is told with its stack, but with nothing else that the error holds.
  const wordsOf = (error: Error): string => error instanceof StartError ? error.message : error.stack ?? error.message
  start(order).catch(error => say({ kind: 'failed', message: wordsOf(error) }, () => process.exit(FAILED)))
})
// The primary waits for this: a message to a worker that does not listen yet is lost.
say({ kind: 'up' })
