import type { FileHandle } from 'node:fs/promises'
import { BigSet } from '../big-set.js'
import { reason } from '../reason.js'
import { expire, type Session, type SessionCopy, type SessionStore } from '../session.js'
import { InputError } from '../stores/input-error.js'
import { checkExportHeader, isEnd, LineFault, MAX_LINE_BYTES, parseSession } from './line.js'
import { readLines } from './read-lines.js'
import type { Part, Watch } from '../stores/data-store.js'
import { counted } from './words.js'

/** Bytes of the first line at most. Of a file that is no export no more is read. */
const MAX_HEADER_BYTES = 1024

/** Faulty lines that are listed before the check gives up. */
const MAX_FAULTS = 10

/** Sessions, and bytes of their lines, that are given to the store at once, so that they can share its transactions. */
const BATCH_SESSIONS = 1000
const BATCH_BYTES = 4 * 1024 * 1024

/** How far an import is: bytes of the file that are checked, then sessions of it that are dealt with. */
export type ImportState = Part & { readonly phase: 'check' | 'import' }

/** What became of the sessions of an export. */
export interface Imported {
  readonly sessions: number
  /** Of these sessions. */
  readonly keys: number
  /** Sessions that were alive in the store already, and left as they were. */
  readonly kept: number
  /** Sessions that have ended since the export. */
  readonly expired: number
}

/**
 * Reads all of an export and checks every line of it.
 *
 * @returns the number of sessions
 * @throws {InputError} with the first faulty lines
 */
export async function checkExport (file: FileHandle, watch: Watch<ImportState> = {}, longest = MAX_LINE_BYTES): Promise<number> {
  await checkBeginning(file)
  const { size: of } = await file.stat()
  const faults: string[] = []
  const seen = new BigSet()
  let sessions = 0
  let ended = false
  let lines = 1
  for await (const { number, bytes, end } of readLines(file, longest)) {
    watch.signal?.throwIfAborted()
    lines = number
    if (number === 1) continue
    const fault = ended ? 'nothing can follow the line that ends an export' : faultOf(bytes, seen)
    if (fault !== undefined) faults.push(`line ${number}: ${fault}`)
    if (ended || faults.length === MAX_FAULTS) break
    ended = isEnd(bytes)
    if (!ended) sessions++
    watch.report?.({ phase: 'check', done: end, of })
  }
  if (!ended && faults.length < MAX_FAULTS) faults.push(`line ${lines + 1}: the line that ends an export is missing, so that this is not all of it`)
  if (faults.length > 0) throw faulty(faults)
  return sessions
}

/**
 * Adds the sessions of an export to a store, after checkExport() has found nothing wrong with it.
 *
 * @param of the sessions in it
 * @param now the time in milliseconds since the Unix epoch, asked anew for every session
 * @throws Error that says how many were imported, when it could not be all
 */
export async function importSessions (
  file: FileHandle, of: number, store: Pick<SessionStore, 'restore'>, now: () => number, watch: Watch<ImportState> = {}
): Promise<Imported> {
  const counts = { sessions: 0, keys: 0, kept: 0, expired: 0 }
  try {
    for await (const batch of batches(file)) {
      watch.signal?.throwIfAborted()
      await restoreAll(store, batch, now, counts)
      watch.report?.({ phase: 'import', done: counts.sessions + counts.kept + counts.expired, of })
    }
  } catch (error) {
    const done = `${counts.sessions.toLocaleString('en')} of ${counted(of, 'session')}`
    throw new Error(`stopped when ${done} were imported, and can be run again to go on: ${reason(error)}`)
  }
  return counts
}

function faulty (faults: readonly string[]): InputError {
  const more = faults.length < MAX_FAULTS ? [] : ['Faulty lines after these are not listed.']
  return new InputError('nothing is imported, because this is not an export of Holdfast without faults', [...faults, ...more])
}

async function checkBeginning (file: FileHandle): Promise<void> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_HEADER_BYTES), 0, MAX_HEADER_BYTES, 0)
  const beginning = buffer.subarray(0, bytesRead)
  const lineEnd = beginning.indexOf('\n')
  const fault = lineFault(() => checkExportHeader(beginning.subarray(0, lineEnd < 0 ? bytesRead : lineEnd)))
  if (fault !== undefined) throw faulty([`line 1: ${fault}`])
}

function faultOf (bytes: Buffer, seen: BigSet): string | undefined {
  return lineFault(() => {
    if (!isEnd(bytes) && !seen.add(parseSession(bytes).id)) throw new LineFault('id: stands on an earlier line too')
  })
}

function lineFault (check: () => void): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (!(error instanceof LineFault)) throw error
    return error.message
  }
}

async function * batches (file: FileHandle): AsyncGenerator<SessionCopy[]> {
  let batch: SessionCopy[] = []
  let length = 0
  for await (const { number, bytes } of readLines(file, MAX_LINE_BYTES)) {
    if (number === 1 || isEnd(bytes)) continue
    batch.push(parseSession(bytes))
    length += bytes.length
    if (batch.length < BATCH_SESSIONS && length < BATCH_BYTES) continue
    yield batch
    batch = []
    length = 0
  }
  yield batch
}

/** Adds sessions to the store and to `counts`. Rejects once all of them are dealt with, if one could not be added. */
async function restoreAll (
  store: Pick<SessionStore, 'restore'>, batch: readonly SessionCopy[], now: () => number, counts: { -readonly [K in keyof Imported]: number }
): Promise<void> {
  const results = await Promise.allSettled(batch.map(async ({ id, session: exported, keys: all }) => {
    const time = now()
    const begun = begunBy(time, exported)
    const session = expire(begun, time)
    if (session === undefined) {
      counts.expired++
      return
    }
    // One whose time has started again has lost its keys.
    const keys = session === begun ? all : new Map<string, never>()
    if (await store.restore({ id, session, keys }, time)) {
      counts.sessions++
      counts.keys += keys.size
    } else {
      counts.kept++
    }
  }))
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** The session with no time of it ahead of `now`, from where it would live for longer than it is given. */
function begunBy (now: number, session: Session): Session {
  return { ...session, startedAt: Math.min(session.startedAt, now), usedAt: Math.min(session.usedAt, now) }
}
