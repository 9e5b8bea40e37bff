import { createHmac, hash, randomBytes, randomFillSync } from 'node:crypto'
import type { Awaitable } from '../awaitable.js'
import { clockFrom, thisMoment } from '../clock.js'
import { JsonError } from '../json/lexer.js'
import type { Access, SessionId, SessionStore } from '../session.js'
import { StatusError } from '../status.js'

/** Bytes of a token before it is written as base64url. */
const TOKEN_BYTES = 16
const SECRET_BYTES = 32

/** Random bytes are asked for so many tokens at once: the call takes 10 µs, whether for one or for all. */
const TOKENS_AT_ONCE = 64

/** All that a command may touch: the store, the clock, and where tokens come from. */
export interface Gateway {
  readonly store: SessionStore
  /** Whole milliseconds since the Unix epoch; it never goes back. */
  now (): number
  /** A token of 128 random bits, 22 characters of base64url. */
  newToken (): string
  /** The token of the shared session of this name, the same on every gateway in front of the same store. */
  sharedToken (name: string): Promise<string>
}

export interface GatewayOptions {
  /** The wall clock at the start and the time elapsed since, unless given. */
  readonly now?: () => number
  readonly newToken?: () => string
}

/**
 * A gateway in front of a store, whose secret it reads (or makes) first; that of a store that has to be waited for when it is
 * needed for the first time.
 */
export async function createGateway (store: SessionStore, options: GatewayOptions = {}): Promise<Gateway> {
  const secret = once(async () => await store.secret(() => randomBytes(SECRET_BYTES)))
  if (store.opened === undefined) await secret()
  return {
    store,
    now: options.now ?? clockFrom(thisMoment()),
    newToken: options.newToken ?? randomTokens(),
    sharedToken: async name => createHmac('sha256', await secret()).update(name).digest().subarray(0, TOKEN_BYTES).toString('base64url'),
  }
}

/** Makes tokens of random bytes; no byte goes into two of them, and none is kept once its token is made. */
function randomTokens (): () => string {
  const pool = Buffer.alloc(TOKEN_BYTES * TOKENS_AT_ONCE)
  let used = pool.length
  return () => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    const bytes = pool.subarray(used, used += TOKEN_BYTES)
    const token = bytes.toString('base64url')
    bytes.fill(0)
    return token
  }
}

/** Fetches something at the first need of it and keeps it; what could not be fetched is tried again at the next. */
function once<T> (fetch: () => Promise<T>): () => Promise<T> {
  let fetched: Promise<T> | undefined
  return async () => await (fetched ??= fetch().catch(error => {
    fetched = undefined
    throw error
  }))
}

/** What stores know a session by. */
export function sessionId (token: string): SessionId {
  return hash('sha256', token, 'hex') as SessionId // As SessionId is defined.
}

/** One atomic step on the session of a token, answered when the store answers it. @throws {StatusError} SessionNotExist, DataDamaged */
export function access<T> (gateway: Gateway, token: string, step: Access<T>): Awaitable<T> {
  let done
  try {
    done = gateway.store.access(sessionId(token), gateway.now(), step)
  } catch (error) {
    return hideValue(error)
  }
  return done instanceof Promise ? done.then(replyOf, hideValue) : replyOf(done)
}

function replyOf<T> (done: { readonly reply: T } | undefined): T {
  if (done === undefined) throw new StatusError('SessionNotExist')
  return done.reply
}

/** A value that is no JSON was put there by somebody else. The error of a parser holds some of it, which is not for the log. */
function hideValue (error: unknown): never {
  throw error instanceof SyntaxError || error instanceof JsonError ? new StatusError('DataDamaged') : error
}
