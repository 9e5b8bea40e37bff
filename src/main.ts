#!/usr/bin/env node
import type { AddressInfo } from 'node:net'
import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import { attempt, authority, place, readyLine, StartError, sweepRegularly } from './cli.js'
import { readConfig, type Config } from './config.js'
import { createGateway } from './gateway.js'
import { openStore } from './stores/open.js'
import { VERSION } from './version.js'

/** Milliseconds between two sweeps. */
const SWEEP_EVERY = 1000

/** Milliseconds that requests under way have to finish in after a signal. */
const GRACE = 10_000

/** Exit codes beside 0: Holdfast was asked to stop. */
const FAILED = 1
const MISCONFIGURED = 2

/** Serves until a signal or a fault that nobody caught; then ends the process. */
async function serve (config: Config): Promise<void> {
  const { host, port, bodyLimit, logLevel } = config
  const dataPlace = place(config.store)
  const store = await attempt(`open the data ${dataPlace}`, openStore(config.store))
  const gateway = await attempt(`use the data ${dataPlace}`, createGateway(store))
  // Logs go to stderr, so that a script can read the address from stdout.
  const app = buildApp(gateway, { bodyLimit, logger: { level: logLevel, stream: process.stderr } })
  const stopSweeping = sweepRegularly(gateway, error => app.log.error({ err: error }, 'a sweep failed'), SWEEP_EVERY)

  const close = async () => {
    await app.close()
    await stopSweeping()
    await store.close()
  }

  await attempt(`listen on ${authority(host, port)}`, app.listen({ host, port })).catch(async error => {
    await close()
    throw error
  })
  closeWithGrace({ delay: GRACE, logger: app.log }, async ({ err, signal }) => {
    if (signal === undefined) app.log.fatal({ err }, 'stopping because of an error that nobody caught')
    else app.log.info(`stopping because of ${signal}`)
    await close()
    // An error may be undefined, as in Promise.reject(), which close-with-grace would take for a wish to stop.
    if (signal === undefined) process.exit(FAILED)
  })
  // Fastify's server listens on a TCP port here, so its address is neither null nor a path.
  process.stdout.write(`${readyLine(VERSION, app.server.address() as AddressInfo, dataPlace)}\n`)
}

const reading = readConfig(process.argv.slice(2), process.env)
switch (reading.kind) {
  case 'help':
    process.stdout.write(reading.text)
    break
  case 'version':
    process.stdout.write(`${VERSION}\n`)
    break
  case 'faults':
    process.stderr.write(['holdfast: the configuration is wrong', ...reading.faults].join('\n  ') + '\nholdfast --help lists every setting.\n')
    process.exitCode = MISCONFIGURED
    break
  case 'config':
    await serve(reading.config).catch(error => {
      if (!(error instanceof StartError)) throw error
      process.stderr.write(`holdfast: ${error.message}\n`)
      process.exitCode = FAILED
    })
}
