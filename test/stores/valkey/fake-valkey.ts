// Stands in for src/stores/valkey/store.ts in processes that are started with PRELOAD, for what is around such a store: each process
// has sessions of its own in memory, and they can be used while there is a file `up` in the directory that it runs in.
import { existsSync } from 'node:fs'
import type { ValkeyStoreOptions } from './gateways.js'
import type { ValkeyTarget } from '../../../src/stores/valkey/url.js'
import type { SessionStore } from '../../../src/session.js'
import { overriding } from '../../overriding.js'
import { waitingStore } from '../../process/waiting-store.js'

const HOOKS = `export const resolve = async (specifier, context, next) =>
  specifier === './store.js' && context.parentURL?.endsWith('/valkey/row.js') ? { url: ${JSON.stringify(import.meta.url)}, shortCircuit: true } : await next(specifier, context)`

/** The `preload` of such a process. */
export const PRELOAD = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(HOOKS)}`)})`

const LOOK_EVERY_MS = 20

export function valkeyStore (_target: ValkeyTarget, options: ValkeyStoreOptions = {}): SessionStore {
  const { openTimeoutS = 60 } = options
  const { store, tell, giveUp } = waitingStore(options)
  const looking = setInterval(() => tell(existsSync('up') ? undefined : 'Nothing listens there.'), LOOK_EVERY_MS)
  // A timer knows no Infinity.
  if (openTimeoutS < Infinity) setTimeout(() => giveUp(new Error(`nothing listens there after ${openTimeoutS} s`)), openTimeoutS * 1e3).unref()
  return overriding(store, { close: async () => clearInterval(looking) })
}
