import type { CommandName } from '../src/commands/index.js'
import type { StatusName } from '../src/status.js'

// What docs/reference.md says that no table does. test/docs.test.ts compares the statuses with what the commands answer.

const STORED: readonly StatusName[] = ['KeySet', 'KeyUpdated']
const ADDED: readonly StatusName[] = ['KeySet', 'KeyExists']
const UNSTORABLE: readonly StatusName[] = ['KeyTypeInvalid', 'ValueTypeInvalid', 'ValueSize']

/** What a command can answer for each of its keys. */
export const KEY_STATUSES: Readonly<Partial<Record<CommandName, readonly StatusName[]>>> = {
  KV_SET: [...STORED, ...UNSTORABLE],
  KV_SETQ: UNSTORABLE,
  KV_ADD: [...ADDED, ...UNSTORABLE],
  KV_ADDQ: ['KeyExists', ...UNSTORABLE],
  KV_RMV: ['KeyRemoved', 'KeyNotExist'],
  KV_CLEAR_SET: ['KeySet', ...UNSTORABLE],
  KV_APPEND: ['Ok', 'KeyNotExist', 'KeyTypeInvalid', 'ValueTypeInvalid', 'ValueSize'],
  KV_MERGE: [...STORED, 'KeyRemoved', 'KeyTypeInvalid', 'ValueSize'],
}

/** For whoever writes a client. */
export const WORTH_KNOWING = `
- Keys are any strings, the empty one too. Percent-encode them in URLs: a \`+\` is a space in a query and a plus in a path, and clients
  normalize the keys \`.\` and \`..\` away in a path (use \`?key=..\` for those).
- \`null\` is not a value, because KV_GET says null for a key that does not exist: storing it is ValueTypeInvalid. Inside objects and
  arrays it is fine. A key that stands twice in one object: the last one counts.
- A key that cannot be stored does not stop the others of its command.
- A misspelt parameter is an error, never ignored. So is \`If-Match\` on a write of several keys, which could not honour it.
- Listing and searching answer in code point order.
- URL and headers together have 16 kB, and a request has to arrive within 30 seconds.
- A search inside values (KV_FIND, a JSONPath in KV_UPDATE) is given up after half a second with ValueSize; until then other requests
  wait, as they do for a moment while a request of 1 MiB with 100,000 keys is carried out. Heavy commands in batches get half of that
  core at most, and what is left of a batch is dropped when its client leaves.
- While too many long replies wait for clients that do not read them, long replies become 503 with \`Retry-After\`: read again then.
`.trim()
