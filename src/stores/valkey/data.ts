import { reason } from '../../reason.js'
import type { SessionStore } from '../../session.js'
import type { DataStore } from '../data-store.js'
import { InputError } from '../input-error.js'
import type { ValkeyOptions } from './options.js'

/** Seconds that the server has to be there in: a person waits. */
const OPEN_TIMEOUT_S = 10

/** Milliseconds that it has for each answer: nobody else waits for it, and a session can be large. */
const ANSWER_DEADLINE_MS = 10_000

/**
 * The store of a Valkey or Redis server, which gateways may have open, too.
 * @param place where the data is, to follow that word
 */
export function valkeyData (open: (options: ValkeyOptions) => Promise<SessionStore>, place: string): DataStore {
  return {
    async open () {
      const store = await open({ openTimeoutS: OPEN_TIMEOUT_S, answerDeadlineMs: ANSWER_DEADLINE_MS })
      await opened(store, place)
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
