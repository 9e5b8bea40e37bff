// Requests, and a ledger of what was acknowledged.
import { once } from 'node:events'
import { Agent, request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { cell } from '../crash/model.js'
import { readBack } from '../crash/read-back.js'
import { connect } from '../crash/server.js'

export interface Reply { readonly status: number, readonly headers: IncomingHttpHeaders, readonly text: string }

/** Not fetch(), which takes three times the time, for some ten thousand requests. */
const agent = new Agent({ keepAlive: true })

/** @param body JSON */
export async function rest (url: string, method: string, path: string, body?: string): Promise<Reply> {
  const sent = request(url + path, { agent, method, ...body !== undefined && { headers: { 'content-type': 'application/json' } } })
  sent.end(body)
  const [response] = await once(sent, 'response') as [IncomingMessage] // As the event is documented.
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

/** Sends an envelope; the content of the reply to it. */
export async function command (url: string, name: string, params: object): Promise<Record<string, unknown>> {
  const { text } = await rest(url, 'POST', '/command', JSON.stringify({ [name]: params }))
  const reply = JSON.parse(text) as Record<string, Record<string, unknown>> // PROTOCOL 2.
  return reply[`${name}_RSP`] ?? { unexpected: text }
}

/** A session's token. */
export async function newSession (url: string, params: object = {}): Promise<string> {
  return (await command(url, 'SH_NEW', { name: 'faults', ...params }))['tkn'] as string // PROTOCOL 4.
}

/** One session, with what was acknowledged of it. */
export interface Ledger {
  readonly tkn: string
  /** The texts of all values that have to be there, by key. */
  readonly acknowledged: ReadonlyMap<string, string>
  put (url: string, key: string, text: string): Promise<Reply>
  remove (url: string, key: string): Promise<Reply>
  /** What is not exactly as it was acknowledged. @param uncertain a key that may have that value or not */
  faults (url: string, uncertain?: { readonly key: string, readonly text: string }): Promise<string[]>
}

export function ledgerOf (tkn: string): Ledger {
  const acknowledged = new Map<string, string>()
  const path = (key: string) => `/sessions/${tkn}/keys/${encodeURIComponent(key)}`
  return {
    tkn,
    acknowledged,
    async put (url, key, text) {
      const reply = await rest(url, 'PUT', path(key), `{"value":${text}}`)
      if (reply.status === 201 || reply.status === 204) acknowledged.set(key, text)
      return reply
    },
    async remove (url, key) {
      const reply = await rest(url, 'DELETE', path(key))
      if (reply.status === 204) acknowledged.delete(key)
      return reply
    },
    async faults (url, uncertain) {
      const connection = connect(url)
      const { state, faults } = await readBack(connection, new Map([['s', tkn]])).finally(() => connection.close())
      const found = new Map([...state].filter(([name]) => name !== 's').map(([name, text]) => [name.slice(cell('s', '').length), text]))
      for (const key of new Set([...acknowledged.keys(), ...found.keys()])) {
        const text = found.get(key)
        if (text !== acknowledged.get(key) && !(key === uncertain?.key && text === uncertain.text)) {
          faults.push(`${key} is ${text?.slice(0, 60) ?? 'not there'}, and has to be ${acknowledged.get(key)?.slice(0, 60) ?? 'not there'}`)
        }
      }
      return faults
    },
  }
}
