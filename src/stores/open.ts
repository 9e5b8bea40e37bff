import type { SessionStore } from '../session.js'

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
export async function openStore (url: string): Promise<SessionStore> {
  const parsed = parseStoreUrl(url)
  if (parsed.kind === 'memory') {
    const { memoryStore } = await import('./memory.js')
    return memoryStore()
  }
  const { lmdbStore } = await import('./lmdb.js')
  return lmdbStore(parsed.directory)
}
