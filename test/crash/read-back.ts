import { cell, description } from './model.js'
import type { Connection } from './server.js'

/** How many keys are asked for at once. Values have up to 100 kB or so, and one command reads 16 MiB at most. */
const KEYS_AT_ONCE = 50

const TOKENS_AT_ONCE = 1_000

/** Sessions that are described in one request, with three commands each. */
const SESSIONS_AT_ONCE = 300

export interface Found {
  /** Everything that is in the sessions asked for. */
  readonly state: Map<string, string>
  /** What does not fit together: a count that is not the number of keys. */
  readonly faults: string[]
}

interface Info { name: string, shared: boolean, keyCnt: number, expiry: { duration: number, deleteSession: boolean, idle?: number } }

/**
 * Reads sessions and all their keys, with the exact texts of the values.
 *
 * @param tokens by label; sessions that do not exist are not in the result
 * @throws Error when the server answers with a failure
 */
export async function readBack (connection: Connection, tokens: ReadonlyMap<string, string>): Promise<Found> {
  const found: Found = { state: new Map(), faults: [] }
  const existing = await existingOf(connection, [...tokens.values()])
  const sessions = [...tokens].filter(([, tkn]) => existing.has(tkn))
  for (const some of chunks(sessions, SESSIONS_AT_ONCE)) {
    const replies = await ask(connection, '/commands', JSON.stringify(some.flatMap(([, tkn]) => [{ SH_INFO: { tkn } }, { KV_COUNT: { tkn } }, { KV_KEYS: { tkn } }])))
    // The replies of PROTOCOL 4, in the order asked; a failure has neither count nor keys, and shows below.
    const contents = (JSON.parse(replies) as object[]).map(reply => Object.values(reply)[0])
    for (const [index, [label, tkn]] of some.entries()) {
      const [info, { cnt }, { keys, cursor }] = contents.slice(3 * index) as [Info, { cnt: number }, { keys: string[], cursor?: string }]
      if (cursor !== undefined || !Array.isArray(keys) || info.expiry === undefined) throw new Error(`unexpected: ${JSON.stringify(contents.slice(3 * index, 3 * index + 3))}`)
      if (cnt !== keys.length || info.keyCnt !== keys.length) found.faults.push(`${label} has ${keys.length} keys, KV_COUNT says ${cnt} and SH_INFO ${info.keyCnt}`)
      found.state.set(label, description(info.name, info.shared, info.expiry))
      for (const [key, text] of await valuesOf(connection, tkn, keys)) {
        if (text === 'null') found.faults.push(`${label} lists ${JSON.stringify(key)} and has no value for it`)
        else found.state.set(cell(label, key), text)
      }
    }
  }
  return found
}

async function existingOf (connection: Connection, tokens: readonly string[]): Promise<Set<string>> {
  const existing: string[] = []
  for (const tkns of chunks(tokens, TOKENS_AT_ONCE)) {
    const reply = await ask(connection, '/command', JSON.stringify({ SH_EXISTS: { tkns } }))
    existing.push(...(JSON.parse(reply) as { SH_EXISTS_RSP: { exist: string[] } }).SH_EXISTS_RSP.exist) // PROTOCOL 4.
  }
  return new Set(existing)
}

async function valuesOf (connection: Connection, tkn: string, keys: readonly string[]): Promise<Map<string, string>> {
  const values = new Map<string, string>()
  for (const some of chunks(keys, KEYS_AT_ONCE)) {
    const reply = await ask(connection, '/command', JSON.stringify({ KV_GET: { tkn, keys: some } }))
    const content = members(members(reply).get('KV_GET_RSP') ?? '').get('keys')
    if (content === undefined) throw new Error(`unexpected: ${reply.slice(0, 300)}`)
    for (const [key, text] of members(content)) values.set(key, text)
  }
  return values
}

/** The totals of SH_INFO_ALL. */
export async function totals (connection: Connection): Promise<{ sessions: number, keys: number }> {
  const reply = JSON.parse(await ask(connection, '/command', '{"SH_INFO_ALL":{}}')) as { SH_INFO_ALL_RSP: { totalSessions: number, totalKeys: number } } // PROTOCOL 4.
  return { sessions: reply.SH_INFO_ALL_RSP.totalSessions, keys: reply.SH_INFO_ALL_RSP.totalKeys }
}

/** The token of a shared session; undefined when there is none of that name. */
export async function open (connection: Connection, name: string): Promise<string | undefined> {
  const reply = JSON.parse(await ask(connection, '/command', JSON.stringify({ SH_OPEN: { name } }))) as { SH_OPEN_RSP: { tkn: string | null } } // PROTOCOL 4.
  return reply.SH_OPEN_RSP.tkn ?? undefined
}

async function ask (connection: Connection, path: string, body: string): Promise<string> {
  const answer = await connection.send({ method: 'POST', path, body })
  if (answer.status !== 200) throw new Error(`${body.slice(0, 300)} was answered ${answer.status} ${answer.body.slice(0, 300)}`)
  return answer.body
}

function * chunks<T> (items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/y
const PLAIN = /[^"[\]{},]+/y

/**
 * The members of a JSON object in their exact text; of Holdfast's own scanner a test cannot ask it. White space is taken for
 * a part of the value: there has to be none.
 */
export function members (text: string): Map<string, string> {
  const found = new Map<string, string>()
  if (text === '{}') return found
  let at = 0
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at
    const match = pattern.exec(text)?.[0]
    if (match === undefined) throw new Error(`not the JSON that was expected, at ${at}: ${text.slice(at, at + 100)}`)
    at += match.length
    return match
  }
  while (text[at] === (found.size === 0 ? '{' : ',')) {
    at++
    const name = JSON.parse(take(STRING)) as string // The text is that of a string.
    if (text[at++] !== ':') throw new Error(`no colon at ${at - 1}`)
    const start = at
    let depth = 0
    do {
      const letter = text[at]
      if (letter === '"') take(STRING)
      else if (letter === '{' || letter === '[') { depth++; at++ } else if (letter === '}' || letter === ']') { depth--; at++ } else if (letter === ',') at++
      else take(PLAIN)
    } while (depth > 0)
    found.set(name, text.slice(start, at))
  }
  if (at !== text.length - 1 || text[at] !== '}') throw new Error(`no end of the object at ${at}: ${text.slice(at, at + 100)}`)
  return found
}
