import type { SessionStore } from '../session.js'
import type { DataStore } from './data-store.js'
import { InputError } from './input-error.js'
import type { LmdbOptions } from './lmdb/options.js'
import { lmdbRow } from './lmdb/row.js'
import { memoryRow } from './memory.js'
import type { CommonOptions } from './options.js'
import type { Claim, StoreRow } from './row.js'
import type { ValkeyOptions } from './valkey/options.js'
import { valkeyRow } from './valkey/row.js'

/** The table: every kind of store. */
export const STORES = {
  memory: memoryRow,
  lmdb: lmdbRow,
  valkey: valkeyRow,
}

export type StoreKind = keyof typeof STORES

/** Where a store keeps its data, as its URL says: plain data. */
export type StoreLocation = ReturnType<(typeof STORES)[StoreKind]['parse']>

/** What a store is opened with: what all take, and what one kind takes under its name. */
export interface StoreOptions extends CommonOptions {
  readonly lmdb?: LmdbOptions
  readonly valkey?: ValkeyOptions
}

/** The rows of the table, in its order. */
export const STORE_ROWS: ReadonlyArray<StoreRow<StoreLocation>> = Object.values(STORES)

/** The row of a location's kind, which takes that location and its options: the two come from one row. */
export function rowOf ({ kind }: StoreLocation): StoreRow<StoreLocation> {
  return STORES[kind]
}

function rowFor (url: string): StoreRow<StoreLocation> | undefined {
  const [, scheme = ''] = /^([a-z]+):/.exec(url) ?? []
  return STORE_ROWS.find(({ schemes }) => schemes.includes(scheme))
}

/** Whether a text means a store, well-formed or not. */
export function isStoreUrl (text: string): boolean {
  return rowFor(text) !== undefined
}

/**
 * Reads the URL of a store without opening anything. Throws an Error that says what is wrong; it does not repeat the URL, which
 * may hold a password.
 */
export function parseStoreUrl (url: string): StoreLocation {
  const row = rowFor(url)
  if (row === undefined) throw new Error(`The store must be ${STORE_ROWS.map(({ form }) => form).join(' or ')}`)
  return row.parse(url)
}

/** Where a store keeps its data, to follow the word "data". It never holds a password, as a URL may. */
export function placeOf (location: StoreLocation): string {
  return rowOf(location).show(location)
}

/** Opens the store that a URL means. Rejects with an Error that says in one line why it cannot be opened. */
export async function openStore (url: string, options: StoreOptions = {}): Promise<SessionStore> {
  return await openAt(parseStoreUrl(url), options)
}

/** Opens the store at a location. Rejects as openStore() does. */
export async function openAt (location: StoreLocation, options: StoreOptions = {}): Promise<SessionStore> {
  const own = (options as Partial<Record<StoreKind, object>>)[location.kind] // As StoreOptions is made: a kind without options of its own has no member.
  return await rowOf(location).open(location, { ...options, ...own })
}

/** Takes the data at a location for this process and its workers, and checks it; undefined for data that is elsewhere. Rejects as openStore() does. */
export async function claimData (location: StoreLocation): Promise<Claim<StoreOptions> | undefined> {
  const claim = await rowOf(location).claim?.(location)
  return claim && { options: { [location.kind]: claim.options }, release: async isSound => await claim.release(isSound) }
}

/** What the data commands do with the store at a location. @throws {InputError} when its kind holds nothing outside of its process */
export async function dataOf (location: StoreLocation): Promise<DataStore> {
  const row = rowOf(location)
  if (row.data === undefined) throw new InputError(`a store ${row.show(location)} holds nothing outside of its process`)
  return await row.data(location)
}
