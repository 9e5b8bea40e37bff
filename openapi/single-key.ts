import { TOKEN_HEADER } from '../routes/http.js'
import { KEY_URL } from '../routes/keys.js'
import { READ_FAILURES, WRITE_FAILURES } from '../src/protocol/command.js'
import type { StatusName } from '../src/status.js'
import { IN_BODY, KEY_FAILURES } from './failures.js'
import type { Operation, ReplyDescription } from './operation.js'
import { KeyPatch, KeyRepresentation } from './schemas.js'

const example = { value: { name: 'Ada' } }

// PATCH and DELETE answer no value, and so no tag.
const done: ReplyDescription = { description: 'Done.' }
const failures: readonly StatusName[] = ['CommandSyntax', ...KEY_FAILURES, 'SessionTokenInvalid', 'SessionNotExist', 'PreconditionFailed']
const writeFailures: readonly StatusName[] = [...failures, 'KeyExists', ...WRITE_FAILURES]
const bodyFailures: readonly StatusName[] = [...writeFailures, ...IN_BODY, 'ParamMissing', 'ValueSize']
const common = { url: KEY_URL, tag: 'keys', parameters: ['tkn', TOKEN_HEADER, 'key', 'If-Match', 'If-None-Match'] } as const

/** The operations of routes/keys.ts. */
export const KEY_OPERATIONS: readonly Operation[] = [
  {
    ...common,
    method: 'get',
    role: 'read',
    operationId: 'getKey',
    summary: 'Read a key',
    description: 'The value of one key exactly as it was stored, with its entity tag. With `If-None-Match` the value is sent only if it has changed.',
    replies: {
      200: { description: 'The key.', headers: ['ETag'], content: { schema: KeyRepresentation, example } },
      304: { description: 'The value has a tag that If-None-Match names.', headers: ['ETag'] },
    },
    failures: [...failures, 'KeyNotExist', ...READ_FAILURES],
  },
  {
    ...common,
    method: 'put',
    role: 'client',
    operationId: 'putKey',
    summary: 'Store a key',
    description: 'Stores a value, whether the key exists or not. `If-None-Match: *` stores it only if the key does not exist; `If-Match` with the tag that was read, only if nobody has changed it since.',
    body: { description: 'The key.', required: true, schema: KeyRepresentation, example },
    replies: {
      201: { description: 'The key is new.', headers: ['ETag'] },
      204: { description: 'The key existed, its value is replaced.', headers: ['ETag'] },
    },
    failures: [...bodyFailures, 'ValueTypeInvalid'],
  },
  {
    ...common,
    method: 'patch',
    role: 'client',
    operationId: 'patchKey',
    summary: 'Merge into a key',
    description: 'Applies a JSON Merge Patch (RFC 7396) to the representation of a key. A key that does not exist is stored; a value that is null removes the key.',
    body: { description: 'The patch.', required: true, schema: KeyPatch, example: { value: { email: 'ada@example.org', phone: null } }, mergePatch: true },
    replies: { 204: done },
    failures: bodyFailures,
  },
  {
    ...common,
    method: 'delete',
    role: 'client',
    operationId: 'deleteKey',
    summary: 'Remove a key',
    description: 'Removes one key.',
    replies: { 204: done },
    failures: [...writeFailures, 'KeyNotExist'],
  },
]
