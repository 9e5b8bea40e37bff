import pino, { type Logger } from 'pino'
import type { Config } from '../cli/settings.js'

/** The log of a process. It goes to stderr, so that a script can read the address from stdout. */
export function createLog ({ logLevel }: Pick<Config, 'logLevel'>): Logger {
  return pino({ level: logLevel, serializers: { err: shown } }, process.stderr)
}

/**
 * Of an error what can be shown to anybody, causes included. What libraries keep in theirs beside that can be a password or a
 * value, such as the arguments of the command that a server has refused.
 */
export function shown (error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { type, message, stack } = pino.stdSerializers.err(error)
  return { type, message, stack, ...'code' in error && { code: error.code } }
}
