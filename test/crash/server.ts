// The built server as a process of its own, and connections to it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Answer, Request } from './requests.js'

/** The program of the server, built together with these tests. */
export const MAIN = fileURLToPath(import.meta.resolve('../../src/main.js'))

/**
 * Starts a program without what tap puts into every one that a test starts, whatever its environment is to be. That counts the lines
 * it runs, and takes longer than the program itself.
 */
export const UNCOUNTED = ['env', '-u', 'NODE_OPTIONS']

/** Node so started, for spawn() and its like. */
export function uncountedNode (...args: readonly string[]): [program: string, args: string[]] {
  return ['env', [...UNCOUNTED.slice(1), process.execPath, ...args]]
}

/** Starts a program so that Node counts its lines, if lines are counted: they are where tap looks for them, unless it is killed. */
export const COUNTED = (process.env['_TAPJS_PROCESSINFO_COVERAGE_'] ?? '0') === '0' ? UNCOUNTED : [...UNCOUNTED, `NODE_V8_COVERAGE=${resolve('.tap/coverage')}`]

export interface Exit { readonly code: number | null, readonly signal: string | null, readonly stderr: string }

export interface Server {
  /** Resolves with the address once requests are served. Rejects when the process ends before. */
  readonly ready: Promise<string>
  /** Resolves when the process and what it started are gone. */
  readonly exited: Promise<Exit>
  /** Sends a signal to the process and to what it started. */
  signal (name: NodeJS.Signals): void
}

const running = new Set<Server>()

/** Kills every server that still runs: for the teardown of a test. */
export async function killAll (): Promise<void> {
  for (const server of running) server.signal('SIGKILL')
  await Promise.allSettled(Array.from(running, ({ exited }) => exited))
}

process.once('exit', () => { for (const server of running) server.signal('SIGKILL') })

/**
 * Starts the server on a directory.
 * @param through a program and its first arguments, which is to start the server instead of us
 */
export function launch (directory: string, through: readonly string[] = []): Server {
  const [program, ...args] = [...through, ...UNCOUNTED, process.execPath, MAIN, '--port', '0', '--store', `lmdb:${directory}`]
  // A process group of its own, so that the signals reach whatever it starts.
  const child = spawn(program!, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] } })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', text => { output.stdout += text })
  child.stderr.setEncoding('utf8').on('data', text => { output.stderr += text })
  const exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal, stderr: output.stderr }))
  const ready = (async () => {
    for (;;) {
      const url = / listening on (http:\S+), data in .*\n/.exec(output.stdout)?.[1]
      if (url !== undefined) return url
      const exit = await Promise.race([exited, once(child.stdout, 'data')])
      if (!Array.isArray(exit)) throw new Error(`the server ended before it was ready: ${JSON.stringify(exit)}`)
    }
  })()
  // Whoever kills the server during its start does not wait for it to be ready.
  ready.catch(() => {})
  const server: Server = {
    ready,
    exited,
    signal (name) {
      try {
        // Without a pid it was not started, and `exited` has rejected.
        if (child.pid !== undefined) process.kill(-child.pid, name)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // Gone already.
      }
    },
  }
  running.add(server)
  exited.finally(() => running.delete(server)).catch(() => {})
  return server
}

/** One connection, kept alive, with one request at a time. */
export interface Connection {
  /** Rejects when the connection ends before the answer does. */
  send (request: Request): Promise<Answer>
  close (): void
}

export function connect (url: string): Connection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    send: ({ method, path, headers, body }) => new Promise((resolve, reject) => {
      const sent = httpRequest(url + path, {
        agent,
        method,
        headers: { ...headers, ...body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } },
      })
      sent.on('error', reject).on('response', response => {
        let text = ''
        response.setEncoding('utf8').on('data', part => { text += part }).on('error', reject)
          .on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      }).end(body)
    }),
    close: () => agent.destroy(),
  }
}
