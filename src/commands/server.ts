import { Type } from '@sinclair/typebox'
import { command } from '../protocol/command.js'
import { statusNumber } from '../status.js'
import { VERSION } from '../version.js'
import { st } from './schemas.js'

/** The version of the protocol that this server speaks: the NemesisDB version that it is compatible with. */
const PROTOCOL_VERSION = '0.3'

export const SV_INFO = command({
  tag: 'server',
  summary: 'Describe the server',
  description: 'Versions of the server and the protocol, and the kind of store.',
  params: {},
  reply: Type.Object({
    st,
    serverVersion: Type.String({ description: 'Version of Holdfast.' }),
    protocolVersion: Type.String({ description: 'Version of the NemesisDB protocol that this one follows.' }),
    store: Type.String({ description: 'Kind of the store, such as `lmdb`.' }),
  }),
  example: { params: {}, reply: { st: 1, serverVersion: VERSION, protocolVersion: PROTOCOL_VERSION, store: 'lmdb' } },
  run: async gateway => ({
    st: statusNumber('Ok'),
    serverVersion: VERSION,
    protocolVersion: PROTOCOL_VERSION,
    store: gateway.store.kind,
  }),
})
