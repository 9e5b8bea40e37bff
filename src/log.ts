import pino, { type Logger } from 'pino'
import type { Config } from './config.js'

/** The log of a process. It goes to stderr, so that a script can read the address from stdout. */
export function createLog ({ logLevel }: Pick<Config, 'logLevel'>): Logger {
  return pino({ level: logLevel }, process.stderr)
}
