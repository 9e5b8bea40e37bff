// The server as an operator meets it: the real program, started by a test, which waits for what it prints.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { COUNTED, MAIN, UNCOUNTED } from '../crash/server.js'

const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')))

export interface Exit { readonly code: number | null, readonly signal: string | null, readonly stdout: string, readonly stderr: string }

export interface StartOptions {
  readonly env?: NodeJS.ProcessEnv
  /** A directory of the test's own unless given. */
  readonly cwd?: string
  /** JavaScript that is run before Holdfast in each of its processes, for faults that Holdfast does not have by itself. */
  readonly preload?: string
  /** Whether it leads a process group of its own. */
  readonly detached?: boolean
  /** A program and its first arguments, which starts the server instead of us. */
  readonly through?: readonly string[]
  /** Whether the lines it runs are counted. */
  readonly isCounted?: boolean
}

/** A line of the log. */
export interface LogLine { readonly level: number, readonly msg: string, readonly pid: number, readonly worker?: number, readonly err?: { readonly message: string } }

/** Starts the built server. */
export function start (t: Test, args: readonly string[], options: StartOptions = {}) {
  const { cwd = t.testdir(), detached = false, preload, through = [], isCounted = false } = options
  const preloaded = preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`]
  const [program, ...rest] = [...through, ...isCounted ? COUNTED : UNCOUNTED, process.execPath, ...preloaded, MAIN, ...args]
  const child = spawn(program!, rest, { cwd, detached, env: { ...ENV, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', text => { output.stdout += text })
  child.stderr.setEncoding('utf8').on('data', text => { output.stderr += text })
  // With all that it started: only then nobody has its output open any more.
  const exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal, ...output }))

  /** Waits until something holds, which can begin whenever more is printed; throws when the process ends without. */
  async function until<T> (stream: 'stdout' | 'stderr', look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      const exit = await Promise.race([exited, once(child[stream], 'data')])
      if (!Array.isArray(exit)) throw new Error(`ended before it printed what was waited for: ${JSON.stringify(exit)}`)
    }
  }

  const printed = async (stream: 'stdout' | 'stderr', pattern: RegExp) => await until(stream, () => pattern.exec(output[stream]) ?? undefined)
  const ready = async () => (await printed('stdout', / listening on (http:\S+), data .*\n/))[1]!
  const stop = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return await exited
  }
  const log = () => logLines(output.stderr)
  return { child, cwd, exited, until, printed, ready, stop, log }
}

/** Starts it so that the lines it runs are counted, unless it is killed: for what no other test runs. It takes half as long again. */
export function startCounted (t: Test, args: readonly string[], options: StartOptions = {}): Started {
  return start(t, args, { ...options, isCounted: true })
}

export type Started = ReturnType<typeof start>

/** The lines of a log so far, without what LMDB and strace say beside it. */
export function logLines (text: string): LogLine[] {
  return text.split('\n').slice(0, -1).filter(line => line.startsWith('{')).map(line => JSON.parse(line) as LogLine) // As pino writes them.
}

/** Sends one envelope, and gives the content of the reply. */
export async function command (url: string, name: string, params: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/command`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ [name]: params }),
  })
  const reply = await response.json() as Record<string, Record<string, unknown>> // The envelope of PROTOCOL 2.
  return reply[`${name}_RSP`]!
}

/** A POST whose headers the server has, and whose body it waits for. */
export async function openRequest (url: string, body: string): Promise<ClientRequest> {
  const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
  const opened = request(`${url}/command`, { method: 'POST', headers })
  opened.flushHeaders()
  await once(opened, 'continue')
  return opened
}

export interface Reply { readonly status: number | undefined, readonly headers: IncomingHttpHeaders, readonly body: string }

/** One connection, kept alive, with one request at a time; a new one once it is broken. */
export interface Connection {
  send (method: string, path: string, body?: object, headers?: Readonly<Record<string, string>>): Promise<Reply>
  /** Sends one envelope, and gives the content of the reply. */
  command (name: string, params: object): Promise<Record<string, unknown>>
  /** Whether the first connection is not there any more. */
  isBroken (): boolean
}

/** Opens a connection that a server has accepted once this resolves. */
export async function connection (t: Test, url: string): Promise<Connection> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  let first: Socket | undefined

  async function send (method: string, path: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    const sent = request(url + path, { agent, method, headers: { ...headers, ...body !== undefined && { 'content-type': 'application/json' } } })
    sent.on('socket', socket => { first ??= socket })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
    const [response] = await once(sent, 'response') as [IncomingMessage] // As the event is documented.
    return { status: response.statusCode, headers: response.headers, body: await text(response) }
  }

  await send('GET', '/ready')
  return {
    send,
    async command (name, params) {
      const { body } = await send('POST', '/command', { [name]: params })
      return (JSON.parse(body) as Record<string, Record<string, unknown>>)[`${name}_RSP`]! // The envelope of PROTOCOL 2.
    },
    isBroken: () => first?.destroyed === true,
  }
}
