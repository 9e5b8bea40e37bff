import { parseStoreUrl } from './table.js'
import { InputError } from './input-error.js'
import type { DataStore, DataStores } from './data-store.js'

/** The stores that the data commands know. */
export const dataStores: DataStores = {
  open: async (url, purpose) => await (await dataOf(url)).open(purpose),
  backup: async (url, directory, now, watch) => await (await dataOf(url)).backup(directory, now, watch),
  inspect: async (url, now) => await (await dataOf(url)).inspect(now),
  verify: async (url, watch) => await (await dataOf(url)).verify(watch),
}

/** A kind that is not asked for is not even loaded. */
async function dataOf (url: string): Promise<DataStore> {
  const store = parseStoreUrl(url)
  switch (store.kind) {
    case 'memory': throw new InputError('a store in memory holds nothing outside of its process')
    case 'lmdb': {
      const { lmdbData } = await import('./lmdb/data.js')
      return lmdbData(store.directory)
    }
    case 'valkey': {
      const { valkeyData } = await import('./valkey/data.js')
      return valkeyData(url)
    }
  }
}
