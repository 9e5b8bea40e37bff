/** Holdfast as a library: an HTTP server over a gateway over a store. */
export { buildApp, type AppOptions } from './app.js'
export { createGateway, type Gateway, type GatewayOptions } from './protocol/gateway.js'
export type { SessionStore } from './session.js'
export { lmdbStore } from './stores/lmdb/store.js'
export { memoryStore } from './stores/memory.js'
export { openStore } from './stores/table.js'
