import type { CommandName } from '../src/commands/index.js'

/** A command's route: where it is reached, and what of the URL goes into which parameter. */
export interface RestRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `:tkn` is the parameter `tkn`. */
  readonly url: string
  readonly command: CommandName
  /** What `Prefer: return=minimal` (RFC 7240) makes of it. */
  readonly minimal?: CommandName
  /** Parameters of the command by their names in the query. */
  readonly query?: Readonly<Record<string, string>>
  /** HTTP status of success, 200 unless given. */
  readonly success?: 201
}

/** PROTOCOL 5: every command's route. The single-key routes are in keys.ts. */
export const REST = [
  { method: 'POST', url: '/sessions', command: 'SH_NEW', success: 201 },
  { method: 'GET', url: '/sessions', command: 'SH_INFO_ALL' },
  { method: 'DELETE', url: '/sessions', command: 'SH_END_ALL', query: { all: 'all' } },
  { method: 'POST', url: '/sessions/open', command: 'SH_OPEN' },
  { method: 'POST', url: '/sessions/exists', command: 'SH_EXISTS' },
  { method: 'GET', url: '/sessions/:tkn', command: 'SH_INFO' },
  { method: 'DELETE', url: '/sessions/:tkn', command: 'SH_END' },
  { method: 'POST', url: '/sessions/:tkn/touch', command: 'SH_TOUCH' },
  { method: 'PUT', url: '/sessions/:tkn/keys', command: 'KV_SET', minimal: 'KV_SETQ' },
  { method: 'POST', url: '/sessions/:tkn/keys', command: 'KV_ADD', minimal: 'KV_ADDQ' },
  { method: 'GET', url: '/sessions/:tkn/keys', command: 'KV_GET', query: { key: 'keys' } },
  { method: 'DELETE', url: '/sessions/:tkn/keys', command: 'KV_RMV', query: { key: 'keys' } },
  { method: 'PATCH', url: '/sessions/:tkn/keys', command: 'KV_MERGE' },
  { method: 'GET', url: '/sessions/:tkn/key-names', command: 'KV_KEYS', query: { prefix: 'prefix', limit: 'limit', cursor: 'cursor' } },
  { method: 'GET', url: '/sessions/:tkn/count', command: 'KV_COUNT' },
  { method: 'POST', url: '/sessions/:tkn/contains', command: 'KV_CONTAINS' },
  { method: 'POST', url: '/sessions/:tkn/append', command: 'KV_APPEND' },
  { method: 'POST', url: '/sessions/:tkn/update', command: 'KV_UPDATE' },
  { method: 'POST', url: '/sessions/:tkn/find', command: 'KV_FIND' },
  { method: 'POST', url: '/sessions/:tkn/clear', command: 'KV_CLEAR' },
  { method: 'POST', url: '/sessions/:tkn/replace', command: 'KV_CLEAR_SET' },
  { method: 'GET', url: '/server', command: 'SV_INFO' },
] as const satisfies readonly RestRoute[]

/** The commands that a row names, minimal ones included. */
type Routed<R> = R extends { command: infer C, minimal: infer M } ? C | M : R extends { command: infer C } ? C : never

type Unrouted = Exclude<CommandName, Routed<(typeof REST)[number]>>

/** Does not compile while some command has no route. */
export const EVERY_COMMAND_HAS_A_ROUTE: [Unrouted] extends [never] ? true : Unrouted = true
