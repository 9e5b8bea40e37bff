/** Holdfast as a library: an HTTP server over a gateway over a store. */
export { buildApp, type AppOptions } from './app.js'
export { createGateway, type Gateway, type GatewayOptions } from './protocol/gateway.js'
export { openStore, type StoreOptions } from './stores/table.js'
export { lmdbStore } from './stores/lmdb/open.js'
export { memoryStore } from './stores/memory.js'

// For those who write a store of their own. `holdfast/store-suite` has the tests that it must pass.
export { compareCodePoints } from './json/codepoint.js'
export { ownCopy, type JsonText } from './json/text.js'
export type { Awaitable } from './awaitable.js'
export {
  deadline, expire, type Access, type Change, type Found, type Listing, type Names, type Outcome, type Reads, type Session, type SessionCopy,
  type SessionId, type SessionStore, type View,
} from './session.js'
export { StatusError, type StatusName } from './status.js'
export { decide, noKeys, renews, sessionAfter, viewOf, type Source } from './stores/view.js'
