import type { SessionStore } from '../session.js'
import type { Claim, StoreOptions } from './options.js'

/** Which store a URL means. */
export type StoreUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb', readonly directory: string }

/**
 * Reads `memory:` or `lmdb:<directory>` without opening anything.
 * Throws an Error that names what is allowed; it does not repeat the URL, which may hold a password.
 */
export function parseStoreUrl (url: string): StoreUrl {
  const [, kind, rest] = /^(\w+):(.*)$/s.exec(url) ?? []
  if (kind === 'memory' && rest === '') return { kind }
  if (kind === 'lmdb' && rest !== undefined && rest !== '') return { kind, directory: rest }
  throw new Error('The store must be memory: or lmdb:<directory>, such as lmdb:./data')
}

/** Opens the store that the URL means; a store that is not asked for is not even loaded. Rejects when it cannot be opened. */
export async function openStore (url: string, options: StoreOptions = {}): Promise<SessionStore> {
  const parsed = parseStoreUrl(url)
  if (parsed.kind === 'memory') {
    const { memoryStore } = await import('./memory.js')
    return memoryStore()
  }
  const { lmdbStore } = await import('./lmdb.js')
  return lmdbStore(parsed.directory, options)
}

/** Takes the data that the URL means for this process and its workers, and checks it. Rejects as openStore() does. */
export async function claimStore (url: string): Promise<Claim> {
  const parsed = parseStoreUrl(url)
  if (parsed.kind === 'memory') throw new Error('Processes cannot share what one of them has in memory')
  const { claimDirectory } = await import('./lmdb.js')
  return await claimDirectory(parsed.directory)
}
