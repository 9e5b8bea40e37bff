import type { DataStore } from '../../src/stores/data-store.js'
import { dataOf, parseStoreUrl } from '../../src/stores/table.js'

type OfUrl<Method extends (...rest: never[]) => unknown> = (url: string, ...rest: Parameters<Method>) => ReturnType<Method>

/** What the data commands do with a store, each with the URL of the store in front. */
export const dataStores: { readonly [Name in keyof DataStore]: OfUrl<DataStore[Name]> } = {
  open: async (url, purpose) => await (await at(url)).open(purpose),
  backup: async (url, directory, now, watch) => await (await at(url)).backup(directory, now, watch),
  inspect: async (url, now) => await (await at(url)).inspect(now),
  verify: async (url, watch) => await (await at(url)).verify(watch),
}

async function at (url: string): Promise<DataStore> {
  return await dataOf(parseStoreUrl(url))
}
