import type { Command } from '../protocol/command.js'
import { KV_FIND } from './find.js'
import { KV_CLEAR, KV_CONTAINS, KV_COUNT, KV_GET, KV_KEYS, KV_RMV } from './keys.js'
import { SV_INFO } from './server.js'
import { SH_END, SH_END_ALL, SH_EXISTS, SH_INFO, SH_INFO_ALL, SH_NEW, SH_OPEN, SH_TOUCH } from './sessions.js'
import { KV_ADD, KV_ADDQ, KV_CLEAR_SET, KV_SET, KV_SETQ } from './store.js'
import { KV_APPEND, KV_MERGE, KV_UPDATE } from './values.js'

/** Every command of PROTOCOL 4. All surfaces, the OpenAPI document and the tests take their commands from this table. */
export const COMMANDS = {
  SH_NEW,
  SH_OPEN,
  SH_INFO,
  SH_INFO_ALL,
  SH_EXISTS,
  SH_TOUCH,
  SH_END,
  SH_END_ALL,
  KV_SET,
  KV_SETQ,
  KV_ADD,
  KV_ADDQ,
  KV_GET,
  KV_RMV,
  KV_CONTAINS,
  KV_COUNT,
  KV_KEYS,
  KV_CLEAR,
  KV_CLEAR_SET,
  KV_APPEND,
  KV_UPDATE,
  KV_MERGE,
  KV_FIND,
  SV_INFO,
} as const satisfies Record<string, Command>

export type CommandName = keyof typeof COMMANDS

/** The names in the order of the table. */
export const COMMAND_NAMES = Object.keys(COMMANDS) as CommandName[] // These are all of its keys.

export function isCommand (name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}
