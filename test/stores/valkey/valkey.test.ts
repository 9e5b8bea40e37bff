import t, { type Test } from 'tap'
import { valkeyStore } from '../../../src/stores/valkey/store.js'
import { parseValkeyUrl } from '../../../src/stores/valkey/url.js'
import { storeSuite, type Opened } from '../../store-suite.js'
import { startCluster } from './cluster.js'
import { engines, needs, startServer, type Server } from './servers.js'

/** Opens a store in servers that are emptied first. */
function fresh (url: string, servers: readonly Server[]): (t: Test) => Promise<Opened> {
  const open = async () => {
    // Some tests have thousands wait for one session at once.
    const store = valkeyStore(parseValkeyUrl(url), { answerDeadlineMs: 30_000 })
    await store.opened
    return store
  }
  return async () => {
    await Promise.all(servers.map(server => server.command('flushall')))
    return { store: await open(), reopen: open }
  }
}

for (const engine of engines()) {
  t.test(`a single ${engine}`, needs(engine), async t => {
    const server = await startServer(t, { binary: engine })
    storeSuite(t, fresh(`valkey://${server.host}:${server.port}/3`, [server]))
  })

  t.test(`a cluster of three ${engine}`, needs(engine), async t => {
    const { masters, seeds } = await startCluster(t, { binary: engine })
    storeSuite(t, fresh(`valkey://${seeds.join(',')}?cluster=true`, masters))
  })
}
