// The program that contention.test.ts starts: opens a directory, and from the first message on writes to it without pause, beside
// others that do. It answers each message after one more transaction. As `bare` it leaves it to LMDB who writes when, as `guarded`
// it does as a store does.
import { Environment } from '../../src/stores/lmdb/environment.js'
import { lockAsMember } from '../../src/stores/lmdb/locks.js'
import { openRoot } from '../../src/stores/lmdb/root.js'
import { openTable } from '../../src/stores/lmdb/tables.js'
import { openWriterLock } from '../../src/stores/lmdb/writer-lock.js'

const [directory, way] = process.argv.slice(2) as [string, 'bare' | 'guarded'] // As start() says it.

/** Transactions in one turn of the event loop. */
const TURN = 20

lockAsMember(directory)
const lock = openWriterLock(directory)
const { root, table } = await lock.hold(() => {
  const root = openRoot(directory)
  return { root, table: openTable(root, 'sessions') }
})
const environment = new Environment({ root, lock, directory, takeGrowth: () => 0 }, {})
const transact = way === 'bare' ? (work: () => void) => root.transactionSync(work) : (work: () => void) => environment.transact(work)

const key = Buffer.from(`process ${process.pid}`)
const value = Buffer.alloc(4)
let count = 0
let isAsked = false

function write (): void {
  transact(() => {
    const found = table.get(key)?.readUInt32LE() ?? 0
    if (found !== count) throw new Error(`transaction ${count} is not there any more: ${found} is`)
    value.writeUInt32LE(count + 1)
    table.putSync(key, value)
  })
  count++
}

function turn (): void {
  for (let n = 0; n < TURN; n++) write()
  if (isAsked) process.send!(count)
  isAsked = false
  setImmediate(turn)
}

process.once('message', turn)
process.on('message', () => { isAsked = true })
process.on('disconnect', () => process.exit())
process.send!('open')
