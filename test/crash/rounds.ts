// Writers at work on a server that is killed again and again, and what is left of their work afterwards.
import { setTimeout as sleep } from 'node:timers/promises'
import { judge, type Fault } from './judge.js'
import type { State } from './model.js'
import type { Random } from './random.js'
import { open, readBack, totals } from './read-back.js'
import { connect, launch, type Connection, type Server } from './server.js'
import { ownerOf, type Mortal, type Writer } from './writer.js'

/** Milliseconds that a session of one second can last at most, for a client that counts from the answer. */
const MORTAL = 1_000

export interface Tally {
  acknowledged: number
  kills: number
  /** Sessions that were perhaps started, and whose token nobody has. */
  orphans: number
  readonly faults: Fault[]
}

/** Kills servers during their start, none or several in a row, at random moments of what a start takes. */
export async function killDuringStarts (directory: string, random: Random, tally: Tally, usual: number): Promise<void> {
  for (let left = random.below(3); left > 0; left--) {
    const server = launch(directory)
    const moment = 5 + random.below(Math.max(200, usual))
    await Promise.race([sleep(moment), server.ready])
    await kill(server, tally)
  }
}

export async function kill (server: Server, tally: Tally): Promise<void> {
  server.signal('SIGKILL')
  const exit = await server.exited
  if (exit.signal !== 'SIGKILL') throw new Error(`the server was not killed, it had ended: ${JSON.stringify(exit)}`)
  tally.kills++
}

/**
 * Lets the writers work until the server is killed, or until `enough` says that the next one need not begin.
 * What they wait for is then pending.
 *
 * @param killed whether the server was killed: an error of the connection before that is thrown
 */
export async function write (writers: readonly Writer[], url: string, tally: Tally, { enough, killed }: { enough: () => boolean, killed: () => boolean }): Promise<void> {
  await Promise.all(writers.map(async writer => {
    const connection = connect(url)
    try {
      while (!enough()) {
        const { request } = writer.next()
        const answer = await connection.send(request).catch(error => {
          if (killed()) return undefined
          throw error
        })
        if (answer === undefined) return
        tally.acknowledged += writer.answered(answer)
      }
    } finally {
      connection.close()
    }
  }))
}

/** Compares everything that is there with what the writers know, and has them go on from there. @throws Error when it cannot be read */
export async function check (writers: readonly Writer[], url: string, tally: Tally): Promise<void> {
  const connection = connect(url)
  try {
    for (const { pending, tokens, learn } of writers) {
      if (pending?.starts?.kind !== 'shared' || tokens.has(pending.starts.name)) continue
      const tkn = await open(connection, pending.starts.name)
      if (tkn !== undefined) learn(pending.starts.name, tkn)
    }
    const now = Date.now()
    const { state, faults } = await readBack(connection, new Map(writers.flatMap(({ id, tokens, mortals }) => [...tokens, ...dead(id, mortals, now)])))
    for (const message of faults) tally.faults.push({ kind: 'torn', message })
    compare(writers, state, tally)
    await checkTotals(connection, writers, state, tally, now)
  } finally {
    connection.close()
  }
}

/** Tokens, by a label of its own, of sessions that have to be gone at `now`: one that is found has no place in any state. */
function dead (id: string, mortals: readonly Mortal[], now: number): Array<[string, string]> {
  return mortals.flatMap(({ tkn, startedBy }, index) => tkn !== undefined && startedBy + MORTAL <= now ? [[`${id}.mortal${index}`, tkn]] : [])
}

function compare (writers: readonly Writer[], found: State, tally: Tally): void {
  const parts = new Map<string, Map<string, string>>(writers.map(({ id }) => [id, new Map()]))
  for (const [cell, text] of found) {
    const part = parts.get(ownerOf(cell))
    if (part !== undefined) part.set(cell, text)
    else tally.faults.push({ kind: 'resurrected', message: `${JSON.stringify(cell)} is nobody's, and is ${text.slice(0, 100)}` })
  }
  for (const writer of writers) {
    const { faults, state } = judge([writer.state, ...writer.pending?.after ?? []], parts.get(writer.id)!)
    tally.faults.push(...faults)
    if (writer.pending?.starts?.kind === 'private') tally.orphans++
    writer.crashed(state)
  }
}

/** What the server counts has to be what was found and, perhaps, sessions that nobody can look into. */
async function checkTotals (connection: Connection, writers: readonly Writer[], found: State, tally: Tally, now: number): Promise<void> {
  const { sessions, keys } = await totals(connection)
  const dying = writers.flatMap(({ mortals }) => mortals).filter(({ startedBy }) => startedBy + MORTAL > now).length
  const known = [...found.keys()].filter(name => !name.includes('\n')).length
  const extra = [sessions - known, keys - (found.size - known)] as const
  if (extra[0] >= 0 && extra[0] <= tally.orphans + dying && extra[1] >= 0 && extra[1] <= dying) return
  const message = `SH_INFO_ALL says ${sessions} sessions and ${keys} keys; there are ${known} and ${found.size - known}, at most ${tally.orphans} more of unknown token, and ${dying} that may have expired`
  tally.faults.push({ kind: 'torn', message })
}
