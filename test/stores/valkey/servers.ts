// Real servers of Redis or Valkey, which end with the test that started them.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Certificates } from './certificates.js'
import { claimPort, HOST } from './ports.js'
import { command, connect, type Access, type Argument, type Connection, type Reply } from './resp.js'

const ENGINES = ['redis-server', 'valkey-server'] as const

export type Engine = typeof ENGINES[number]

/** Milliseconds within which a server answers, and a replica or a cluster is complete, however busy the machine is. */
const PATIENCE_MS = 20_000

/** Which servers are installed. */
export function engines (): Engine[] {
  const directories = process.env['PATH']?.split(delimiter) ?? []
  return ENGINES.filter(engine => directories.some(directory => isExecutable(join(directory, engine))))
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Options of a test that needs a server: that one, or any. */
export function needs (engine?: Engine): { readonly skip: string | false } {
  const installed = engines()
  const there = engine === undefined ? installed.length > 0 : installed.includes(engine)
  return { skip: !there && `${engine ?? 'redis-server or valkey-server'} is needed: apt-get install ${engine ?? 'redis-server'}` }
}

export interface ServerOptions {
  /** The first that is installed unless given. */
  readonly binary?: Engine | undefined
  /** More of its configuration, such as `['--appendonly', 'yes']`; it overrides ours. */
  readonly args?: readonly string[]
  /** That of a server that has ended, whose directory it then continues; otherwise one that is free. */
  readonly port?: number
  readonly password?: string | undefined
  /** Makes it speak nothing but TLS, and ask for the client's certificate unless `args` says `--tls-auth-clients no`. */
  readonly tls?: Certificates | undefined
}

export interface Server extends Access {
  readonly binary: Engine
  readonly directory: string
  /** All that it was started with. */
  readonly args: readonly string[]
  /** Of the process that was started last. */
  readonly pid: number
  /** Resolves when the process is gone. One that is paused gets no other signal than SIGKILL. */
  kill (signal?: NodeJS.Signals): Promise<void>
  pause (): void
  resume (): void
  /** Starts it again as it was started, and kills it before unless it has ended. What it had only in memory is gone. */
  restart (): Promise<void>
  /** Sends one command through a connection of its own. */
  command (...args: readonly Argument[]): Promise<Reply>
  /** A connection that ends with the test, for what needs more than one command. */
  connect (): Promise<Connection>
}

/** Resolves once the server answers, which is when it has loaded what it has. */
export async function startServer (t: Test, options: ServerOptions = {}): Promise<Server> {
  const { binary = engines()[0] ?? 'redis-server', port = await claimPort(), password, tls } = options
  const directory = directoryOf(t, `${binary}-${port}`, options.port === undefined)
  const args = argumentsOf(port, directory, options)
  const access: Access = { host: HOST, port, password, tls }
  let launched: Launched

  async function start (): Promise<void> {
    launched = launch(binary, args, directory)
    await answering(launched, access)
  }
  t.teardown(async () => await launched.kill('SIGKILL'))
  await start()

  return {
    ...access,
    binary,
    directory,
    args,
    get pid () { return launched.child.pid! },
    kill: async (signal = 'SIGKILL') => await launched.kill(signal),
    pause: () => { launched.child.kill('SIGSTOP') },
    resume: () => { launched.child.kill('SIGCONT') },
    async restart () {
      await launched.kill('SIGKILL')
      await start()
    },
    command: async (...args) => await command(access, args),
    async connect () {
      const connection = await connect(access)
      t.teardown(() => connection.close())
      return connection
    },
  }
}

/** Resolves once the replica has what the master has, and follows it. */
export async function startReplica (t: Test, master: Server, options: Omit<ServerOptions, 'password' | 'tls'> = {}): Promise<Server> {
  const { host, port, password, tls, binary } = master
  const replica = await startServer(t, { binary, ...options, password, tls, args: ['--replicaof', host, `${port}`, ...options.args ?? []] })
  await until(`the replica on port ${replica.port} follows its master`, async () => /^master_link_status:up\r$/m.test(`${await replica.command('INFO', 'replication')}`))
  return replica
}

/** Waits until something holds. @throws Error when it does not come to hold */
export async function until (what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms in vain until ${what}`)
    await sleep(10)
  }
}

/** A directory next to that of the test, and not in it: each call of t.testdir() empties that. */
function directoryOf (t: Test, name: string, fresh: boolean): string {
  const directory = `${t.testdirName}-${name}`
  if (fresh) rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  // Teardowns run from the last to the first, so the server has ended by then.
  t.teardown(() => { if (!t.saveFixture) rmSync(directory, { recursive: true, force: true }) })
  return directory
}

function argumentsOf (port: number, directory: string, { password, tls, args = [] }: ServerOptions): string[] {
  const listening = tls === undefined
    ? ['--port', `${port}`]
    : ['--port', '0', '--tls-port', `${port}`, '--tls-ca-cert-file', tls.authority, '--tls-cert-file', tls.server.certificate,
        '--tls-key-file', tls.server.key, '--tls-replication', 'yes', '--tls-cluster', 'yes']
  return [...listening, '--bind', HOST, '--dir', directory, '--save', '', '--appendonly', 'no',
    // Otherwise a replica would have to wait for five seconds before it gets its first copy.
    '--repl-diskless-sync-delay', '0',
    ...password === undefined ? [] : ['--requirepass', password, '--masterauth', password], ...args]
}

interface Launched {
  readonly child: ChildProcess
  /** Why there is no such program, or the end of what it printed, for people. */
  tail (): string
  kill (signal: NodeJS.Signals): Promise<void>
}

const running = new Set<ChildProcess>()
process.once('exit', () => { for (const child of running) child.kill('SIGKILL') })

/** Starts a process that writes its log into its directory. */
function launch (binary: Engine, args: readonly string[], directory: string): Launched {
  const file = join(directory, 'log')
  const log = openSync(file, 'a')
  const child = spawn(binary, args, { cwd: directory, stdio: ['ignore', log, log] })
  closeSync(log)
  running.add(child)
  let missing = ''
  const exited = once(child, 'exit').catch((error: unknown) => { missing = `${error}\n` }).finally(() => running.delete(child))
  return {
    child,
    tail: () => missing + readFileSync(file, 'utf8').split('\n').slice(-20).join('\n'),
    async kill (signal) {
      child.kill(signal)
      await exited
    },
  }
}

/** @throws Error with the end of the log when the server ends instead, or does not answer */
async function answering ({ child, tail }: Launched, access: Access): Promise<void> {
  let last: unknown
  async function answers (): Promise<boolean> {
    if (!running.has(child)) throw new Error('it has ended')
    const info = `${await command(access, ['INFO']).catch((error: unknown) => { last = error })}`
    // On a port that was not free another server answers.
    return info.includes(`\nprocess_id:${child.pid}\r`) && info.includes('\nloading:0\r')
  }
  try {
    await until('it answers', answers)
  } catch (error) {
    throw new Error(`a server did not start on port ${access.port}: ${(error as Error).message}\n${tail()}`, { cause: last })
  }
}
