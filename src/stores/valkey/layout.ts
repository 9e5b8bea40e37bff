import { randomBytes } from 'node:crypto'
import { deadline, type Session, type SessionId } from '../../session.js'
import { StatusError } from '../../status.js'

// The layout of the data in the engine. The documentation tells users how to read a session with the engine's own tools.
//
// A session is one hash, so that it is in one slot of a cluster, and one command of the engine sees all of it:
//
//   <prefix>:{<SHA-256 of the token in hexadecimal>}
//     <key of the session, in UTF-8>   the value: the JSON text itself
//     \xFFt                            "<deadline> <idle> <duration> <deleteSession> <shared> <startedAt> <usedAt>": milliseconds
//                                      since the Unix epoch or 0 for never, seconds, seconds, 0 or 1, 0 or 1, milliseconds, milliseconds
//     \xFFn                            the session's name
//     \xFFv                            its version: random, and another one after every change of a key or of the session
//     \xFFc                            seldom there: which gateway has the lease, and until when, where several change it at once
//
// No key of a session begins with the byte FF, which stands nowhere in UTF-8. The hash has the engine's own expiry, ENGINE_GRACE_MS after the deadline.
// A session that stays when its keys are gone has, while it has a deadline, a companion: a second key, a string, which never expires:
//
//   <prefix>:{<SHA-256 of the token>}:stay     "<as \xFFt> <name>"
//
// The companion is of use only when the engine has dropped the hash. No other session has one, and a script is not told of it as a
// key: while a slot moves from one node of a cluster to another, the engine refuses a script that has a key which is not there.
//
// And the secret that shared tokens are derived with is <prefix>:secret, a string in base64url.

/** Milliseconds from a session's deadline until the engine itself drops its hash: clocks differ, and gateways go by the deadline. */
export const ENGINE_GRACE_MS = 30_000

/** The field that says how long a session lasts. */
export const TIMES = Buffer.from([0xff, 't'.charCodeAt(0)])

/** The names of the engine's keys of a session: its hash and its companion. */
export function keysOf (prefix: string, id: SessionId): readonly [hash: string, companion: string] {
  const hash = `${prefix}:{${id}}`
  return [hash, `${hash}:stay`]
}

/** Matches the engine's keys of all sessions, as SCAN takes it. */
export function patternOf (prefix: string): string {
  return `${prefix}:{*`
}

/** Which session a key of the engine belongs to; undefined when it is none of ours. */
export function idOf (prefix: string, key: string): { readonly id: SessionId, readonly isCompanion: boolean } | undefined {
  const [, id, rest] = /^:\{([0-9a-f]{64})\}(:stay)?$/.exec(key.startsWith(prefix) ? key.slice(prefix.length) : '') ?? []
  // As SessionId is defined.
  return id === undefined ? undefined : { id: id as SessionId, isCompanion: rest !== undefined }
}

export function secretKey (prefix: string): string {
  return `${prefix}:secret`
}

/** No other process has the same. */
const PROCESS = randomBytes(6).toString('base64url')

let versions = 0

/** A version that no session has had before, or a name that no other gateway has. */
export function newVersion (): string {
  return PROCESS + (versions++).toString(36)
}

/** What is kept of a session beside its name. */
export function timesOf (session: Session): string {
  const { duration, idle, deleteSession, shared, startedAt, usedAt } = session
  const due = deadline(session)
  return `${due === Infinity ? 0 : due} ${idle} ${duration} ${Number(deleteSession)} ${Number(shared)} ${startedAt} ${usedAt}`
}

/** Whether a session of these times is over at `now`, to end or to be emptied. */
export function isDue (times: string, now: number): boolean {
  const due = Number.parseInt(times)
  return due > 0 && due <= now
}

/** @throws {StatusError} DataDamaged when somebody else wrote it */
export function sessionOf (times: string, name: string): Session {
  const [, idle = NaN, duration = NaN, deletes = NaN, shared = NaN, startedAt = NaN, usedAt = NaN] = times.split(' ').map(Number)
  if (!Number.isFinite(duration + idle + deletes + shared + startedAt + usedAt)) throw new StatusError('DataDamaged')
  return { name, shared: shared === 1, duration, idle, deleteSession: deletes === 1, startedAt, usedAt }
}
