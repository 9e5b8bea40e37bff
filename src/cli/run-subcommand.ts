import type { Readable, Writable } from 'node:stream'
import { BAD_INPUT, FAILED } from '../exit-codes.js'
import { makeKey } from '../auth/keygen.js'
import { reason } from '../reason.js'
import { exportSessions } from '../data/export.js'
import { checkExport, importSessions } from '../data/import.js'
import { InputError } from '../stores/input-error.js'
import { writeNewFile } from '../data/new-file.js'
import { noProgress, progressOn, type Terminal } from '../data/progress.js'
import { backedUp, copying, exported, exporting, imported, importing, inspected, reading, salvaged, salvaging, verifying, type Report } from '../data/reports.js'
import { salvageSessions } from '../data/salvage.js'
import { openSource } from '../data/source.js'
import type { DataStore, Watch } from '../stores/data-store.js'
import type { StoreLocation } from '../stores/table.js'
import type { Subcommand } from './subcommands.js'

/** All that a command has to do with outside of itself. */
export interface Surroundings {
  readonly stdin: Readable
  readonly stdout: Terminal
  readonly stderr: Terminal
  /** What is done with the store at a location. */
  dataOf (location: StoreLocation): Promise<DataStore>
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number
  /** Aborted, with an Error that says why, when the command has to end before it is done. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Runs a command beside serving, and says in words what came of it: on standard error what failed, and what an
 * export or a salvage amounts to; on standard output everything else. Progress is shown on standard error while that is a terminal.
 *
 * @returns the exit code: 0 done, 1 failed or found damage, 2 bad input
 */
export async function runCommand (command: Subcommand, surroundings: Surroundings): Promise<number> {
  const { stdout, stderr, signal } = surroundings
  // Every write that matters is told of its own fault. The event would end the process if nobody listened.
  for (const stream of [stdout, stderr]) stream.on('error', () => {})
  const progress = isShown(command, stdout) ? noProgress : progressOn(stderr)
  const watching = <State>(text: (state: State) => string): Watch<State> =>
    ({ report: state => { progress.show(() => text(state)) }, signal })
  try {
    const { text, damaged } = await perform(command, surroundings, watching)
    progress.clear()
    const output = command.name === 'export' || command.name === 'salvage' ? stderr : stdout
    output.write(text)
    return damaged ? FAILED : 0
  } catch (error) {
    progress.clear()
    // The reader of what is exported, such as `head`, has seen enough; but what it has is not all of it.
    if (error instanceof Error && 'code' in error && error.code === 'EPIPE') return FAILED
    const details = error instanceof InputError ? error.details : []
    stderr.write(`${[`holdfast ${command.name}: ${reason(error).replace(/\s+/g, ' ')}`, ...details].join('\n  ')}\n`)
    return error instanceof InputError ? BAD_INPUT : FAILED
  }
}

/** Whether the data itself goes to a terminal, where a line of progress would be in its midst. */
function isShown (command: Subcommand, stdout: Terminal): boolean {
  return (command.name === 'export' || command.name === 'salvage') && command.file === '-' && stdout.isTTY === true
}

type Watching = <State>(text: (state: State) => string) => Watch<State>

async function perform (command: Subcommand, surroundings: Surroundings, watching: Watching): Promise<Report> {
  if (command.name === 'salvage') return await salvage(command, surroundings, watching)
  if (command.name === 'keygen') {
    const { key, line } = makeKey(command.key, command.role, command.prefix)
    return { text: `${key}\n${line}\n`, damaged: false }
  }
  const { stdin, stdout, dataOf, now, signal } = surroundings
  const data = await dataOf(command.store)
  switch (command.name) {
    case 'backup': {
      const { directory } = command
      return backedUp(directory, await data.backup(directory, now(), watching(copying)))
    }
    case 'export': {
      const write = async (output: Writable) =>
        await closing(await data.open('export'), async store => await exportSessions(store, now(), output, watching(exporting)))
      return exported(await (command.file === '-' ? write(stdout) : writeNewFile(command.file, write)))
    }
    case 'import': {
      return imported(await closing(await openSource(command.file, stdin, signal), async file => {
        const sessions = await checkExport(file, watching(importing))
        // Opening makes a store that is not there, so it comes after everything that speaks against it.
        return await closing(await data.open('import'), async store => await importSessions(file, sessions, store, now, watching(importing)))
      }))
    }
    case 'inspect': {
      const found = await data.inspect(now())
      return inspected(found, command.verify ? await data.verify(watching(verifying)) : undefined)
    }
  }
}

async function salvage ({ path, file }: Extract<Subcommand, { name: 'salvage' }>, { stdout, now }: Surroundings, watching: Watching): Promise<Report> {
  const { openSalvage } = await import('../stores/lmdb/salvage.js')
  const write = async (output: Writable) =>
    await closing(await openSalvage(path, watching(reading)), async opened => await salvageSessions(opened, now(), output, watching(salvaging)))
  return salvaged(await (file === '-' ? write(stdout) : writeNewFile(file, write)))
}

/** Closes what was opened, whatever becomes of its use. */
async function closing<T extends { close (): Promise<void> | void }, Result> (opened: T, use: (opened: T) => Promise<Result>): Promise<Result> {
  try {
    return await use(opened)
  } finally {
    await opened.close()
  }
}
