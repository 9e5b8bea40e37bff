import { resolve } from 'node:path'
import type { SessionStore } from '../session.js'
import type { Claim, StoreOptions } from './options.js'
import { isValkeyUrl, parseValkeyUrl, shownEndpoints, VALKEY_FORM, type ValkeyTarget } from './valkey/url.js'

/** Which store a URL means. */
export type StoreUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb', readonly directory: string }
  | ValkeyTarget

/**
 * Reads `memory:`, `lmdb:<directory>` or the URL of a Valkey or Redis server without opening anything.
 * Throws an Error that names what is allowed; it does not repeat the URL, which may hold a password.
 */
export function parseStoreUrl (url: string): StoreUrl {
  const [, kind, rest] = /^(\w+):(.*)$/s.exec(url) ?? []
  if (kind === 'memory' && rest === '') return { kind }
  if (kind === 'lmdb' && rest !== undefined && rest !== '') return { kind, directory: rest }
  if (isValkeyUrl(url)) return parseValkeyUrl(url)
  throw new Error(`The store must be memory: or lmdb:<directory>, such as lmdb:./data, or ${VALKEY_FORM}`)
}

/** Where a store keeps its data, to follow the word "data". It never holds a password, as a URL may. */
export function placeOf (url: string): string {
  const store = parseStoreUrl(url)
  switch (store.kind) {
    case 'memory': return 'in memory only'
    case 'lmdb': return `in ${resolve(store.directory)}`
    case 'valkey': return store.isCluster ? `on a valkey cluster at ${shownEndpoints(store)}` : `on valkey at ${shownEndpoints(store)}/${store.database}`
  }
}

/** Opens the store that the URL means; a store that is not asked for is not even loaded. Rejects when it cannot be opened. */
export async function openStore (url: string, options: StoreOptions = {}): Promise<SessionStore> {
  const parsed = parseStoreUrl(url)
  if (parsed.kind === 'memory') {
    const { memoryStore } = await import('./memory.js')
    return memoryStore()
  }
  if (parsed.kind === 'valkey') {
    const { valkeyStore } = await needing('iovalkey', async () => await import('./valkey/store.js'))
    const { timeout, deadline } = options
    return valkeyStore(parsed, { ...options, ...timeout !== undefined && { openTimeoutS: timeout }, ...deadline !== undefined && { answerDeadlineMs: deadline } })
  }
  const { lmdbStore } = await import('./lmdb/store.js')
  return lmdbStore(parsed.directory, options)
}

/**
 * Takes the data that the URL means for this process and its workers, and checks it; undefined for data that is elsewhere,
 * which nobody has to himself. Rejects as openStore() does.
 */
export async function claimStore (url: string): Promise<Claim | undefined> {
  const parsed = parseStoreUrl(url)
  if (parsed.kind === 'valkey') return undefined
  if (parsed.kind === 'memory') throw new Error('Processes cannot share what one of them has in memory')
  const { claimDirectory } = await import('./lmdb/store.js')
  return await claimDirectory(parsed.directory)
}

/**
 * Loads a part of ours that needs a package which may have been left out when Holdfast was installed.
 * Rejects with an Error that says how to get the package when that is what is missing.
 */
export async function needing<T> (name: string, load: () => Promise<T>): Promise<T> {
  return await load().catch(error => {
    // Node's words: its code for this does not say which package, and is lost where a loader stands between.
    const isMissing = error instanceof Error && error.message.startsWith(`Cannot find package '${name}'`)
    throw isMissing ? new Error(`the package ${name} is not installed: add it with npm install ${name}`) : error
  })
}
