import { chmodSync, existsSync, lstatSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { checkData } from './check.js'
import { PRIVATE_FILE, syncFile } from '../../durable.js'
import { FILES, makeDirectory, statOf, writeMarker } from './files.js'
import { InUseError } from './locks.js'
import { lmdbReader, lmdbStore } from './open.js'
import { openReader, NoStoreError, type Reader } from './reader.js'
import { InputError } from '../input-error.js'
import { inspect, verify } from './inspect.js'
import type { Backup, DataStore, Part, Watch } from '../data-store.js'

/** Milliseconds between two looks at how far a copy is. */
const LOOK_EVERY_MS = 200

/** The store in a directory. @throws {InputError} when that is none */
export function lmdbData (source: string): DataStore {
  if (statOf(source)?.isDirectory() === false) throw new InputError(`${source} is a file and not a directory`)
  return {
    open: async purpose => await opening(async () => await (purpose === 'import' ? lmdbStore(source) : lmdbReader(source))),
    async backup (directory, now, watch) {
      refuseTarget(directory, source)
      return await withReader(source, async reader => await backup(reader, source, directory, now, watch))
    },
    inspect: async now => await withReader(source, async reader => await inspect(reader, source, now)),
    verify: async watch => await withReader(source, async reader => await verify(reader, watch), true),
  }
}

async function opening<T> (open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw error instanceof NoStoreError || error instanceof InUseError ? new InputError(error.message) : error
  }
}

async function withReader<T> (directory: string, use: (reader: Reader) => Promise<T>, thorough = false): Promise<T> {
  const reader = await opening(async () => await openReader(directory, thorough))
  try {
    return await use(reader)
  } finally {
    await reader.close()
  }
}

/** @param source where the store is */
function refuseTarget (directory: string, source: string): void {
  if (/^(?:lmdb|memory):/.test(directory)) throw new InputError(`a backup goes to a directory, and ${directory} is the URL of a store`)
  if (realPath(directory).startsWith(realPath(source) + sep)) throw new InputError(`${directory} lies in ${source}, the directory of the store itself`)
  const found = statOf(directory)
  if (found === undefined) {
    if (isLink(directory)) throw new InputError(`${directory} is a link that leads nowhere`)
    return
  }
  if (!found.isDirectory()) throw new InputError(`${directory} is a file and not a directory`)
  if (readdirSync(directory).length > 0) throw new InputError(`${directory} is not empty: a backup is made in a directory of its own`)
}

/** Where a path leads once all of it is made that is not there. */
function realPath (path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const whole = resolve(path)
    const parent = dirname(whole)
    return parent === whole ? whole : join(realPath(parent), basename(whole))
  }
}

function isLink (path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false
  }
}

async function backup ({ root }: Reader, source: string, directory: string, now: number, { report, signal }: Watch<Part>): Promise<Backup> {
  const isNew = !existsSync(directory)
  // LMDB lets everybody read the file that it makes, so it makes it in a directory that only this user can enter.
  const making = join(directory, FILES.making)
  const copy = join(making, FILES.data)
  const whole = statSync(join(source, FILES.data)).size
  const timer = setInterval(() => report?.({ done: statOf(copy)?.size ?? 0, of: whole }), LOOK_EVERY_MS)
  try {
    makeDirectory(directory)
    makeDirectory(making)
    signal?.throwIfAborted()
    // LMDB cannot be stopped in the middle, and must not be closed before it has ended.
    await copyTo(root, making)
    signal?.throwIfAborted()
    chmodSync(copy, PRIVATE_FILE)
    syncFile(copy)
    // A backup that cannot be read is found out now, and not when it is needed.
    const { bytes, damaged } = checkData(copy, () => {})
    renameSync(copy, join(directory, FILES.data))
    rmSync(making, { recursive: true })
    writeMarker(directory)
    const store = await lmdbReader(directory)
    const totals = await store.totals(now).finally(async () => { await store.close() })
    return { ...totals, bytes, damaged }
  } catch (error) {
    for (const name of isNew ? [''] : [FILES.making, FILES.data, FILES.marker]) rmSync(join(directory, name), { recursive: true, force: true })
    throw error
  } finally {
    clearInterval(timer)
  }
}

/** With compaction, which LMDB refuses when its free list has lost pages: then as it is. */
async function copyTo (root: RootDatabase, directory: string): Promise<void> {
  try {
    await root.backup(directory, true)
  } catch {
    rmSync(join(directory, FILES.data), { force: true })
    await root.backup(directory, false)
  }
}
