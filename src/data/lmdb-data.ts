import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { checkData } from '../stores/lmdb-check.js'
import { FILES, makeDirectory, statOf, syncFile, writeMarker } from '../stores/lmdb-files.js'
import { lmdbReader, lmdbStore } from '../stores/lmdb.js'
import { openReader, NoStoreError, type Reader } from '../stores/lmdb-reader.js'
import { parseStoreUrl } from '../stores/open.js'
import { InputError } from './input-error.js'
import { inspect, verify } from './lmdb-look.js'
import type { Backup, DataStores, Part, Watch } from './stores.js'

/** Milliseconds between two looks at how far a copy is. */
const LOOK_EVERY = 200

/** The stores that the data commands know. */
export const dataStores: DataStores = {
  async open (url, purpose) {
    const directory = directoryOf(url)
    return purpose === 'import' ? await lmdbStore(directory) : await reading(async () => await lmdbReader(directory))
  },
  async backup (url, directory, now, watch) {
    refuseUsed(directory)
    const reader = await reading(async () => await openReader(directoryOf(url)))
    try {
      return await backup(reader, directoryOf(url), directory, now, watch)
    } finally {
      await reader.close()
    }
  },
  inspect: async (url, now) => await withReader(url, async reader => await inspect(reader, directoryOf(url), now)),
  verify: async (url, watch) => await withReader(url, async reader => await verify(reader, watch), true)
}

function directoryOf (url: string): string {
  const store = parseStoreUrl(url)
  if (store.kind !== 'lmdb') throw new InputError('a store in memory holds nothing outside of its process')
  return store.directory
}

async function reading<T> (open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw error instanceof NoStoreError ? new InputError(error.message) : error
  }
}

async function withReader<T> (url: string, use: (reader: Reader) => Promise<T>, thorough = false): Promise<T> {
  const reader = await reading(async () => await openReader(directoryOf(url), thorough))
  try {
    return await use(reader)
  } finally {
    await reader.close()
  }
}

function refuseUsed (directory: string): void {
  const found = statOf(directory)
  if (found === undefined) return
  if (!found.isDirectory()) throw new InputError(`${directory} is a file and not a directory`)
  if (readdirSync(directory).length > 0) throw new InputError(`${directory} is not empty: a backup is made in a directory of its own`)
}

async function backup ({ root }: Reader, source: string, directory: string, now: number, { report, signal }: Watch<Part>): Promise<Backup> {
  const isNew = !existsSync(directory)
  const copy = join(directory, FILES.data)
  const whole = statSync(join(source, FILES.data)).size
  const timer = setInterval(() => report?.({ done: statOf(copy)?.size ?? 0, of: whole }), LOOK_EVERY)
  try {
    makeDirectory(directory)
    signal?.throwIfAborted()
    // LMDB cannot be stopped in the middle, and must not be closed before it has ended.
    await copyTo(root, directory)
    signal?.throwIfAborted()
    syncFile(copy)
    // What was copied is what can be read: a backup is of no use if that shows only when it is needed.
    const { bytes, damaged } = checkData(copy, () => {})
    writeMarker(directory)
    const store = await lmdbReader(directory)
    const totals = await store.totals(now).finally(async () => { await store.close() })
    return { ...totals, bytes, damaged }
  } catch (error) {
    for (const name of isNew ? [''] : [FILES.data, FILES.marker]) rmSync(join(directory, name), { recursive: true, force: true })
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
