// Gateways of this process in front of one store, as if each of them were a process of its own.
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../../src/app.js'
import type { CommandName } from '../../../src/commands/index.js'
import { executeOne } from '../../../src/envelope.js'
import { ADMIN } from '../../callers.js'
import { createGateway, type Gateway, type GatewayOptions } from '../../../src/protocol/gateway.js'
import type { SessionId, RemoteStore } from '../../../src/session.js'
import { valkeyStore } from '../../../src/stores/valkey/store.js'
import { keysOf } from '../../../src/stores/valkey/layout.js'
import { parseValkeyUrl } from '../../../src/stores/valkey/url.js'
import { startServer, type Server } from './servers.js'

export type ValkeyStoreOptions = NonNullable<Parameters<typeof valkeyStore>[1]>

/** What a command answers; its members are what PROTOCOL says. */
export type Reply = Record<string, any> | undefined

export interface TestGateway {
  readonly store: RemoteStore
  readonly gateway: Gateway
  readonly app: FastifyInstance
  /** The content of the reply; undefined for a command that had nothing to say. */
  run (command: CommandName, params: object): Promise<Reply>
}

/** Opens a store that is closed with the test, once it can be used. */
export async function openStore (t: Test, url: string, options: ValkeyStoreOptions = {}): Promise<RemoteStore> {
  const store = valkeyStore(parseValkeyUrl(url), { answerDeadlineMs: 10_000, ...options })
  t.teardown(async () => await store.close())
  await store.opened
  return store
}

export async function openGateways (t: Test, url: string, count: number, options: GatewayOptions & ValkeyStoreOptions = {}): Promise<TestGateway[]> {
  return await Promise.all(Array.from({ length: count }, async () => {
    const store = await openStore(t, url, options)
    const gateway = await createGateway(store, options)
    const app = buildApp(gateway)
    t.teardown(async () => await app.close())
    const fail = (error: unknown) => { throw error }
    return {
      store,
      gateway,
      app,
      run: async (command, params) => contentOf((await executeOne(gateway, ADMIN, Buffer.from(JSON.stringify({ [command]: params })), fail)).text),
    }
  }))
}

function contentOf (text: string | undefined): Reply {
  return text === undefined ? undefined : Object.values(JSON.parse(text) as object)[0]
}

/** Opens stores in one server, which is started for the first of them: each is empty, and none sees another one. */
export function freshStores (t: Test): () => Promise<RemoteStore> {
  let server: Promise<Server> | undefined
  let count = 0
  return async () => {
    server ??= startServer(t)
    const { host, port } = await server
    const store = valkeyStore(parseValkeyUrl(`valkey://${host}:${port}?prefix=fresh${++count}`), { answerDeadlineMs: 10_000 })
    await store.opened
    return store
  }
}

/** The engine's key of a session, with the default prefix unless given. */
export function hashOf (id: SessionId, prefix = 'holdfast'): string {
  return keysOf(prefix, id)[0]
}

/** A field of the hash that is no key of the session: `t`, `n`, `v` or `c`. */
export function ownField (name: string): Buffer {
  return Buffer.from([0xff, name.charCodeAt(0)])
}
