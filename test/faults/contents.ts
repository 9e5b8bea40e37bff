// A store of every kind of content, and whether a server answers with exactly that.
import { members } from '../crash/read-back.js'
import { command, newSession, rest } from './client.js'

export const DAMAGED = 205

/** What a store has to have: by token, the name of the session and the texts of its values, by key. */
export type Contents = ReadonlyMap<string, { readonly name: string, readonly shared: boolean, readonly keys: Map<string, string> }>

/** Fills a store: values of all sizes, keys and sessions that were removed again, deadlines. */
export async function fill (url: string): Promise<Contents> {
  const contents = new Map<string, { name: string, shared: boolean, keys: Map<string, string> }>()

  async function session (name: string, params: object, count: number, value: (index: number) => string): Promise<string> {
    const tkn = await newSession(url, { name, ...params })
    const keys = new Map(Array.from({ length: count }, (_, index) => [`${name}.${index}`, value(index)]))
    contents.set(tkn, { name, shared: 'shared' in params, keys })
    const texts = [...keys].map(([key, text]) => `"${key}":${text}`)
    for (let at = 0; at < texts.length; at += 10) await rest(url, 'PUT', `/sessions/${tkn}/keys`, `{"keys":{${texts.slice(at, at + 10).join()}}}`)
    return tkn
  }

  async function remove (tkn: string, which: (index: number) => boolean): Promise<void> {
    const { keys } = contents.get(tkn)!
    const names = [...keys.keys()].filter((_, index) => which(index))
    for (const name of names) keys.delete(name)
    await command(url, 'KV_RMV', { tkn, keys: names })
  }

  const small = await session('small', {}, 350, index => `${9007199254740993n + BigInt(index)}`)
  const long = await session('long', { shared: true }, 60, index => `{"n":${index},"text":"${`long${index}.`.repeat(index * 30)}"}`)
  await session('huge', { expiry: { duration: 10_000_000, deleteSession: true } }, 1, () => `"${'huge.'.repeat(209_000)}"`)
  await session('idle', { expiry: { duration: 0, deleteSession: true, idle: 10_000_000 } }, 20, index => `[${index},1.10,1e400]`)
  const gone = await session('gone', {}, 150, index => `"${'gone.'.repeat(index)}"`)
  await session('empty', { expiry: { duration: 10_000_000, deleteSession: false } }, 0, () => '0')
  await remove(small, index => index % 7 === 0)
  await remove(long, index => index % 5 === 0)
  await command(url, 'SH_END', { tkn: gone })
  contents.delete(gone)
  for (let index = 0; index < 12; index++) await session(`one${index}`, index % 2 === 0 ? {} : { expiry: { duration: 10_000_000, deleteSession: true } }, 1, index => `${index}`)
  return contents
}

const KEYS_AT_ONCE = 100

export interface Survey {
  /** Answers that said that something is damaged. */
  damaged: number
  /** Answers that were anything else but right. */
  readonly wrong: string[]
}

/** Asks a server for everything that there has to be. @param secret whether shared sessions can be found by their names */
export async function survey (url: string, contents: Contents, secret: boolean): Promise<Survey> {
  const found: Survey = { damaged: 0, wrong: [] }

  function judge (content: Record<string, unknown>, what: string, expected: Record<string, unknown>): void {
    if (content['st'] === DAMAGED) found.damaged++
    else if (Object.entries(expected).some(([name, value]) => JSON.stringify(content[name]) !== JSON.stringify(value))) {
      found.wrong.push(`${what} is ${JSON.stringify(content).slice(0, 300)}`)
    }
  }

  const sessions = Array.from(contents, ([tkn, { name, shared, keys }]) => ({ tkn, name, shared, keys, names: [...keys.keys()].sort() }))
  const questions = sessions.flatMap(({ tkn, name, shared, keys, names }) => [
    { ask: { SH_INFO: { tkn } }, expected: { st: 1, name, shared, keyCnt: keys.size } },
    { ask: { KV_KEYS: { tkn } }, expected: { st: 1, keys: names } },
    { ask: { KV_CONTAINS: { tkn, keys: names } }, expected: { st: 1, keys: Object.fromEntries(names.map(key => [key, true])) } },
    ...shared && secret ? [{ ask: { SH_OPEN: { name } }, expected: { st: 1, tkn } }] : [],
  ])
  const { text } = await rest(url, 'POST', '/commands', JSON.stringify(questions.map(({ ask }) => ask)))
  const replies = JSON.parse(text) as object[] // PROTOCOL 5.
  for (const [index, { ask, expected }] of questions.entries()) judge(Object.values(replies[index]!)[0], JSON.stringify(ask).slice(0, 100), expected)
  for (const { tkn, keys, names } of sessions) {
    for (let at = 0; at < names.length; at += KEYS_AT_ONCE) await values(tkn, keys, names.slice(at, at + KEYS_AT_ONCE))
  }
  return found

  async function values (tkn: string, keys: ReadonlyMap<string, string>, some: readonly string[]): Promise<void> {
    const { text } = await rest(url, 'POST', '/command', JSON.stringify({ KV_GET: { tkn, keys: some } }))
    const content = members(text).get('KV_GET_RSP') ?? '{}'
    const got = members(content).get('keys')
    if (got !== undefined) {
      const texts = members(got)
      for (const key of some) if (texts.get(key) !== keys.get(key)) found.wrong.push(`${key} is ${texts.get(key)?.slice(0, 100)}`)
    } else if (members(content).get('st') !== `${DAMAGED}`) {
      found.wrong.push(`KV_GET is ${text.slice(0, 300)}`)
    } else if (some.length > 1) {
      for (const key of some) await values(tkn, keys, [key])
    } else {
      found.damaged++
      const { status } = await rest(url, 'GET', `/sessions/${tkn}/keys/${some[0]}`)
      if (status !== 500) found.wrong.push(`GET ${some[0]} is ${status}`)
    }
  }
}
