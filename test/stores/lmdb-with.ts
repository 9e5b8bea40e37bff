import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { Test } from 'tap'
import type { SessionStore } from '../../src/session.js'
import { lmdbStore } from '../../src/stores/lmdb/open.js'
import type { CommonOptions } from '../../src/stores/options.js'
import { ID, sessionOf, START } from '../store-suite.js'

/** A fresh LMDB store with one session, and lmdb itself on the same directory. */
export async function lmdbWith (t: Test, options: CommonOptions = {}): Promise<{ directory: string, store: SessionStore, raw: RootDatabase }> {
  const directory = join(t.testdir(), 'data')
  const store = await lmdbStore(directory, options)
  await store.create(ID, sessionOf(), START)
  return { directory, store, raw: openRaw(directory) }
}

export function openRaw (directory: string): RootDatabase {
  return open({ path: directory, noSubdir: false, overlappingSync: false })
}
