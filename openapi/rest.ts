import { Kind } from '@sinclair/typebox'
import type { Command } from '../src/protocol/command.js'
import { COMMANDS } from '../src/commands/index.js'
import type { Param } from '../src/protocol/param.js'
import { TOKEN_HEADER } from '../routes/http.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { failuresOf, IN_BODY, KEY_FAILURES, type Place } from './failures.js'
import type { Body, Operation, QueryParameter, ReplyDescription } from './operation.js'
import { camelCase, inputOf, replyOf } from './schemas.js'

/** The operations of the table in routes/rest.ts. */
export const REST_OPERATIONS: readonly Operation[] = REST.map(operationOf)

function operationOf (route: RestRoute): Operation {
  const { method, url, command, minimal } = route
  const row: Command = COMMANDS[command]
  const placeOf = (name: string): Place => {
    if (url.includes(`:${name}`)) return 'path'
    return Object.values(route.query ?? {}).includes(name) ? 'query' : 'body'
  }
  return {
    method: method.toLowerCase() as Lowercase<typeof method>, // What toLowerCase() does; its type says only string.
    url,
    operationId: lowerCamelCase(camelCase(command)),
    tag: row.tag,
    summary: row.summary,
    description: [row.description, `This is the command ${command}.`, ...minimal === undefined ? [] : [`With \`Prefer: return=minimal\` it is ${minimal}: ${COMMANDS[minimal].description}`]].join('\n\n'),
    parameters: [...url.includes(':tkn') ? ['tkn', TOKEN_HEADER] as const : [], ...minimal === undefined ? [] : ['Prefer'] as const],
    query: Object.entries(route.query ?? {}).map(([name, param]) => queryParameter(name, param, row)),
    body: bodyOf(route, placeOf),
    replies: repliesOf(route, row),
    role: row.role,
    failures: ['CommandSyntax', ...KEY_FAILURES, ...method === 'GET' || method === 'DELETE' ? [] : IN_BODY, ...failuresOf(row, placeOf)],
  }
}

function lowerCamelCase (name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1)
}

/** An example without what it has elsewhere in the request. */
function exampleOf ({ example }: Command, isTaken: (name: string) => boolean): Record<string, unknown> {
  return Object.fromEntries(Object.entries(example.params).filter(([name]) => isTaken(name)))
}

function bodyOf ({ command, url }: RestRoute, placeOf: (name: string) => Place): Body | undefined {
  const row: Command = COMMANDS[command]
  const isTaken = (name: string): boolean => placeOf(name) === 'body'
  const schema = inputOf(command, isTaken)
  return schema && {
    schema,
    description: `The parameters of ${command}${url.includes(':tkn') ? ' without the token' : ''}.`,
    required: schema.required !== undefined,
    example: exampleOf(row, isTaken),
  }
}

function queryParameter (name: string, param: string, row: Command): QueryParameter {
  const { schema, optional } = row.params[param] as Param // As the table of routes has it.
  return {
    name,
    required: !optional,
    description: `${schema.description}${schema[Kind] === 'Array' ? ' Give it once for each one.' : ''}`,
    schema,
    example: exampleOf(row, name => name === param)[param],
  }
}

function repliesOf ({ command, minimal, success }: RestRoute, row: Command): Record<number, ReplyDescription> {
  const content = { schema: replyOf(command), example: row.example.reply }
  if (minimal === undefined) {
    return { [success ?? 200]: { description: `What ${command} answers.`, content, headers: success === 201 ? ['Location'] : [] } }
  }
  const headers = ['Preference-Applied'] as const
  return {
    200: { description: `What ${command} answers; with \`Prefer: return=minimal\` only the keys that were not stored.`, headers, content },
    204: { description: 'With `Prefer: return=minimal`: every key was stored.', headers },
  }
}
