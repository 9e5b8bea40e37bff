import { Type } from '@sinclair/typebox'
import { isLonger, keyFault, MAX_DURATION_S, MAX_NAME_BYTES } from '../limits.js'
import { optional, required } from '../protocol/param.js'
import { JsonValue, MapOf } from '../protocol/schema.js'
import type { StatusName } from '../status.js'

// Parameters and reply members that several commands share. A schema with an $id is a named component of the OpenAPI document.

/** The token in every example. */
export const EXAMPLE_TOKEN = 'p0Rt2zKqT1m3Zb7Xy9AeVw'

export const Token = Type.String({
  $id: 'Token',
  minLength: 1,
  description: 'Opaque string that gives access to one session. Keep it as secret as a password.',
})

export const Keys = MapOf(JsonValue, {
  $id: 'Keys',
  description: 'Values by key. A key is any string of at most 1,024 bytes in UTF-8.',
})

export const KeyNames = Type.Array(Type.String(), { $id: 'KeyNames', description: 'Names of keys.' })

export const KeyStatuses = MapOf(Type.Integer({ format: 'int32' }), {
  $id: 'KeyStatuses',
  description: 'For each key the status number of what was done to it, such as 20 (KeySet) or 21 (KeyUpdated).',
})

/** The reply of the commands that give each key a status of its own. */
export const statusReply = Type.Object({ tkn: Token, keys: KeyStatuses })

/** A time in whole seconds. */
export function seconds (description: string) {
  return Type.Integer({ minimum: 0, maximum: MAX_DURATION_S, format: 'int64', description })
}

export const Expiry = Type.Object({
  duration: seconds('Seconds from the session\'s start to its end; 0 for never.'),
  deleteSession: Type.Boolean({ description: 'On expiry: true ends the session; false removes its keys and starts its time again.' }),
  idle: Type.Optional(seconds('The session also expires when no key command used it for so many seconds; 0 for no such limit.')),
}, { $id: 'Expiry', additionalProperties: false, description: 'When a session expires, and what happens then: duration (whole seconds, 0 for never) and deleteSession (true or false) have to be there, idle (whole seconds) may be.' })

export const ExpiryInfo = Type.Object({
  expires: Type.Boolean({ description: 'Whether the session expires at all.' }),
  duration: seconds('Seconds from start to expiry; 0 for never.'),
  time: Type.Integer({ format: 'int64', description: 'Unix time in seconds of the expiry as things stand; 0 when the session never expires.' }),
  deleteSession: Type.Boolean({ description: 'Whether the session ends on expiry, or is only emptied.' }),
  idle: Type.Optional(seconds('Seconds without a key command after which the session expires too.')),
}, { $id: 'ExpiryInfo', additionalProperties: false, description: 'The expiry of a session as it stands.' })

export const st = Type.Integer({ format: 'int32', description: 'Status number; 1 is Ok.' })

/** A count, from 0. */
export function count (description: string) {
  return Type.Integer({ minimum: 0, format: 'int64', description })
}

export const name = Type.String({ description: 'The name of the session.' })

/** What is wrong with a session's name: its encoding, or its length in bytes (PROTOCOL 4, SH_NEW); undefined when nothing is. */
function nameFault (value: string): StatusName | undefined {
  if (!value.isWellFormed()) return 'ValueTypeInvalid'
  return value === '' || isLonger(value, MAX_NAME_BYTES) ? 'ValueSize' : undefined
}

function namesFault (names: readonly string[]): StatusName | undefined {
  return names.every(name => name.isWellFormed()) ? undefined : 'KeyTypeInvalid'
}

export const tknParam = required(Token, { missing: 'SessionTokenInvalid', wrong: 'SessionTokenInvalid' })

export const nameParam = required(
  Type.String({ description: 'Name of the session, 1 to 256 bytes in UTF-8.' }),
  { missing: 'ValueMissing', beyond: nameFault })

export const keysParam = required(Keys)

/** An array with items that are not strings has the right type, so it gets a status of its own: KeyTypeInvalid. */
export const keyNamesParam = (() => {
  const param = required(KeyNames, { beyond: namesFault })
  return {
    ...param,
    fault: (value: unknown): StatusName | undefined =>
      Array.isArray(value) && value.some(item => typeof item !== 'string') ? 'KeyTypeInvalid' : param.fault(value),
  }
})()

export const optionalKeyNamesParam = { ...keyNamesParam, optional: true as const }

export const keyParam = required(
  Type.String({ description: 'Name of the key.' }),
  { wrong: 'KeyTypeInvalid', beyond: key => keyFault(key) === 'KeyTypeInvalid' ? 'KeyTypeInvalid' : undefined })

export const expiryParam = optional(Expiry, { wrong: 'CommandSyntax' })
