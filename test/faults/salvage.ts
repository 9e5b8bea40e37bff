// What an operator saves of a damaged store, and whether that is right.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { runCommand } from '../../src/cli/run-subcommand.js'
import { checkExport } from '../../src/data/import.js'
import { parseSession } from '../../src/data/line.js'
import { dataOf } from '../../src/stores/table.js'
import { missing, type Content } from '../stores/lmdb/salvaging.js'
import type { Contents } from './contents.js'

/** What came of it: everything, a part, or nothing at all. */
export type Saved = 'all' | 'some' | 'nothing'

/** Runs `holdfast salvage`. @param file where it writes @returns also what must not be */
export async function trySalvage (directory: string, file: string, contents: Contents): Promise<{ saved: Saved, faults: string[] }> {
  const data = join(directory, 'data.mdb')
  const before = existsSync(data) ? readFileSync(data) : undefined
  let said = ''
  const stderr = new Writable({ write (chunk, _encoding, done) { said += chunk; done() } })
  const stdin = Readable.from([])
  const code = await runCommand({ name: 'salvage', path: directory, file }, { stdin, stdout: stderr, stderr, dataOf, now: Date.now })
  const faults: string[] = []
  if (before !== undefined && !readFileSync(data).equals(before)) faults.push('salvage has changed the data file')
  if (!existsSync(file)) {
    if (!/^holdfast salvage: [^\n]+\n$/.test(said) || code === 0) faults.push(`salvage ended with ${code} and ${said}`)
    return { saved: 'nothing', faults }
  }
  try {
    const lost = missing(expected(contents), await found(file))
    const count = lost.sessions.length + lost.keys.length
    if (code !== (count > 0 ? 1 : 0)) faults.push(`salvage ended with ${code}, but ${count} are missing`)
    return { saved: count === 0 ? 'all' : 'some', faults }
  } catch (error) {
    return { saved: 'some', faults: [`salvage: ${error}`] }
  }
}

function expected (contents: Contents): Map<string, Content> {
  return new Map(Array.from(contents, ([tkn, { name, shared, keys }]) => [createHash('sha256').update(tkn).digest('hex'), { session: { name, shared }, keys }]))
}

/** What is in an export. @throws {InputError} when it could not be imported */
async function found (path: string): Promise<Map<string, Content>> {
  const file = await open(path)
  await checkExport(file).finally(async () => { await file.close() })
  const lines = readFileSync(path, 'utf8').trim().split('\n').slice(1, -1)
  return new Map(lines.map(line => {
    const { id, session, keys } = parseSession(Buffer.from(line))
    return [id, { session, keys }]
  }))
}
