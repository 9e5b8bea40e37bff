import type { Command, State } from './model.js'

/** An HTTP request. */
export interface Request {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** JSON. */
  readonly body?: string
}

export interface Answer { readonly status: number, readonly body: string }

/** A request of a writer's, with what has to come of it. */
export interface Operation {
  readonly request: Request
  /** A body that is not given is not looked at. */
  readonly answer: { readonly status: number, readonly body?: string | RegExp }
  /** The states after each of its commands: a crash may leave any of them, or the one before. */
  readonly after: readonly State[]
  /** Acknowledged writes that a good answer stands for. */
  readonly writes: number
  /** Takes what the test has to know of the answer. */
  readonly learn?: (body: string) => void
  /** For a session that is being started: whether it can be found by its name if no answer comes. */
  readonly starts?: { readonly name: string, readonly kind: 'shared' | 'private' | 'mortal' }
}

const envelope = ({ name, session, members }: Command) => `{"${name}":{"tkn":"${session.tkn}"${members === '' ? '' : `,${members}`}}}`
const reply = ({ name, content }: Command) => content === undefined ? 'null' : `{"${name}_RSP":${content}}`

export function viaCommand (command: Command): Operation {
  return {
    request: { method: 'POST', path: '/command', body: envelope(command) },
    answer: command.content === undefined ? { status: 204, body: '' } : { status: 200, body: reply(command) },
    after: [command.after],
    writes: 1,
  }
}

/** @param commands each made for the state after the one before */
export function viaCommands (commands: readonly Command[]): Operation {
  return {
    request: { method: 'POST', path: '/commands', body: `[${commands.map(envelope).join()}]` },
    answer: { status: 200, body: `[${commands.map(reply).join()}]` },
    after: commands.map(({ after }) => after),
    writes: commands.length,
  }
}

/** Method and the end of the URL for each command on several keys. */
const ROUTES: Readonly<Record<string, readonly [method: string, end: string]>> = {
  KV_SET: ['PUT', '/keys'],
  KV_SETQ: ['PUT', '/keys'],
  KV_ADD: ['POST', '/keys'],
  KV_MERGE: ['PATCH', '/keys'],
  KV_RMV: ['DELETE', '/keys'],
  KV_APPEND: ['POST', '/append'],
  KV_UPDATE: ['POST', '/update'],
  KV_CLEAR: ['POST', '/clear'],
  KV_CLEAR_SET: ['POST', '/replace'],
  SH_END: ['DELETE', ''],
}

export function viaRest (command: Command): Operation {
  const { name, session, members, keys, after, content } = command
  const [method, end] = ROUTES[name]!
  const query = name === 'KV_RMV' ? `?${keys.map(key => `key=${encodeURIComponent(key)}`).join('&')}` : ''
  return {
    request: {
      method,
      path: `/sessions/${session.tkn}${end}${query}`,
      ...name === 'KV_SETQ' && { headers: { prefer: 'return=minimal' } },
      ...method !== 'DELETE' && { body: `{${members}}` },
    },
    answer: content === undefined ? { status: 204, body: '' } : { status: 200, body: content },
    after: [after],
    writes: 1,
  }
}

/** The single-key routes. */
const METHODS: Readonly<Record<string, string>> = { KV_SET: 'PUT', KV_MERGE: 'PATCH', KV_RMV: 'DELETE' }

/** Undefined when no single-key route does the same. */
export function viaKey ({ name, session, members, keys: [key, ...others], after, content = '' }: Command): Operation | undefined {
  const method = METHODS[name]
  if (method === undefined || key === undefined || others.length > 0) return undefined
  const start = `"keys":{${JSON.stringify(key)}:`
  const request = { method, path: `/sessions/${session.tkn}/keys/${encodeURIComponent(key)}` }
  return {
    request: method === 'DELETE' ? request : { ...request, body: `{"value":${members.slice(start.length, -1)}}` },
    answer: content.endsWith(':22}}') ? { status: 404 } : { status: method === 'PUT' && content.endsWith(':20}}') ? 201 : 204, body: '' },
    after: [after],
    writes: 1,
  }
}

/** What is wrong with an answer; undefined when nothing is. */
export function answerFault ({ request, answer }: Operation, { status, body }: Answer): string | undefined {
  const expected = answer.body
  const fits = expected === undefined || (typeof expected === 'string' ? body === expected : expected.test(body))
  if (status === answer.status && fits) return undefined
  const asked = `${request.method} ${request.path} ${(request.body ?? '').slice(0, 300)}`
  return `${asked}\n  has to be answered ${answer.status} ${String(expected).slice(0, 300)}\n  and was answered ${status} ${body.slice(0, 300)}`
}
