import { getSystemErrorMap } from 'node:util'
import { StatusError } from './status.js'

/** Why something failed, in words, with its causes. An error of the operating system is told in the system's own words, without call and code. */
export function reason (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // The message of a StatusError is for people; its cause is for the log.
  if (error instanceof StatusError) return error.message
  // Node tries each address of a host in turn, and gives one error for each.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reason).join(', ')
  const { errno } = error as NodeJS.ErrnoException // Only read: undefined on every other error.
  const words = (errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]) ?? error.message
  return error.cause instanceof Error ? `${words}: ${reason(error.cause)}` : words
}

/**
 * A text from the command line or the environment without the password that may stand in it: of a URL the scheme alone, since an
 * unencoded password can hold any character; of `user:password@host` the host alone.
 */
export function masked (text: string): string {
  return text.replace(/:\/\/.*$/s, '://***').replace(/^.*:.*@/s, '***@')
}
