// The built server as a process of its own, and connections to it.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Answer, Request } from './requests.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const DIST = join(ROOT, 'dist')
export const MAIN = join(DIST, 'src/main.js')

/** Starts a program without what tap puts into every one, which counts the lines it runs, and writes them down when it ends. */
export const UNCOUNTED = ['env', '-u', 'NODE_OPTIONS']

/** What tsc leaves behind about the sources it built: the SHA-256 of each. Times would not do: it writes only what changed. */
interface BuildInfo { readonly fileNames: readonly string[], readonly fileInfos: ReadonlyArray<string | { readonly version: string }> }

/** @throws Error unless dist/ was built from the sources as they are */
export function assertBuilt (): void {
  const info = join(DIST, '.tsbuildinfo')
  if (!existsSync(MAIN) || !existsSync(info)) throw new Error('dist/ is not there: run npm run build first')
  const { fileNames, fileInfos } = JSON.parse(readFileSync(info, 'utf8')) as BuildInfo
  const built = new Map(fileNames.map((name, index) => {
    const entry = fileInfos[index]!
    return [join(DIST, name), typeof entry === 'string' ? entry : entry.version]
  }))
  for (const folder of ['src', 'routes', 'openapi']) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))) {
      const file = join(ROOT, folder, name)
      const version = createHash('sha256').update(readFileSync(file)).digest('hex')
      if (built.get(file) !== version) throw new Error(`${join(folder, name)} has changed since dist/ was built: run npm run build first`)
    }
  }
}

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
  const child = spawn(program!, args, { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] } })
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
    }
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
        headers: { ...headers, ...body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }
      })
      sent.on('error', reject).on('response', response => {
        let text = ''
        response.setEncoding('utf8').on('data', part => { text += part }).on('error', reject)
          .on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      }).end(body)
    }),
    close: () => agent.destroy()
  }
}
