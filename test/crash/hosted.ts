// Many servers one after the other in few processes: of what it takes to start one, nine tenths are Node reading its files.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { launch, UNCOUNTED, type Exit, type Server } from './server.js'

/** Servers in one process, after which another goes on: what is wrong with its memory would be blamed on a later one. */
const SERVERS = 25

/** What the process says: where it serves, or how the start or the stop ended. */
export type Said = { readonly port: number } | { readonly code: number, readonly stderr: string }

interface Host { readonly child: ChildProcess, readonly exited: Promise<Exit>, left: number }

function startHost (through: readonly string[]): Host {
  const [execPath, ...execArgv] = [...through, ...UNCOUNTED, process.execPath]
  const child = fork(fileURLToPath(new URL('host.js', import.meta.url)), { execPath: execPath!, execArgv, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const exited = Promise.all([once(child, 'close'), text(child.stderr!)]).then(([[code, signal], stderr]): Exit => ({ code, signal, stderr }))
  return { child, exited, left: SERVERS }
}

/**
 * Starts servers, one at a time, which behave like those of launch(): the first, and then every tenth, is one. The rest are the
 * same server without the command line. They understand SIGTERM and SIGKILL.
 * @param through a program and its first arguments, which is to start the processes instead of us
 */
export function launcher (through: readonly string[] = []) {
  let host: Host | undefined
  let count = 0

  function end (): void {
    host?.child.kill('SIGKILL')
    host = undefined
  }

  function launchNext (directory: string): Server {
    if (count++ % 10 === 0) return launch(directory, through)
    if (host?.left === 0) end()
    const { child, exited } = host ??= startHost(through)
    host.left--
    /** Has the process start on a directory, or stop for ''; how it ended when it does that instead. */
    const ask = async (order: string): Promise<Said | Exit> => {
      child.send(order, () => {})
      const said = await Promise.race([exited, once(child, 'message') as Promise<[Said]>]) // As host.js says it.
      if (Array.isArray(said)) return said[0]!
      end()
      return said
    }
    const started = ask(directory)
    const ready = started.then(said => {
      if ('port' in said) return `http://127.0.0.1:${said.port}`
      throw new Error(`the server ended before it was ready: ${JSON.stringify(said)}`)
    })
    ready.catch(() => {})
    let stop = (_exit: Said | Exit): void => {}
    const stopped = new Promise<Said | Exit>(resolve => { stop = resolve })
    const ended = started.then(async said => 'port' in said ? await Promise.race([stopped, exited]) : said)
    return {
      ready,
      exited: ended.then(said => ({ signal: null, code: null, stderr: '', ...said })),
      signal (name) {
        if (name === 'SIGKILL') end()
        else ask('').then(stop)
      },
    }
  }

  return { launch: launchNext, end }
}
