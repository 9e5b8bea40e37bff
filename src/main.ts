#!/usr/bin/env node
import { BAD_INPUT, FAILED } from './exit-codes.js'
import { StartError } from './process/lifecycle.js'
import { readConfig } from './cli/config.js'
import type { Config } from './cli/settings.js'
import { VERSION } from './version.js'

/** Serves with as many processes as the configuration asks for, and loads only what that needs. @throws StartError */
async function serve (config: Config): Promise<void> {
  // It would end the process until somebody listens, also while the data is checked.
  process.on('SIGHUP', () => {})
  if (config.workers === 1) {
    const { serveAlone } = await import('./process/server.js')
    await serveAlone(config)
  } else {
    const { serveWithWorkers } = await import('./process/primary.js')
    await serveWithWorkers(config)
  }
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
    process.stderr.write(reading.text)
    process.exitCode = BAD_INPUT
    break
  case 'command': {
    const { runCommand } = await import('./cli/run-subcommand.js')
    const { dataOf } = await import('./stores/table.js')
    const stopping = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort(new Error(`interrupted by ${signal}`)))
    const { stdin, stdout, stderr } = process
    process.exitCode = await runCommand(reading.command, { stdin, stdout, stderr, dataOf, now: Date.now, signal: stopping.signal })
    break
  }
  case 'config':
    await serve(reading.config).catch(error => {
      if (!(error instanceof StartError)) throw error
      process.stderr.write(`holdfast: ${error.message}\n`)
      process.exitCode = FAILED
    })
}
