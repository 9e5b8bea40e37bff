import { closeSync, existsSync, fstatSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PRIVATE_FILE, syncDirectory } from '../../durable.js'
import { refuseWhenFull } from './faults.js'
import { checkDataFile, DataFileError } from './file/check.js'
import { FILES, hasMarker, makeDirectory, needsCheck, otherFormat, removeStamp, removeSuspicion, requireFiles, writeMarker } from './files.js'
import { lockAsOwner, lockOut, type Lock } from './locks.js'
import { FORMAT, hasOwnKey, isFormat, isIntact } from './records.js'
import { makeData } from './root.js'
import { TABLE_NAMES } from './tables.js'

/** A directory that this process has to itself, with a store in it that LMDB can open. */
export interface OwnDirectory {
  /** Lets other processes write too, as members. */
  share (): void
  release (): void
}

/**
 * Takes a directory for this process, makes it and the store when they are not there, and checks what is there before LMDB
 * opens it. Rejects with an Error that says in one line why that can't be.
 * @param report told of damaged records; they are damaged on reading too, and do not keep the rest from being used
 */
export async function takeDirectory (directory: string, report: (error: Error) => void): Promise<OwnDirectory> {
  makeDirectory(directory)
  requireFiles(directory)
  const owner = lockAsOwner(directory)
  let others: Lock | undefined
  try {
    others = await lockOut(directory)
    await prepare(directory, report)
  } catch (error) {
    others?.release()
    owner.release()
    throw error
  }
  const { release: share } = others
  return {
    share,
    release () {
      share()
      owner.release()
    },
  }
}

async function prepare (directory: string, report: (error: Error) => void): Promise<void> {
  const data = join(directory, FILES.data)
  const isMarked = hasMarker(directory)
  if (!existsSync(data)) {
    if (isMarked) throw new Error(`${FILES.data} is missing beside ${FILES.marker}: put it back, or restore a backup; only in an empty directory a new store is made`)
    await make(directory)
  } else if (needsCheck(directory)) {
    checkData(data, report)
    removeSuspicion(directory)
  }
  readyFiles(directory)
  if (!isMarked) writeMarker(directory)
  removeStamp(directory)
}

/** The size that LMDB gives its lock file. */
const LOCK_FILE_BYTES = 8_272

/** Fails with an error where LMDB would crash: when it cannot open its files, and when there is no space for what it maps. */
function readyFiles (directory: string): void {
  closeSync(openSync(join(directory, FILES.data), 'r+'))
  const fd = openSync(join(directory, FILES.lock), 'a+', PRIVATE_FILE)
  try {
    // LMDB would leave a gap, for which there may be no space later. One that is long enough may be in use by who only reads.
    const { size } = fstatSync(fd)
    if (size < LOCK_FILE_BYTES) writeFileSync(fd, Buffer.alloc(LOCK_FILE_BYTES - size))
  } finally {
    closeSync(fd)
  }
}

/** Makes an empty store in a directory beside its place and moves it there, so that a data file is never there in part. */
async function make (directory: string): Promise<void> {
  refuseWhenFull(directory)
  const making = join(directory, FILES.making)
  rmSync(making, { recursive: true, force: true })
  makeDirectory(making)
  await makeData(making)
  renameSync(join(making, FILES.data), join(directory, FILES.data))
  rmSync(making, { recursive: true })
  syncDirectory(directory)
}

const REMEDY = 'restore a backup, or save what is whole with `holdfast salvage <directory> <file>`'

/** What a data file has in it, and how many of its records are damaged. */
export interface DataSummary {
  readonly bytes: number
  /** By table. */
  readonly entries: ReadonlyMap<string, number>
  readonly damaged: number
}

/**
 * Reads a data file as a whole, without LMDB, while nobody writes to it. Damaged values are reported; reading them fails later, too.
 * @throws {Error} when LMDB could not read it, when records are missing, and when it is none of Holdfast's
 */
export function checkData (path: string, report: (error: Error) => void): DataSummary {
  let format: string | undefined
  let missing: string | undefined
  let damaged = 0
  const foreign = new Set<string>()
  const { bytes, entries } = attempt(path, (table, key, value) => {
    if (table === 'meta' && isFormat(key)) {
      format = value.toString()
    } else if (!isIntact(key, value)) {
      if (hasOwnKey(key, value)) damaged++
      else missing ??= table
    }
  })
  for (const table of entries.keys()) if (!TABLES.has(table)) foreign.add(table)
  if (format === undefined || foreign.size > 0) throw new Error(`${FILES.data} is a file of LMDB, but none of Holdfast's`)
  if (format !== FORMAT) throw otherFormat(format)
  if (missing !== undefined) throw new Error(`${FILES.data} is damaged: a record of the table ${missing} has lost its key; ${REMEDY}`)
  if (damaged > 0) report(new Error(`${damaged} records in ${path} are damaged: reading them fails, all others are whole`))
  return { bytes, entries, damaged }
}

function attempt (...[path, visit]: Parameters<typeof checkDataFile>): ReturnType<typeof checkDataFile> {
  try {
    return checkDataFile(path, visit)
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    throw new Error(`${FILES.data} is damaged, or no file of LMDB's: ${error.message}; ${REMEDY}`)
  }
}

const TABLES = new Set<string>([...TABLE_NAMES, 'meta'])
