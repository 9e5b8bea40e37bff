// A server at work under strace: which operations it acknowledged when, and what it did to its disk.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { diskOf, type Disk } from './disk.js'
import type { State } from './model.js'
import { randomOf, type Random } from './random.js'
import type { Operation } from './requests.js'
import { connect, launch } from './server.js'
import { readRecord, strace } from './strace.js'
import { COMMON, commonWriter, randomWriter, type Writer } from './writer.js'

const WRITERS = 6

/** Why nothing can be recorded here; undefined when it can. */
export function notRecordable (): string | undefined {
  // Without a file it writes to stderr.
  const [program, ...args] = [...strace(''), 'true'].filter(arg => arg !== '' && arg !== '-o')
  const { error, stderr } = spawnSync(program!, args, { encoding: 'utf8' })
  if (error !== undefined) return `strace cannot be started: ${error.message}`
  return stderr.includes('+++ exited with 0 +++') ? undefined : `strace may not trace here: ${stderr.trim()}`
}

/** An operation as the record shows it. */
interface Done { readonly operation: Operation, readonly before: State, readonly acknowledged: number }

/** One writer's part of the record, in its order. */
interface Part { readonly id: string, readonly done: readonly Done[] }

export interface Recording {
  readonly disk: Disk
  /** What the server left behind in the end. */
  readonly directory: string
  readonly parts: readonly Part[]
  /** By label, of every session that there ever was. */
  readonly tokens: ReadonlyMap<string, string>
  /** Moments of the record at which something began to be done to the disk. */
  readonly moments: readonly number[]
  /** The moment at which each of the runs begins, then that at which everything is over. */
  readonly runs: readonly number[]
}

/**
 * Records two runs of a server on a new directory: the first creates it and is killed when it has nothing to do, the second
 * goes on from what it finds and is stopped.
 *
 * @param place an empty directory
 * @param most operations of each writer in each of the runs
 */
export async function record (place: string, random: Random, most: number): Promise<Recording> {
  const root = join(place, 'disk')
  mkdirSync(root)
  const directory = join(root, 'data')
  const disk = diskOf(root)
  const moments: number[] = []
  const runs = [0]

  const writers: Writer[] = [commonWriter()]
  const asked = new Map<string, Array<Omit<Done, 'acknowledged'>>>()
  const acknowledged = new Map<string, number[]>()

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const file = join(place, `${signal}.strace`)
    const server = launch(directory, strace(file))
    const url = await server.ready
    const work = async (writer: Writer, count: number) => {
      const connection = connect(url)
      await connection.send(hello(writer))
      for (let left = count; left > 0; left--) {
        const before = writer.state
        const operation = writer.next()
        asked.set(writer.id, [...asked.get(writer.id) ?? [], { operation, before }])
        writer.answered(await connection.send(operation.request))
      }
      connection.close()
    }
    if (signal === 'SIGKILL') {
      await work(writers[0]!, 1)
      const common = writers[0]!.tokens.get(COMMON)!
      for (let index = 0; index < WRITERS; index++) writers.push(randomWriter(`w${index}`, common, randomOf(random.below(2 ** 32)), { mortals: false }))
    }
    await Promise.all(writers.slice(1).map(async writer => await work(writer, most)))
    server.signal(signal)
    await server.exited

    const sockets = new Map<string, string>()
    runs.push(readRecord(file, root, runs.at(-1)!, event => {
      if (event.kind !== 'send') {
        moments.push(event.begin)
        disk.take(event)
      } else if (event.start.startsWith('HTTP/1.1 ')) {
        const id = sockets.get(event.socket)
        const greeted = /"tkn":"hello (\w+)"/.exec(event.start)?.[1]
        if (greeted !== undefined) sockets.set(event.socket, greeted)
        else acknowledged.set(id!, [...acknowledged.get(id!) ?? [], event.end])
      }
    }))
  }

  const parts = Array.from(asked, ([id, operations]) => {
    const times = acknowledged.get(id) ?? []
    if (times.length !== operations.length) throw new Error(`${id} had ${operations.length} answers, and ${times.length} are in the record`)
    return { id, done: operations.map((operation, index) => ({ ...operation, acknowledged: times[index]! })) }
  })
  return { disk, directory: root, parts, tokens: new Map(writers.flatMap(({ tokens }) => [...tokens])), moments, runs }
}

/** A request that changes nothing, and whose answer says in the record whose connection it is. */
function hello ({ id }: Writer) {
  return { method: 'POST', path: '/command', body: JSON.stringify({ KV_COUNT: { tkn: `hello ${id}` } }) }
}

/** What may be there of a part after a cut, and how many of its writes were acknowledged before. */
export function expectation ({ done }: Part, moment: number): { candidates: State[], writes: number } {
  const index = done.findIndex(({ acknowledged }) => acknowledged >= moment)
  const answered = index < 0 ? done : done.slice(0, index)
  const underWay = done[answered.length]
  return {
    candidates: [answered.at(-1)?.operation.after.at(-1) ?? new Map(), ...underWay?.operation.after ?? []],
    writes: answered.reduce((sum, { operation }) => sum + operation.writes, 0),
  }
}
