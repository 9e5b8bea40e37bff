import { Type, type SchemaOptions, type TObject, type TSchema } from '@sinclair/typebox'
import { MAX_BATCH_ENVELOPES } from '../src/limits.js'
import { COMMAND_NAMES, COMMANDS, type CommandName } from '../src/commands/index.js'
import { st } from '../src/commands/schemas.js'
import type { Command } from '../src/protocol/command.js'
import { representation } from '../routes/keys.js'
import { mapValues } from './components.js'

/** The name of a command in camel case: `KvSet` of `KV_SET`. */
export function camelCase (command: CommandName): string {
  return command.split('_').map(part => part.slice(0, 1) + part.slice(1).toLowerCase()).join('')
}

/**
 * The parameters of a command as one object. A property called `>=` makes openapi-generator write clients that do not compile in
 * TypeScript and Python, and that send `&gt;&#x3D;` in Java: the operators of KV_FIND are additional properties instead.
 */
function parametersOf (command: CommandName, id: string, about: string, isTaken = (_name: string) => true): TObject {
  const { params }: Command = COMMANDS[command]
  const taken = Object.entries(params).filter(([name]) => isTaken(name))
  const isOperator = (name: string): boolean => /\W/.test(name)
  const properties = taken.filter(([name]) => !isOperator(name)).map(([name, { schema, optional }]): [string, TSchema] => [name, optional ? Type.Optional(schema) : schema])
  const operators = taken.filter(([name]) => isOperator(name)).map(([name, { schema }]) => `- \`${name}\`: ${schema.description}`)
  return Type.Object(Object.fromEntries(properties), {
    $id: id,
    description: operators.length === 0 ? about : [about, 'One other member can be there, an operator with the value to compare with:', ...operators].join('\n'),
    additionalProperties: operators.length > 0,
  })
}

/** The body of a command's route; undefined when the command has no parameters that stand there. */
export function inputOf (command: CommandName, isTaken: (name: string) => boolean): TObject | undefined {
  const input = parametersOf(command, `${camelCase(command)}Input`, `What ${command} takes in a body.`, isTaken)
  return Object.keys(input.properties).length === 0 ? undefined : input
}

export function replyOf (command: CommandName): TObject {
  return { ...COMMANDS[command].reply, $id: `${camelCase(command)}Reply`, description: `What ${command} answers.` }
}

/** An object with one of these members: generators of clients make more of this than of a choice among objects. */
function oneOf (members: Readonly<Record<string, TSchema>>, options: SchemaOptions): TObject {
  const properties = mapValues(members, member => Type.Optional(member))
  return Type.Object(properties, { additionalProperties: false, minProperties: 1, maxProperties: 1, ...options })
}

function byCommand (name: (command: CommandName) => string, schema: (command: CommandName) => TSchema): Record<string, TSchema> {
  return Object.fromEntries(COMMAND_NAMES.map(command => [name(command), schema(command)]))
}

export const Envelope = oneOf(
  byCommand(command => command, command => parametersOf(command, `${camelCase(command)}Command`, `Parameters of ${command}.`)),
  { $id: 'Envelope', description: 'One command: exactly one member, its name, with its parameters.' })

const blame = Type.String({ description: 'Only when the command failed: the parameter to blame, or an empty string.' })

// A failure has other members than a success. Two schemas to choose between would be a union that many generators cannot
// write, so both are one object: all members are optional, and `m` tells a failure.
function responseOf (command: CommandName): TObject {
  const { reply }: Command = COMMANDS[command]
  return Type.Object({
    ...mapValues(reply.properties, member => Type.Optional(member)),
    // Only here is there a null besides values: a failed command echoes the token, and there may have been none.
    tkn: Type.Optional(Type.Unsafe({ type: ['string', 'null'], description: 'The token of the session; null when the command failed and had none.' })),
    st: Type.Optional(st),
    m: Type.Optional(blame),
  }, {
    $id: `${camelCase(command)}Rsp`,
    description: `Reply to ${command} in an envelope. When the command succeeded it has the members of ${camelCase(command)}Reply and no m; when it failed, tkn, st and m.`,
  })
}

const ErrorContent = Type.Object({
  st,
  m: Type.String({ description: 'What is wrong, for a person to read; the name of a command that does not exist.' }),
}, { $id: 'ErrorContent', description: 'Why a request could not be attributed to a command.' })

export const ErrorReply = Type.Object({ ERR: ErrorContent }, {
  $id: 'ErrorReply', additionalProperties: false, description: 'The reply to what could not be attributed to a command.',
})

const responses = { ...byCommand(command => `${command}_RSP`, responseOf), ERR: ErrorContent }

export const EnvelopeReply = oneOf(responses, {
  $id: 'EnvelopeReply', description: 'One reply: exactly one member, the command\'s name with _RSP, or ERR for what could not be attributed to a command.',
})

// A reference cannot be made nullable in OpenAPI 3.0, so the members stand here again.
const EnvelopeReplyOrNull: TSchema = {
  ...oneOf(responses, { $id: 'EnvelopeReplyOrNull', description: 'An EnvelopeReply, or null for a command that had nothing to say.' }),
  type: ['object', 'null'],
}

export const Envelopes = Type.Array(Envelope, { maxItems: MAX_BATCH_ENVELOPES })
export const EnvelopeReplies = Type.Array(EnvelopeReplyOrNull)

const members = mapValues(representation, ({ schema }) => schema)

export const KeyRepresentation = Type.Object(members, {
  $id: 'KeyRepresentation', additionalProperties: false, description: 'A key as a resource: its value.',
})

export const KeyPatch = Type.Object(members, {
  $id: 'KeyPatch',
  additionalProperties: false,
  description: 'A JSON Merge Patch (RFC 7396) of a KeyRepresentation: in value, members given are set, and members that are null are removed; a value that is null removes the key.',
})

export const ApiDescription = Type.Object({ openapi: Type.String({ description: 'Version of OpenAPI.' }) }, {
  $id: 'ApiDescription', additionalProperties: true, description: 'An OpenAPI document.',
})

export const Ready = Type.Object({
  ready: Type.Boolean({ description: 'Always true: a server that is not ready answers 503.' }),
  warnings: Type.Optional(Type.Array(Type.String(), { description: 'What an operator has to mend while requests are served all the same.' })),
}, {
  $id: 'Ready', additionalProperties: false, description: 'That requests can be sent to this server.',
})
