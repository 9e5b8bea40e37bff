import { needing } from '../needing.js'
import type { StoreRow } from '../row.js'
import type { ValkeyOptions } from './options.js'
import { parseValkeyUrl, SCHEMES, shownEndpoints, type ValkeyTarget } from './url.js'

/** Sessions in a Valkey or Redis server, or a cluster of them. */
export const valkeyRow: StoreRow<ValkeyTarget, ValkeyOptions> = {
  schemes: Object.keys(SCHEMES),
  form: 'valkey://[<user>:<password>@]<host>[:<port>][/<database>]',
  shortForm: 'valkey://<host>',
  about: 'for a Valkey or Redis server (valkeys:// with TLS, ?cluster=true for a cluster)',
  needsWatchdog: false,
  parse: parseValkeyUrl,
  show: target => target.isCluster ? `on a valkey cluster at ${shownEndpoints(target)}` : `on valkey at ${shownEndpoints(target)}/${target.database}`,
  async open (target, options) {
    const { valkeyStore } = await needing('iovalkey', async () => await import('./store.js'))
    return valkeyStore(target, options)
  },
  // Any number of processes share it.
  claim: async () => undefined,
  async data (target) {
    const { valkeyData } = await import('./data.js')
    return valkeyData(async options => await valkeyRow.open(target, options), valkeyRow.show(target))
  },
}
