import { compareCodePoints } from '../json/codepoint.js'
import { JsonError } from '../json/lexer.js'
import { decodeString, MAX_DEPTH, scan, scanText, type Document, type Node, type Opens } from '../json/scanner.js'
import type { JsonText } from '../json/text.js'
import { GREATEST_BODY_BYTES, isLonger, keyFault, MAX_DURATION_S, MAX_KEY_BYTES, MAX_NAME_BYTES } from '../limits.js'
import type { SessionCopy, SessionId } from '../session.js'
import { quoted, size } from './words.js'

// An export, format 1, is text in UTF-8, and every line of it is a JSON object:
//
//   {"holdfast":"export","format":1,"exportedAtMs":1796000000000}
//   {"id":"…","name":"basket","shared":false,"expiry":{"duration":3600,"idle":0,"deleteSession":true,
//     "startedAtMs":1796000000000,"usedAtMs":1796000000000},"keys":{"visits":2,"cart":["tea"]}}     (in one line, for each session)
//   {"holdfast":"end"}
//
// `id` is the SHA-256 of the token in hexadecimal, durations are seconds, what ends in Ms is milliseconds since the Unix
// epoch. A value is the exact text that was stored, but for line ends, which can only stand between its tokens. The last
// line is there because a text that was cut off between two lines would otherwise be taken for a smaller export.

export const EXPORT_FORMAT = 1
export const END_LINE = '{"holdfast":"end"}'

/** Bytes of a line: one that is longer could not be read into memory on an ordinary machine. */
export const MAX_LINE_BYTES = 2 ** 30

/** What is wrong with a line. The message names the member, and never a value. */
export class LineFault extends Error {}

export function headerLine (now: number): string {
  return `{"holdfast":"export","format":${EXPORT_FORMAT},"exportedAtMs":${now}}`
}

/** A session whose keys are gone through once. */
export type SessionParts = Pick<SessionCopy, 'id' | 'session'> & { readonly keys: Iterable<readonly [string, JsonText]> }

/** The line of a session in pieces, none longer than a key and its value, without the line end. */
export function * sessionLine ({ id, session, keys }: SessionParts): Generator<string> {
  const { name, shared, duration, idle, deleteSession, startedAt, usedAt } = session
  const expiry = JSON.stringify({ duration, idle, deleteSession, startedAtMs: startedAt, usedAtMs: usedAt })
  yield `{"id":"${id}","name":${JSON.stringify(name)},"shared":${shared},"expiry":${expiry},"keys":{`
  let comma = ''
  for (const [key, value] of keys) {
    yield `${comma}${JSON.stringify(key)}:${value.replace(/[\r\n]+/g, '')}`
    comma = ','
  }
  yield '}}'
}

/** Whether a line with this session can be imported, whatever its keys are. */
export function isFitSession (parts: Pick<SessionCopy, 'id' | 'session'>): boolean {
  try {
    parseSession(Buffer.from([...sessionLine({ ...parts, keys: [] })].join('')))
    return true
  } catch (error) {
    if (!(error instanceof LineFault)) throw error
    return false
  }
}

/** Whether a line with this key can be imported. */
export function isFitKey (key: string, value: JsonText): boolean {
  if (keyFault(key) !== undefined) return false
  try {
    return valueFault(scanText(value, undefined).root) === undefined
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return false
  }
}

/** @throws {LineFault} when the line is not the one that an export of this format begins with */
export function checkExportHeader (bytes: Buffer): void {
  if (markOf(bytes) !== '"export"') throw new LineFault('is not what an export begins with')
  const document = scanLine(bytes)
  if (memberOf(document, 'format') !== String(EXPORT_FORMAT)) throw new LineFault(`format: this version of Holdfast reads format ${EXPORT_FORMAT}`)
  whole(fieldsOf(document, document.root, '', ['holdfast', 'format', 'exportedAtMs']).exportedAtMs, Number.MAX_SAFE_INTEGER)
}

/** Whether the line is the one that an export ends with. */
export function isEnd (bytes: Buffer): boolean {
  // Somebody may have put spaces between its tokens, but it is far from being as long as any session.
  return bytes.length <= 2 * END_LINE.length && markOf(bytes) === '"end"'
}

/** What tells the first and the last line from the others. */
function markOf (bytes: Buffer): string | undefined {
  try {
    return memberOf(scanLine(bytes), 'holdfast')
  } catch {
    return undefined
  }
}

function memberOf (document: Document, name: string): string | undefined {
  const { names, items } = document.root
  const item = items?.[names?.indexOf(name) ?? -1]
  return item && document.text(item)
}

/** @throws {LineFault} when the line is no session that a store of Holdfast could have held */
export function parseSession (bytes: Buffer): SessionCopy {
  const document = scanLine(bytes)
  const fields = fieldsOf(document, document.root, '', ['id', 'name', 'shared', 'expiry', 'keys'])
  const expiry = fieldsOf(document, fields.expiry.node, 'expiry', ['duration', 'idle', 'deleteSession', 'startedAtMs', 'usedAtMs'])
  return {
    id: idOf(fields.id),
    session: {
      name: nameOf(fields.name),
      shared: boolean(fields.shared),
      duration: whole(expiry.duration, MAX_DURATION_S),
      idle: whole(expiry.idle, MAX_DURATION_S),
      deleteSession: boolean(expiry.deleteSession),
      startedAt: whole(expiry.startedAtMs, Number.MAX_SAFE_INTEGER),
      usedAt: whole(expiry.usedAtMs, Number.MAX_SAFE_INTEGER),
    },
    keys: keysOf(document, fields.keys.node),
  }
}

/** The line, its members, and theirs; what lies deeper stays closed. */
const OPENS: Opens = member => member === 'expiry' || member === 'keys' ? () => undefined : undefined

function scanLine (bytes: Buffer): Document {
  try {
    // A value stands two levels deeper here than by itself.
    return scan(bytes, OPENS, MAX_DEPTH + 2)
  } catch (error) {
    throw error instanceof JsonError ? new LineFault(`is not JSON: ${error.message}`) : error
  }
}

/** More bytes than any member has whose text is asked for: a name of which every byte is written as an escape has fewer. */
const LONG_BYTES = 2048

/** A member of an object. */
interface Field {
  /** What faults call it. */
  readonly path: string
  readonly node: Node
  /** Its JSON text, but no more than the beginning of one that is too long for anything; a string then has no end. */
  readonly text: string
}

/** The members of an object that has to have each of `names` once, and no others. */
function fieldsOf<Name extends string> (document: Document, { names, items }: Node, path: string, known: readonly Name[]): Record<Name, Field> {
  if (names === undefined || items === undefined) throw new LineFault(`${path || 'it'}: must be an object`)
  const prefix = path && `${path}.`
  const found = new Map<string, Field>()
  for (const [index, node] of items.entries()) {
    const name = names[index] as string // Names and items go in pairs.
    if (!known.some(other => other === name)) throw new LineFault(`${prefix}${quoted(name)}: there is no such member`)
    if (found.has(name)) throw new LineFault(`${prefix}${name}: stands twice`)
    found.set(name, { path: prefix + name, node, text: document.slice(node.start, Math.min(node.end, node.start + LONG_BYTES)) })
  }
  const missing = known.find(name => !found.has(name))
  if (missing !== undefined) throw new LineFault(`${prefix}${missing}: is missing`)
  return Object.fromEntries(found) as Record<Name, Field> // None is missing.
}

function boolean ({ path, node, text }: Field): boolean {
  if (node.kind !== 'boolean') throw new LineFault(`${path}: must be true or false`)
  return text === 'true'
}

function whole ({ path, text }: Field, most: number): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Infinity
  if (number > most) throw new LineFault(`${path}: must be a whole number from 0 to ${most}`)
  return number
}

function idOf ({ path, text }: Field): SessionId {
  if (!/^"[0-9a-f]{64}"$/.test(text)) throw new LineFault(`${path}: must be 64 lower-case hexadecimal digits, the SHA-256 of a token`)
  return text.slice(1, -1) as SessionId // As SessionId is defined.
}

function nameOf ({ path, node, text }: Field): string {
  // The cast stands for: text that is not cut is JSON.
  const name = node.kind === 'string' && node.end - node.start <= LONG_BYTES ? decodeString(text as JsonText) : ''
  if (name === '' || !name.isWellFormed() || isLonger(name, MAX_NAME_BYTES)) {
    throw new LineFault(`${path}: must be a string of well-formed Unicode, 1 to ${MAX_NAME_BYTES} bytes long`)
  }
  return name
}

function keysOf (document: Document, { names, items }: Node): ReadonlyMap<string, JsonText> {
  if (names === undefined || items === undefined) throw new LineFault('keys: must be an object')
  const keys = new Map<string, JsonText>()
  let sorted = true
  let last: string | undefined
  for (const [index, key] of names.entries()) {
    const node = items[index] as Node // Names and items go in pairs.
    const fault = keyFault(key) !== undefined
      ? `must be well-formed Unicode of at most ${MAX_KEY_BYTES} bytes`
      : keys.has(key) ? 'stands twice' : valueFault(node)
    if (fault !== undefined) throw new LineFault(`keys, ${quoted(key)}: ${fault}`)
    if (last !== undefined && sorted) sorted = compareCodePoints(last, key) < 0
    last = key
    keys.set(key, document.text(node))
  }
  return sorted ? keys : new Map([...keys].sort(([a], [b]) => compareCodePoints(a, b)))
}

function valueFault ({ kind, start, end }: Node): string | undefined {
  if (kind === 'null') return 'null is not a value'
  return end - start > GREATEST_BODY_BYTES ? `the value is longer than ${size(GREATEST_BODY_BYTES)}` : undefined
}
