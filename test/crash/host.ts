// The program that hosted.ts starts: serves one directory after the other, each with a server of its own, as it is told to.
import { inspect } from 'node:util'
import pino from 'pino'
import { StartError } from '../../src/process/lifecycle.js'
import { startOfTime } from '../../src/clock.js'
import { readConfig } from '../../src/cli/config.js'
import { startServer, type Server } from '../../src/process/server.js'
import type { Said } from './hosted.js'

let server: Server
let written = ''
const log = pino({ level: 'warn' }, { write: line => { written += line } })

async function start (directory: string): Promise<Said> {
  const reading = readConfig(['--port', '0', '--store', `lmdb:${directory}`], {})
  if (reading.kind !== 'config') throw new Error(`${directory} cannot be that of a store`)
  written = ''
  try {
    server = await startServer(reading.config, log, startOfTime(message => log.warn(message)))
    server.sweep()
    return { port: server.address.port }
  } catch (error) {
    // What is not a StartError would be shown with its stack.
    return { code: 1, stderr: error instanceof StartError ? `holdfast: ${error.message}\n` : inspect(error) }
  }
}

async function stop (): Promise<Said> {
  try {
    await server.close()
    return { code: 0, stderr: written }
  } catch (error) {
    return { code: 1, stderr: written + inspect(error) }
  }
}

process.on('message', async (directory: string) => process.send!(directory === '' ? await stop() : await start(directory)))
// The last words of a store that cannot go on.
process.on('exit', () => process.stderr.write(written))
