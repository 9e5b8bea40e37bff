import { STATUSES } from '../src/status.js'
import { VERSION } from '../src/version.js'
import { componentsOf, type Components, type Json, type Version } from './components.js'
import { ENVELOPE_OPERATIONS, SERVICE_OPERATIONS } from './envelopes.js'
import { writeOperation, type Operation } from './operation.js'
import { REST_OPERATIONS } from './rest.js'
import { KEY_OPERATIONS } from './single-key.js'

/** Every operation, in the order of the document. */
export const OPERATIONS: readonly Operation[] = [...REST_OPERATIONS, ...KEY_OPERATIONS, ...ENVELOPE_OPERATIONS, ...SERVICE_OPERATIONS]

const STATUS_ROWS = Object.entries(STATUSES).map(([name, { st, http, meaning }]) => `| ${name} | ${st} | ${http} | ${meaning} |`)

const TAGS: Readonly<Record<Operation['tag'], string>> = {
  sessions: 'Start, find, describe and end sessions.',
  keys: 'The keys of a session and their JSON values.',
  // The list would suit the description of the whole better, but generators copy that one into every file.
  envelopes: ['Every command through one URL: an envelope in, a reply out. Statuses by their number `st`, and their HTTP status elsewhere:', '', '| Status | `st` | HTTP | Meaning |', '|---|---:|---:|---|', ...STATUS_ROWS].join('\n'),
  server: 'What is said about the server and this API.',
}

const DESCRIPTION = `
Sessions of JSON values with expiry, reached by a token.

A session is a map of keys to JSON values. \`POST /sessions\` starts one and answers its token, by which
everything else reaches it: in the header \`Session-Token\` with \`self\` in the URL, or in the URL itself, which proxies write into
their logs. Keep it as secret as a password. Values come back exactly as they were sent: every digit of a number, the order of
members, every string. A reader that parses numbers as binary floating point loses digits by itself.

Every command has a route of its own, and can also be sent in an envelope to \`/command\`. A request that fails is answered on its
route with a problem (RFC 9457), and in an envelope with \`st\` and \`m\`. Programs match on the status, never on the text.
HEAD works wherever GET does. A method that a URL does not have is answered with 405 and \`Allow\`.
`.trim()

/** The OpenAPI document of everything that the server answers, made from the tables that it works by. */
export function openApi (version: Version): Json {
  const components = componentsOf(version)
  return {
    openapi: version === '3.0' ? '3.0.3' : '3.1.0',
    info: {
      title: 'Holdfast',
      version: VERSION,
      description: DESCRIPTION,
      contact: { name: 'Holdfast contributors' },
      license: { name: 'MIT', ...version === '3.0' ? { url: 'https://opensource.org/license/mit' } : { identifier: 'MIT' } },
    },
    servers: [{ url: 'http://127.0.0.1:1987', description: 'As it listens unless configured otherwise.' }],
    security: securityOf(components),
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: pathsOf(operation => writeOperation(operation, components)),
    components: components.collected(),
  }
}

/** An API key, or none: a server can be without keys. */
function securityOf ({ refer }: Components): Json[] {
  refer('securitySchemes', 'apiKey', () => ({
    type: 'http',
    scheme: 'bearer',
    description: 'An API key, where the server asks for one: it was started with `--api-keys-file`. What the key may do is a matter of its role.',
  }))
  return [{ apiKey: [] }, {}]
}

function pathsOf (write: (operation: Operation) => Json): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const operation of OPERATIONS) {
    const path = operation.url.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [operation.method]: write(operation) }
  }
  return paths
}
