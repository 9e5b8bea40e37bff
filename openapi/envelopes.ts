import { COMMANDS } from '../src/commands/index.js'
import { MAX_BATCH_ENVELOPES } from '../src/limits.js'
import { lineOf } from './failures.js'
import { STATUSES } from '../src/status.js'
import type { Operation, ReplyDescription } from './operation.js'
import { ApiDescription, Envelope, EnvelopeReplies, EnvelopeReply, Envelopes, ErrorReply, Ready } from './schemas.js'

const { KV_SET, KV_GET } = COMMANDS

const UNAUTHORIZED: ReplyDescription = {
  description: lineOf('Unauthorized'),
  headers: ['WWW-Authenticate'],
  content: { schema: ErrorReply, example: { ERR: { st: STATUSES.Unauthorized.st, m: '' } } },
}

/** The operations of routes/command.ts. */
export const ENVELOPE_OPERATIONS: readonly Operation[] = [
  {
    method: 'post',
    url: '/command',
    operationId: 'command',
    tag: 'envelopes',
    role: 'any',
    summary: 'Carry out a command',
    description: 'Takes one envelope, and answers 200 with its reply whether the command succeeded or failed: a reply that has `m` is a failure, and its `st` says which.',
    body: { description: 'One envelope.', required: true, schema: Envelope, example: { KV_SET: KV_SET.example.params } },
    replies: {
      200: { description: 'The reply.', content: { schema: EnvelopeReply, example: { KV_SET_RSP: KV_SET.example.reply } } },
      204: { description: 'The command has nothing to say: KV_SETQ and KV_ADDQ that stored every key.' },
      401: UNAUTHORIZED,
      403: { description: lineOf('Forbidden'), content: { schema: EnvelopeReply, example: { SH_END_ALL_RSP: { tkn: null, st: STATUSES.Forbidden.st, m: '' } } } },
    },
    failures: ['CommandSyntax'],
    errors: ['JsonInvalid', 'CommandNotExist', 'CommandSyntax'],
  },
  {
    method: 'post',
    url: '/commands',
    operationId: 'commands',
    tag: 'envelopes',
    role: 'any',
    summary: 'Carry out several commands',
    description: `Takes an array of at most ${MAX_BATCH_ENVELOPES} envelopes, carries them out in their order, and answers as many replies. Each is atomic by itself; one that fails does not stop the rest.`,
    body: { description: 'Envelopes, in the order to carry them out.', required: true, schema: Envelopes, example: [{ KV_SETQ: KV_SET.example.params }, { KV_GET: KV_GET.example.params }] },
    replies: {
      200: { description: 'The replies in the order of the envelopes; null for a command that has nothing to say.', content: { schema: EnvelopeReplies, example: [null, { KV_GET_RSP: KV_GET.example.reply }] } },
      401: UNAUTHORIZED,
    },
    failures: ['CommandSyntax'],
    errors: ['JsonInvalid', 'CommandSyntax', 'ValueSize'],
  },
]

/** The operations of routes/service.ts. */
export const SERVICE_OPERATIONS: readonly Operation[] = [
  {
    method: 'get',
    url: '/openapi.json',
    operationId: 'openApi',
    tag: 'server',
    role: undefined,
    summary: 'Describe the API',
    description: 'This document, as OpenAPI 3.1.',
    replies: { 200: { description: 'The document.', content: { schema: ApiDescription, example: { openapi: '3.1.0' } } } },
    failures: [],
  },
  {
    method: 'get',
    url: '/ready',
    operationId: 'ready',
    tag: 'server',
    role: undefined,
    summary: 'Ask whether the server is ready',
    description: 'For load balancers and supervisors: 503 means that requests should go elsewhere.',
    replies: { 200: { description: 'It is.', content: { schema: Ready, example: { ready: true } } } },
    failures: [],
    mayBeUnready: true,
  },
]
