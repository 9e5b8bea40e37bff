// One state that a power cut could have left: is it what it may be, and is it good to go on with?
import { judge, type Fault } from './judge.js'
import type { State } from './model.js'
import { randomOf } from './random.js'
import { readBack, totals } from './read-back.js'
import { expectation, type Recording } from './recording.js'
import { connect, type Connection } from './server.js'
import { COMMON, commonWriter, ownerOf, randomWriter, type Writer } from './writer.js'

/** Operations that are done on a state once it is found to be right. */
const FURTHER = 12

/** Compares all that a server has with what a cut at that moment may have left. @throws Error when it cannot be read */
export async function inspect (recording: Recording, moment: number, url: string): Promise<Fault[]> {
  const connection = connect(url)
  try {
    const found = await readBack(connection, recording.tokens)
    const faults = [...found.faults.map((message): Fault => ({ kind: 'torn', message })), ...compare(recording, moment, found.state), ...await countFaults(connection, found.state)]
    return faults.length > 0 ? faults : await goOn(connection, recording, found.state)
  } finally {
    connection.close()
  }
}

function compare ({ parts }: Recording, moment: number, found: State): Fault[] {
  const ever = (cell: string, text: string) => parts.some(({ done }) => done.some(({ operation }) => operation.after.some(state => state.get(cell) === text)))
  return parts.flatMap(part => {
    const own = new Map([...found].filter(([cell]) => ownerOf(cell) === part.id))
    return judge(expectation(part, moment).candidates, own, ever).faults
  })
}

async function countFaults (connection: Connection, found: State): Promise<Fault[]> {
  const { sessions, keys } = await totals(connection)
  const known = [...found.keys()].filter(name => !name.includes('\n')).length
  if (sessions === known && keys === found.size - known) return []
  return [{ kind: 'torn', message: `SH_INFO_ALL says ${sessions} sessions and ${keys} keys; there are ${known} and ${found.size - known}` }]
}

/** Writes more, and reads all again: pages that are taken for free and are not would now be overwritten. */
async function goOn (connection: Connection, { tokens }: Recording, found: State): Promise<Fault[]> {
  const work = async (writer: Writer, count: number) => {
    for (let left = count; left > 0; left--) writer.answered(await connection.send(writer.next().request))
  }
  const common = commonWriter()
  await work(common, 1)
  const writer = randomWriter('further', common.tokens.get(COMMON)!, randomOf(1), { mortals: false })
  await work(writer, FURTHER)
  const { state } = await readBack(connection, new Map([...tokens, ...common.tokens, ...writer.tokens]))
  return [...judge([new Map([...common.state, ...found, ...writer.state])], state).faults]
}
