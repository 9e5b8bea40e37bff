#!/usr/bin/env node
import { availableParallelism } from 'node:os'
import { FAILED, MISCONFIGURED, StartError } from './process/lifecycle.js'
import { readConfig } from './cli/config.js'
import type { Config } from './cli/settings.js'
import { parseStoreUrl } from './stores/table.js'
import { VERSION } from './version.js'

/** Serves with as many processes as are asked for. What is not needed for that is not even loaded. @throws StartError */
async function serve (config: Config): Promise<void> {
  const count = config.workers === 'auto' ? availableParallelism() : Number(config.workers)
  if (count === 1) {
    const { serveAlone } = await import('./process/server.js')
    await serveAlone(config)
  } else if (parseStoreUrl(config.store).kind === 'memory') {
    refuse(`holdfast: the configuration is wrong
  --workers: ${count} processes cannot share what one of them has in memory: take --workers 1 or another --store
holdfast --help lists what there is.
`)
  } else {
    const { serveWithWorkers } = await import('./process/primary.js')
    await serveWithWorkers(config, count)
  }
}

/** @param text what is wrong with the configuration */
function refuse (text: string): void {
  process.stderr.write(text)
  process.exitCode = MISCONFIGURED
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
    refuse(reading.text)
    break
  case 'command': {
    const { runCommand } = await import('./cli/run-data-command.js')
    const { dataStores } = await import('./stores/data-stores.js')
    const stopping = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort(new Error(`interrupted by ${signal}`)))
    const { stdin, stdout, stderr } = process
    process.exitCode = await runCommand(reading.command, { stdin, stdout, stderr, stores: dataStores, now: Date.now, signal: stopping.signal })
    break
  }
  case 'config':
    await serve(reading.config).catch(error => {
      if (!(error instanceof StartError)) throw error
      process.stderr.write(`holdfast: ${error.message}\n`)
      process.exitCode = FAILED
    })
}
