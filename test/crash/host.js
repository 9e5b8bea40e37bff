// The process that hosted.ts starts: serves one directory after the other, each with a server of its own, as it is told to.
import { inspect } from 'node:util'
import pino from 'pino'
import { StartError } from '../../dist/src/cli.js'
import { startOfTime } from '../../dist/src/clock.js'
import { readConfig } from '../../dist/src/config.js'
import { startServer } from '../../dist/src/server.js'

let server
let written = ''
const log = pino({ level: 'warn' }, { write: line => { written += line } })

async function start (directory) {
  const { config } = readConfig(['--port', '0', '--store', `lmdb:${directory}`], {})
  written = ''
  try {
    server = await startServer(config, log, startOfTime(message => log.warn(message)), 'owner')
    server.sweep()
    return { port: server.address.port }
  } catch (error) {
    // What is not a StartError would be shown with its stack.
    return { code: 1, stderr: error instanceof StartError ? `holdfast: ${error.message}\n` : inspect(error) }
  }
}

async function stop () {
  try {
    await server.close()
    return { code: 0, stderr: written }
  } catch (error) {
    return { code: 1, stderr: written + inspect(error) }
  }
}

process.on('message', async directory => process.send(directory === '' ? await stop() : await start(directory)))
// The last words of a store that cannot go on.
process.on('exit', () => process.stderr.write(written))
