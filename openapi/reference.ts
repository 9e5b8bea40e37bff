import { COMMAND_NAMES, COMMANDS, type CommandName } from '../src/commands/index.js'
import { readConfig } from '../src/cli/config.js'
import { SUBCOMMANDS } from '../src/cli/subcommands.js'
import { SETTINGS, usageOf } from '../src/cli/settings.js'
import { MAX_DEPTH } from '../src/json/scanner.js'
import * as limits from '../src/limits.js'
import type { Command } from '../src/protocol/command.js'
import { STATUSES, type StatusName } from '../src/status.js'
import { ROLES, ROLE_WORDS } from '../src/caller.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { mapValues } from './components.js'
import { OPERATIONS } from './document.js'
import { failuresOf, TRANSPORT } from './failures.js'
import { code, table, verbatim } from './markdown.js'
import type { Operation } from './operation.js'
import { KEY_STATUSES, WORTH_KNOWING } from './reference-text.js'
import { membersOf } from './reference-types.js'
import { KEY_OPERATIONS } from './single-key.js'

const STATUS_NAMES = Object.keys(STATUSES) as StatusName[] // The table's own keys.

/** The page docs/reference.md: what the tables of commands, routes, statuses, limits, settings and data commands say. */
export function reference (): string {
  return `${[
    '# Reference',
    'Made from the tables that the server works by: `npm run openapi` writes this page, and a test fails when it is out of date.',
    '[Commands](#commands) · [Routes](#routes) · [One key](#one-key) · [Worth knowing](#worth-knowing) · [Statuses](#statuses) · [Limits](#limits) · [Options](#options) · [Subcommands](#subcommands)',
    ...commands(),
    ...routes(),
    ...oneKey(),
    '## Worth knowing',
    WORTH_KNOWING,
    ...statuses(),
    ...limitsTable(),
    ...options(),
    ...subcommands(),
  ].join('\n\n')}\n`
}

function commands (): string[] {
  return [
    '## Commands',
    'A command is sent to `POST /command` as `{"NAME": {parameters}}`, or to its route: there `tkn` stands in the URL, as itself or as `self` with the token in the header `Session-Token`, and the other parameters in the body, or in the query where it says so. ' +
    'What is answered stands in `<NAME>_RSP`, or is the body of the reply to the route.',
    'Besides what stands with each, a command can fail with CommandType when its parameters are no object, and with Unknown, which is a fault of the server. ' +
    'One that fails as a whole has changed nothing, unless the detail of a StoreUnavailable says otherwise.',
    COMMAND_NAMES.map(name => `[${name}](#${name.toLowerCase()})`).join(' · '),
    ...COMMAND_NAMES.flatMap(commandSection),
  ]
}

function commandSection (name: CommandName): string[] {
  const row: Command = COMMANDS[name]
  const route = routeOf(name)
  const parameters = Object.entries(row.params).flatMap(([param, { schema, optional }]) => membersOf(param, schema, !optional)
    .map(({ path, type, required, description }) => [code(path), placeOf(route, param), type, required ? 'yes' : '', description]))
  const reply = membersOf('', row.reply, true).map(({ path, type, required, description }) => [code(path), type, required ? 'yes' : '', description])
  const ofKeys = KEY_STATUSES[name]
  return [
    `### ${name}`,
    `${row.description} Needs the role ${code(row.role)}.`,
    code(urlOf(route)) + (route.minimal === name ? ' with `Prefer: return=minimal`' : ''),
    ...parameters.length === 0 ? ['It takes no parameters.'] : [table(['Parameter', 'On its route', 'Type', 'Required', 'Meaning'], parameters)],
    table(['Reply', 'Type', 'Always', 'Meaning'], reply),
    ...ofKeys === undefined ? [] : [`Status of a key: ${ofKeys.join(', ')}.`],
    `Fails with ${sorted(['CommandSyntax', ...failuresOf(row, () => 'body')]).join(', ')}.`,
    `Example: ${code(JSON.stringify({ [name]: row.example.params }))} is answered with ${code(JSON.stringify({ [`${name}_RSP`]: row.example.reply }))}.`,
  ]
}

function routeOf (name: CommandName): RestRoute {
  // Every command has one: routes/rest.ts does not compile otherwise.
  return REST.find(({ command, minimal }: RestRoute) => command === name || minimal === name) as RestRoute
}

function urlOf ({ method, url, query = {} }: RestRoute): string {
  const parts = Object.keys(query).map(name => `${name}=`)
  return `${method} ${url}${parts.length === 0 ? '' : `?${parts.join('&')}`}`
}

function placeOf ({ url, query = {} }: RestRoute, param: string): string {
  if (url.includes(`:${param}`)) return 'URL'
  const name = Object.keys(query).find(name => query[name] === param)
  return name === undefined ? 'body' : `query, as ${code(name)}`
}

function sorted (statuses: readonly StatusName[]): StatusName[] {
  return STATUS_NAMES.filter(name => statuses.includes(name))
}

function routes (): string[] {
  const rows = OPERATIONS.map(({ method, url, summary, replies, role }) =>
    [code(`${method.toUpperCase()} ${url}`), commandsOf(method, url), successes(replies), role === 'any' ? 'of each command' : role ?? 'none', summary])
  return [
    '## Routes',
    'HEAD works wherever GET does. A method that a URL does not have is answered with 405 and `Allow`.',
    `Role is the least role of an API key that may do it, where the server has [API keys](operating.md#api-keys): ${ROLES.map(role => `${code(role)} (${ROLE_WORDS[role]})`).join(', ')}. Each may do what those before it may.`,
    table(['Route', 'Command', 'Success', 'Role', 'Does'], rows),
  ]
}

/** The HTTP statuses of success. */
function successes (replies: Operation['replies']): string {
  return Object.keys(replies).filter(status => Number(status) < 400).join(', ')
}

/** The commands that a route of the table is. */
function commandsOf (method: string, url: string): string {
  const route: RestRoute | undefined = REST.find(route => route.method.toLowerCase() === method && route.url === url)
  return route === undefined ? '' : [route.command, ...route.minimal === undefined ? [] : [route.minimal]].join(', ')
}

function oneKey (): string[] {
  return [
    '## One key',
    'A key is a resource of its own, whose representation is `{"value": …}`. A precondition is decided in the same atomic step as the write; one that does not hold changes nothing.',
    ...KEY_OPERATIONS.flatMap(keySection),
  ]
}

function keySection ({ method, url, description, replies, failures }: Operation): string[] {
  return [
    `### ${method.toUpperCase()} ${url}`,
    description,
    table(['HTTP', 'When'], Object.entries(replies).map(([status, { description, headers = [] }]) =>
      [status, `${description}${headers.length === 0 ? '' : ` With ${headers.map(code).join(', ')}.`}`])),
    `Fails with ${sorted(failures).join(', ')}.`,
  ]
}

function statuses (): string[] {
  return [
    '## Statuses',
    'In an envelope `st` is a number; on REST a failure is `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with the same number, the name as `title`, and `param` naming what was wrong. ' +
    'Match on these, never on `detail`. The HTTP status in the table is that of a call that fails as a whole; statuses of single keys among several stand inside a 200.',
    table(['Name', 'st:', 'HTTP:', 'When'], STATUS_NAMES.map(name => [name, String(STATUSES[name].st), String(STATUSES[name].http), STATUSES[name].meaning])),
    'HTTP\'s own faults are problem+json too, without `st`:',
    table(['HTTP:', 'When'], Object.entries({ ...OTHER_FAULTS, ...TRANSPORT_FAULTS })),
  ]
}

const OTHER_FAULTS: Readonly<Record<number, string>> = {
  400: 'The HTTP or the URL of the request is not well-formed; or it has two tokens.',
  404: 'There is nothing at this URL; or the key in it is empty, `.` or `..`, which cannot stand in a path: use `?key=`.',
  405: 'The URL does not have this method; `Allow` says which it has.',
  417: 'The request has an `Expect` that is not 100-continue.',
}

const TRANSPORT_FAULTS: Readonly<Record<string, string>> = mapValues(TRANSPORT, ({ description }) => description)

function limitsTable (): string[] {
  const number = (limit: number) => limit.toLocaleString('en')
  return [
    '## Limits',
    table(['Limit', 'At most'], [
      ['A key', `${number(limits.MAX_KEY_BYTES)} bytes in UTF-8`],
      ['The name of a session', `${number(limits.MAX_NAME_BYTES)} bytes in UTF-8`],
      ['`duration` and `idle`', `${number(limits.MAX_DURATION_S)} seconds`],
      ['The body of a request, unless `--body-limit` says otherwise', `${number(limits.DEFAULT_BODY_BYTES)} bytes`],
      ['The body of a request whatever `--body-limit` says', `${number(limits.GREATEST_BODY_BYTES)} bytes`],
      ['Connections at once, unless `--max-connections` says otherwise', number(limits.DEFAULT_CONNECTIONS)],
      ['A value that KV_APPEND, KV_UPDATE or KV_MERGE lets grow', `${number(limits.MAX_VALUE_CHARACTERS)} characters`],
      ['The values that one command reads or answers', `${number(limits.MAX_REPLY_CHARACTERS)} characters`],
      ['Commands in one `POST /commands`', number(limits.MAX_BATCH_ENVELOPES)],
      ['Nesting of JSON', `${number(MAX_DEPTH)} levels`],
    ]),
  ]
}

function options (): string[] {
  const rows = SETTINGS.map(setting => [code(usageOf(setting)), code(setting.variable), setting.default === undefined ? '' : code(setting.default), setting.description])
  return [
    '## Options',
    'An option wins over its variable. `--help` prints the same, `--version` the version. [Operating Holdfast](operating.md#settings-and-logs) has more.',
    table(['Option', 'Variable', 'Default', 'Meaning'], rows),
  ]
}

/** Their own help is all that there is to say of them. */
function subcommands (): string[] {
  return [
    '## Subcommands',
    'What `holdfast <command> --help` prints. Operating Holdfast has more on [data](operating.md#looking-after-the-data) and [API keys](operating.md#api-keys).',
    ...Object.keys(SUBCOMMANDS).flatMap(name => {
      const reading = readConfig([name, '--help'], {})
      return [`### holdfast ${name}`, verbatim(reading.kind === 'help' ? reading.text : '')]
    }),
  ]
}
