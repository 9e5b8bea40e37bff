import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RootDatabase, Transaction } from 'lmdb'
import { expire } from '../../session.js'
import { FILES } from './files.js'
import type { Reader } from './reader.js'
import {
  allKeys, decodeKey, decodeStored, FORMAT, generationOf, isFormat, isIntact, payloadBytes, type Stored,
} from './records.js'
import { openTable, TABLE_NAMES } from './tables.js'
import type { Inspection, Part, Verification, Watch } from '../data-store.js'

/** Entries that are read in one turn of the event loop; between two turns a signal is handled. */
const ENTRIES_PER_TURN = 500

/** How many damaged records are named. */
const EXAMPLES = 100

interface Entry { readonly key: Buffer, readonly value: Buffer }

/** What a store holds that is open for reading. @param now milliseconds since the Unix epoch */
export async function inspect ({ root }: Reader, directory: string, now: number): Promise<Inspection> {
  const keys = openTable(root, 'keys')
  const found = { sessions: 0, keys: 0, bytes: 0, expired: 0 }
  await eachEntry(root, ['sessions'], (_table, { key: id, value }, snapshot) => {
    if (!isIntact(id, value)) return
    const stored = decodeStored(id, value)
    const session = expire(stored.session, now)
    if (session !== undefined) found.sessions++
    if (session !== stored.session) {
      found.expired++
      return
    }
    for (const { key, value } of keys.getRange({ ...allKeys(stored.generation), transaction: snapshot })) {
      found.keys++
      found.bytes += payloadBytes(key, value)
    }
  })
  return { kind: 'lmdb', format: FORMAT, ...found, diskBytes: statSync(join(directory, FILES.data)).size }
}

/** Checks every record of a store that is open for reading. */
export async function verify ({ root }: Reader, { report, signal }: Watch<Part>): Promise<Verification> {
  const tables = [...TABLE_NAMES, 'meta']
  const of = tables.reduce((sum, name) => sum + openTable(root, name).getKeysCount(), 0)
  let records = 0
  let damaged = 0
  const examples: Array<{ table: string, key: Buffer }> = []
  await eachEntry(root, tables, (table, { key, value }) => {
    if (records++ % ENTRIES_PER_TURN === 0) report?.({ done: records, of })
    signal?.throwIfAborted()
    if (isIntact(key, value) || (table === 'meta' && isFormat(key))) return
    if (damaged++ < EXAMPLES) examples.push({ table, key: Buffer.from(key) })
  })
  return { records, damaged, examples: await named(root, examples) }
}

/** Goes through tables as they are at one moment, and lets the event loop turn in between. */
async function eachEntry (root: RootDatabase, tables: readonly string[], visit: (table: string, entry: Entry, snapshot: Transaction) => void): Promise<void> {
  // Opening a table ends the read transaction, and lmdb begins one with the first read only.
  const opened = tables.map(name => ({ name, table: openTable(root, name) }))
  root.doesExist('anything')
  const snapshot = root.useReadTransaction()
  try {
    for (const { name, table } of opened) {
      for (let after: Buffer | undefined; ;) {
        const start = after && { start: after, exclusiveStart: true }
        const entries = [...table.getRange({ ...start, limit: ENTRIES_PER_TURN, transaction: snapshot })]
        for (const entry of entries) visit(name, entry, snapshot)
        if (entries.length < ENTRIES_PER_TURN) break
        after = entries.at(-1)?.key
        await setImmediate()
      }
    }
  } finally {
    snapshot.done()
  }
}

/** Names damaged records. A key's record has its session's generation and not its id, so the session has to be looked up. */
async function named (root: RootDatabase, damaged: ReadonlyArray<{ table: string, key: Buffer }>): Promise<string[]> {
  const ids = new Map<number, string>(damaged.filter(({ table }) => table === 'keys').map(({ key }) => [generationOf(key), 'none that is known']))
  if (ids.size > 0) {
    await eachEntry(root, ['sessions'], (_table, { key: id, value }) => {
      const stored: Stored | undefined = isIntact(id, value) ? decodeStored(id, value) : undefined
      if (stored !== undefined && ids.has(stored.generation)) ids.set(stored.generation, id.toString('hex'))
    })
  }
  return damaged.map(({ table, key }) => {
    const what = table === 'keys' ? `key ${JSON.stringify(decodeKey(key))} of session ${ids.get(generationOf(key))}` : `${table} ${key.toString('hex')}`
    return `${what}: does not fit its CRC32`
  })
}
