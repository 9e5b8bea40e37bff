import cluster from 'node:cluster'
import { endGracefully, FAILED, GRACE, SLACK, StartError } from './lifecycle.js'
import { startHeartbeat } from './heartbeat.js'
import { createLog } from './log.js'
import type { Order, Report } from './primary.js'
import { startServer } from './server.js'

// A worker: the program that a primary starts several times, and that does what its primary says.

/** A terminal sends these to all processes of a server, the first of them for Ctrl-C. The primary says what it comes to. */
const FOR_THE_PRIMARY = ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const

// Nobody else starts this program.
const self = cluster.worker!

function say (report: Report, then?: () => void): void {
  self.send(report, then)
}

async function start ({ config, since, files, isReplacement }: Extract<Order, { kind: 'start' }>): Promise<void> {
  const log = createLog(config)
  startHeartbeat()
  // The server is up, and an outage of its store does not end it.
  const patience = isReplacement ? { timeout: Infinity } : {}
  const server = await startServer(config, log, since, { role: 'member', ...files && { files }, ...patience })
  const ending = endGracefully(log, server.close, GRACE + SLACK, ['SIGTERM', ...FOR_THE_PRIMARY])
  let isStopping = false

  function stop (): void {
    // Whoever stops all processes of a server tells this one too, besides its primary.
    if (!isStopping) ending.close()
    isStopping = true
  }

  process.on('SIGTERM', stop)
  self.on('message', ({ kind }: Order) => {
    if (kind === 'sweep') server.sweep()
    else stop()
  })
  say({ kind: 'listening', address: server.address })
  await server.opened
  say({ kind: 'opened' })
}

for (const signal of FOR_THE_PRIMARY) process.on(signal, () => {})
// Without its primary a worker has no right to the data any more, and gets no connections.
self.on('disconnect', () => process.exit(FAILED))
self.once('message', (order: Extract<Order, { kind: 'start' }>) => {
  // Of what is not the operator's to mend the stack is told too, but nothing else that an error holds.
  const wordsOf = (error: Error): string => error instanceof StartError ? error.message : error.stack ?? error.message
  start(order).catch(error => say({ kind: 'failed', message: wordsOf(error) }, () => process.exit(FAILED)))
})
// What is said to a worker that does not listen yet is lost.
say({ kind: 'up' })
