import { reason } from '../../../reason.js'
import { StatusError } from '../../../status.js'

/** Nothing was changed: the command was not sent, or it only reads. */
export class NotSentError extends Error {}

/** The connection was lost, or the time ran out, after a change was sent: nobody knows whether it was made. */
export class LostError extends Error {}

/** An answer of the engine that is an error. `code` is its first word, such as `MOVED`. It never holds what was sent. */
export class EngineError extends Error {
  constructor (readonly code: string, message: string) {
    super(message)
  }
}

/** Older engines wrap the error of a command within a script in one of their own. */
const WITHIN_SCRIPT = /^ERR Error running script.*?: -?(?=[A-Z]{2,}[ :])/s

/** What a server repeats of a command that it does not know: of AUTH that is a password. */
const ARGUMENTS = /, with args beginning with: .*$/s

/**
 * The error that the client library rejected with, without the command that the library attaches to it: that may hold a
 * password, or data of a session.
 */
export function engineError (error: unknown): EngineError {
  const message = reason(error).replace(WITHIN_SCRIPT, '').replace(ARGUMENTS, '')
  return new EngineError(/^[A-Z]{2,}/.exec(message)?.[0] ?? 'ERR', message)
}

const UNKNOWN = 'The store was lost before it answered: whether a change was made is not known.'
const OUT_OF_REACH = 'The store cannot be reached, or did not answer in time: nothing was changed.'
const REFUSED = 'The store cannot do this at the moment, and the log says why: nothing was changed.'
const FULL = 'The store has no memory left: nothing was changed. Reading goes on.'

/** The error that a request is answered with when its call of the engine failed. An error of another kind stays as it is. */
export function statusOf (error: unknown): unknown {
  if (error instanceof LostError) return new StatusError('StoreUnavailable', '', UNKNOWN, { cause: error })
  if (error instanceof NotSentError) return new StatusError('StoreUnavailable', '', OUT_OF_REACH, { cause: error })
  if (!(error instanceof EngineError)) return error
  const { code } = error
  if (code === 'OOM') return new StatusError('LimitExceeded', '', FULL, { cause: error })
  if (code === 'DAMAGED') return new StatusError('DataDamaged', '', undefined, { cause: error })
  return new StatusError('StoreUnavailable', '', REFUSED, { cause: error })
}

/** Rejects in place of a command that only reads, of which nobody has to be told that a change may have been made. */
export function nothingChanged (error: unknown): never {
  throw error instanceof LostError ? new NotSentError(error.message) : error
}

/** The codes of answers that mean: not now. Nothing was done, and a little later, or elsewhere, it can be. */
const TRANSIENT = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'LOADING', 'MASTERDOWN', 'READONLY', 'BUSY', 'NOREPLICAS'])

/** What an engine says when a script uses a key that is on another server while the slot of both moves. */
const APART = 'non local key'

export function isTransient ({ code, message }: EngineError): boolean {
  return TRANSIENT.has(code) || message.includes(APART)
}

/** Where a cluster says that a slot is: for good (MOVED), or for this one command (ASK). */
export interface Redirection { readonly isAsk: boolean, readonly slot: number, readonly host: string, readonly port: number }

export function redirectionOf (error: unknown): Redirection | undefined {
  if (!(error instanceof EngineError)) return undefined
  const [, kind, slot, host = '', port] = /^(MOVED|ASK) (\d+) (.*):(\d+)$/.exec(error.message) ?? []
  return kind === undefined ? undefined : { isAsk: kind === 'ASK', slot: Number(slot), host, port: Number(port) }
}
