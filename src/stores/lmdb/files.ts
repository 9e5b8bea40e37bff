import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, type Stats, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { PRIVATE_DIRECTORY, PRIVATE_FILE, syncDirectory, writeWhole } from '../../durable.js'
import { FORMAT } from './records.js'
import type { StoreFiles } from './options.js'

/** The files in the directory of an LMDB store. */
export const FILES = {
  /** LMDB's tables. */
  data: 'data.mdb',
  /** Where LMDB keeps who reads and who writes. */
  lock: 'lock.mdb',
  /** Says that the directory holds a store, so that a data file that went missing is not taken for a new one. */
  marker: 'holdfast.json',
  /** Of a store that was closed: the data file as it was left, so that it need not be checked again. */
  stamp: 'closed.json',
  /** Says that LMDB has met what it could not read, so that the data file is checked again. */
  suspicion: 'suspect',
  /** Locked by the server that has the directory, and says which that is. */
  owner: 'owner.lock',
  /** Locked by all processes that write. */
  members: 'members.lock',
  /** Locked by the process that writes at the moment, or opens LMDB. */
  writer: 'writer.lock',
  /** Where the tokens of shared sessions derive from. No backup and no export has it. */
  secret: 'secret',
  /** Where a new store is made. */
  making: 'new',
} as const

/** Makes a directory and those above it, durably. @throws {Error} when something else has the name */
export function makeDirectory (directory: string): void {
  const found = statOf(directory)
  if (found?.isDirectory() === false) throw new Error(`${directory} is a file and not a directory`)
  if (found !== undefined) return
  // One by one, because Node's `recursive` never returns below a directory such as /proc that takes no new ones.
  const parent = dirname(resolve(directory))
  makeDirectory(parent)
  mkdirSync(directory, { mode: PRIVATE_DIRECTORY })
  syncDirectory(parent)
}

/** What has a name; undefined when nothing has it, or when a part of the path is no directory, where Node before 22 throws. */
export function statOf (path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error // As Node's file system throws.
    return undefined
  }
}

/** What a file of ours says; undefined when it is not there. @throws {SyntaxError} when it is not JSON */
export function readJson (directory: string, name: string): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(readFileSync(join(directory, name), 'utf8'))
    return content instanceof Object ? { ...content } : {}
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined // Only read: undefined on every other error.
    throw error
  }
}

/** Whether the directory holds a store. @throws {Error} when it says that it does, but of a kind that this version does not read */
export function hasMarker (directory: string): boolean {
  let marker: Record<string, unknown> | undefined
  try {
    marker = readJson(directory, FILES.marker)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    marker = {}
  }
  if (marker === undefined) return false
  if (marker.holdfast !== 'store') throw new Error(`${FILES.marker} is damaged, or not of Holdfast`)
  if (String(marker.format) !== FORMAT) throw otherFormat(String(marker.format))
  return true
}

export function otherFormat (format: string): Error {
  return new Error(`it holds data of format ${format.slice(0, 20)}; this version of Holdfast reads format ${FORMAT}`)
}

/** Marks the directory as one that holds a store. */
export function writeMarker (directory: string): void {
  writeWhole(join(directory, FILES.marker), `${JSON.stringify({ holdfast: 'store', format: Number(FORMAT), instance: randomUUID() })}\n`)
}

/** What changes whenever the data file does. */
function identity (directory: string): Record<string, string> {
  const { ino, size, mtimeNs, ctimeNs } = statSync(join(directory, FILES.data), { bigint: true })
  return { ino: `${ino}`, size: `${size}`, mtimeNs: `${mtimeNs}`, ctimeNs: `${ctimeNs}` }
}

/** Notes that the data file was closed well, and how it was then. */
export function writeStamp (directory: string): void {
  writeWhole(join(directory, FILES.stamp), `${JSON.stringify(identity(directory))}\n`)
}

/** Whether the data file is as it was when the store was closed. */
function isAsClosed (directory: string): boolean {
  try {
    const stamp = readJson(directory, FILES.stamp)
    return stamp !== undefined && JSON.stringify(stamp) === JSON.stringify(identity(directory))
  } catch {
    return false
  }
}

/** A file of fewer bytes is checked anyway: it takes a tenth of a second, and shows what has rotted on the disk meanwhile. */
const CHECKED_ANYWAY_BYTES = 64 * 2 ** 20

/** Whether the data file has to be read as a whole before LMDB opens it. */
export function needsCheck (directory: string): boolean {
  const isSmall = statSync(join(directory, FILES.data)).size < CHECKED_ANYWAY_BYTES
  return isSmall || existsSync(join(directory, FILES.suspicion)) || !isAsClosed(directory)
}

/** Notes that the next start has to check the data file. */
export function writeSuspicion (directory: string): void {
  try {
    writeFileSync(join(directory, FILES.suspicion), '', { mode: PRIVATE_FILE })
  } catch {
    // On a full disk, say. The next start then skips the check only of a large file that was closed well.
  }
}

export function removeSuspicion (directory: string): void {
  rmSync(join(directory, FILES.suspicion), { force: true })
}

/** @throws {Error} naming what stands where a file of the store should: opening it could hang, or crash LMDB */
export function requireFiles (directory: string): void {
  for (const name of Object.values(FILES)) {
    if (name !== FILES.making && statOf(join(directory, name))?.isFile() === false) throw new Error(`${name} is not a file`)
  }
}

/** Which files a directory has under LMDB's names. */
export function filesOf (directory: string): StoreFiles {
  const place = (name: string): string => {
    const found = statOf(join(directory, name))
    return found === undefined ? 'nowhere' : `${found.dev}:${found.ino}`
  }
  return { data: place(FILES.data), lock: place(FILES.lock) }
}

/** LMDB's files are no longer those that were opened: what this process writes to them is lost when it ends. */
export class ReplacedError extends Error {}

/** @throws {ReplacedError} */
export function requireSame (directory: string, files: StoreFiles): void {
  const now = filesOf(directory)
  for (const name of ['data', 'lock'] as const) {
    if (now[name] !== files[name]) throw new ReplacedError(`${FILES[name]} in ${directory} was removed or replaced while it was in use`)
  }
}

/** Takes the note away that the data file was closed well: before anything is changed. */
export function removeStamp (directory: string): void {
  rmSync(join(directory, FILES.stamp), { force: true })
  syncDirectory(directory)
}
