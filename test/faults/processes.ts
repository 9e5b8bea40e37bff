// What is done to a running server: its log is read, and its system calls are made to fail.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Starts a program with its stderr in a file, so that it can be read meanwhile. For the `through` of launch(). */
export function logTo (file: string): string[] {
  return ['sh', '-c', `exec "$0" "$@" 2>'${file}'`]
}

export interface LogLine { readonly level: number, readonly msg: string, readonly err?: { readonly message: string, readonly stack: string } }

/** The lines of a log, but for those that LMDB itself writes. @throws Error for a line that nobody could read */
export function logLines (text: string): LogLine[] {
  return text.split('\n').filter(line => line !== '' && !/^(?:Write error: |mdb_page_)[^{]*$/.test(line)).map(line => {
    if (!line.startsWith('{')) throw new Error(`not a line of the log: ${line}`)
    return JSON.parse(line) as LogLine // As pino writes them.
  })
}

/** The log's lines so far. */
export function logOf (file: string): LogLine[] {
  return existsSync(file) ? logLines(readFileSync(file, 'utf8')) : []
}

/** The process that has a directory, as it says itself. */
export function ownerOf (directory: string): number {
  return Number(/^process (\d+) /.exec(readFileSync(join(directory, 'owner.lock'), 'utf8'))?.[1])
}

/**
 * Makes system calls of a process fail.
 * @param file those on this file only: sockets are written to with the same calls
 * @param fault as strace has it: calls, then what becomes of them, such as `fdatasync:error=EIO`
 * @returns ends it. @throws Error with what strace says
 */
export async function inject (pid: number, file: string, fault: string): Promise<() => Promise<void>> {
  const calls = fault.slice(0, fault.indexOf(':'))
  const child = spawn('strace', ['-f', '-p', `${pid}`, '-P', file, '-e', `trace=${calls}`, '-e', `inject=${fault}`, '-o', '/dev/null'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'close')
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => { said += text })
  while (!/ attached/.test(said)) {
    const event = await Promise.race([exited, once(child.stderr, 'data').then(() => undefined)])
    if (event !== undefined) throw new Error(`strace: ${said.trim()}`)
  }
  return async () => {
    child.kill('SIGTERM')
    await exited
  }
}

/** Why no system call can be made to fail here; undefined when they can. */
export async function notInjectable (): Promise<string | undefined> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  try {
    await once(child, 'spawn')
    const end = await inject(child.pid!, '/dev/null', 'fdatasync:error=EIO')
    await end()
    return undefined
  } catch (error) {
    return `strace is needed, and the right to trace: ${String(error)}`
  } finally {
    child.kill('SIGKILL')
  }
}
