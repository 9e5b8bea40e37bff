// Stands in for src/stores/valkey/store.ts in processes that are started with PRELOAD, for what is around such a store: each process
// has sessions of its own in memory, and they can be used while there is a file `up` in the directory that it runs in.
import { existsSync } from 'node:fs'
import type { CommonOptions } from '../../../src/stores/options.js'
import type { ValkeyOptions } from '../../../src/stores/valkey/options.js'
import type { ValkeyTarget } from '../../../src/stores/valkey/url.js'
import type { SessionStore } from '../../../src/session.js'
import { waitingStore } from '../../process/waiting-store.js'
import { overriding } from '../../overriding.js'

const HOOKS = `export const resolve = async (specifier, context, next) =>
  specifier.endsWith('/valkey/store.js') ? { url: ${JSON.stringify(import.meta.url)}, shortCircuit: true } : await next(specifier, context)`

/** The `preload` of such a process. */
export const PRELOAD = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(HOOKS)}`)})`

const LOOK_EVERY = 20

export function valkeyStore (_target: ValkeyTarget, options: CommonOptions & ValkeyOptions = {}): SessionStore {
  const { openTimeoutS: timeout = 60 } = options
  const { store, tell, giveUp } = waitingStore(options)
  const looking = setInterval(() => tell(existsSync('up') ? undefined : 'Nothing listens there.'), LOOK_EVERY)
  // A timer knows no Infinity.
  if (timeout < Infinity) setTimeout(() => giveUp(new Error(`nothing listens there after ${timeout} s`)), timeout * 1e3).unref()
  return overriding(store, { close: async () => clearInterval(looking) })
}
