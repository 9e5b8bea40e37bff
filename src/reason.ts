import { getSystemErrorMap } from 'node:util'
import { StatusError } from './status.js'

/** Why something failed, in words, its causes included: for an error of the operating system its own words, without call and code. */
export function reason (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // Its message is written for people, and its cause for the log.
  if (error instanceof StatusError) return error.message
  // Each address of a host was tried in turn.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reason).join(', ')
  const { errno } = error as NodeJS.ErrnoException // Only read: undefined on every other error.
  const words = (errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1]) ?? error.message
  return error.cause instanceof Error ? `${words}: ${reason(error.cause)}` : words
}

/**
 * What somebody wrote, as it may be shown to anybody: of a URL the scheme alone, since a password in it that is not encoded can
 * hold any character, and of `user:password@host` the host alone.
 */
export function masked (text: string): string {
  return text.replace(/:\/\/.*$/s, '://***').replace(/^.*:.*@/s, '***@')
}
