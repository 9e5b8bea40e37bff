import { reason } from '../../reason.js'
import type { SessionStore } from '../../session.js'
import { openStore, placeOf } from '../table.js'
import { InputError } from '../input-error.js'
import type { DataStore } from '../data-store.js'

/** Seconds that the server has to be there in: a person waits. */
const TIMEOUT = 10

/** Milliseconds that it has for each answer: nobody else waits for it, and a session can be large. */
const DEADLINE = 10_000

/** The store of a Valkey or Redis server, which gateways may have open, too. */
export function valkeyData (url: string, open = openStore): DataStore {
  return {
    async open () {
      const store = await open(url, { timeout: TIMEOUT, deadline: DEADLINE })
      await opened(store, placeOf(url))
      return store
    },
    backup: refuse('is backed up by its snapshots (valkey-cli --rdb, redis-cli --rdb) or by holdfast export'),
    inspect: refuse('is looked into with valkey-cli or redis-cli, and its sessions are counted by GET /sessions'),
    verify: refuse('has no checksums of ours'),
  }
}

async function opened (store: SessionStore, place: string): Promise<void> {
  try {
    await store.opened
  } catch (error) {
    await store.close()
    throw new Error(`cannot open the data ${place}: ${reason(error)}`)
  }
}

/** @param what is said of the store, after its name */
function refuse (what: string): () => Promise<never> {
  return async () => { throw new InputError(`a store on Valkey or Redis ${what}`) }
}
