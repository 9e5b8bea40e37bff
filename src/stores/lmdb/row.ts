import { resolve } from 'node:path'
import type { StoreRow } from '../row.js'
import type { LmdbOptions } from './options.js'

export interface LmdbLocation { readonly kind: 'lmdb', readonly directory: string }

/** Sessions in a directory of this machine: the embedded, durable store. */
export const lmdbRow: StoreRow<LmdbLocation, LmdbOptions> = {
  schemes: ['lmdb'],
  form: 'lmdb:<directory>',
  shortForm: 'lmdb:<directory>',
  about: '',
  needsWatchdog: true,
  parse (url) {
    const directory = url.slice('lmdb:'.length)
    if (directory === '') throw new Error('The URL of the store names no directory: the form is lmdb:<directory>, such as lmdb:./data')
    return { kind: 'lmdb', directory }
  },
  show: ({ directory }) => `in ${resolve(directory)}`,
  async open ({ directory }, options) {
    const { lmdbStore } = await import('./open.js')
    return await lmdbStore(directory, options)
  },
  async claim ({ directory }) {
    const { claimDirectory } = await import('./open.js')
    return await claimDirectory(directory)
  },
  async data ({ directory }) {
    const { lmdbData } = await import('./data.js')
    return lmdbData(directory)
  },
}
