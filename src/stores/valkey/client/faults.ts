import { reason } from '../../../reason.js'
import { StatusError } from '../../../status.js'

/** The connection was not there, and nothing was sent. */
export class NotSentError extends Error {}

/** The connection was lost, or the time ran out, after something was sent: whether it was done is not known. */
export class LostError extends Error {}

/** An answer of the engine that is an error. `code` is its first word, such as `MOVED`. It never holds what was sent. */
export class EngineError extends Error {
  constructor (readonly code: string, message: string) {
    super(message)
  }
}

/** Older engines put the error of a command within a script into one of their own. */
const WITHIN_SCRIPT = /^ERR Error running script.*?: -?(?=[A-Z]{2,}[ :])/s

/** What a server that does not know a command repeats of it: a password, where that is AUTH. */
const ARGUMENTS = /, with args beginning with: .*$/s

/**
 * What the client library rejected with, without the command that it hangs on to its errors: that may be a password, or
 * data of a session.
 */
export function engineError (error: unknown): EngineError {
  const message = reason(error).replace(WITHIN_SCRIPT, '').replace(ARGUMENTS, '')
  return new EngineError(/^[A-Z]{2,}/.exec(message)?.[0] ?? 'ERR', message)
}

const UNKNOWN = 'The store was lost before it answered: whether a change was made is not known.'
const OUT_OF_REACH = 'The store cannot be reached, or did not answer in time: nothing was changed.'
const REFUSED = 'The store cannot do this at the moment, and the log says why: nothing was changed.'
const FULL = 'The store has no memory left: nothing was changed. Reading goes on.'

/** What a request is answered with whose step failed; what is no fault of the engine as it is. @param changes whether the step may change something */
export function statusOf (error: unknown, changes: boolean): unknown {
  if (error instanceof LostError) return new StatusError('StoreUnavailable', '', changes ? UNKNOWN : OUT_OF_REACH, { cause: error })
  if (error instanceof NotSentError) return new StatusError('StoreUnavailable', '', OUT_OF_REACH, { cause: error })
  if (!(error instanceof EngineError)) return error
  const { code } = error
  if (code === 'OOM') return new StatusError('LimitExceeded', '', FULL, { cause: error })
  if (code === 'DAMAGED') return new StatusError('DataDamaged', '', undefined, { cause: error })
  return new StatusError('StoreUnavailable', '', REFUSED, { cause: error })
}

/** Answers that mean: not now. Nothing was done, and a little later, or elsewhere, it can be. */
const TRANSIENT = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'LOADING', 'MASTERDOWN', 'READONLY', 'BUSY', 'NOREPLICAS'])

/** Of a script that would use a key which is on another server while the slot of both moves. */
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
