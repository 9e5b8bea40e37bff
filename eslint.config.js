import { readdirSync } from 'node:fs'
import neostandard from 'neostandard'

// Each store has a folder of its own.
const STORES = readdirSync('src/stores', { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => name)

// Which folders a folder may not import from. The arrows go one way (ARCHITECTURE.md, "Rooms"): routes, dispatch, commands,
// protocol, stores, json.
const FASTIFY = ['fastify', 'fastify/*', '@fastify/*']
const LAYERS = [
  { of: ['src/commands', 'src/protocol', 'src/stores', 'src/json'], not: [...FASTIFY, '**/routes/**', '**/openapi/**', '**/process/**', '**/cli/**', '**/app.js', '**/dispatch.js', '**/envelope.js'], because: 'what a command, a rule or a store does knows no HTTP and no process' },
  { of: ['src/protocol'], not: ['**/commands/**', '**/stores/**', '**/data/**'], because: 'the protocol knows neither its commands nor the stores' },
  { of: ['src/commands'], not: ['**/stores/**', '**/data/**'], because: 'a command works on every store' },
  { of: ['src/stores'], not: ['**/commands/**', '**/protocol/**', '**/data/**'], because: 'a store knows sessions and not the commands' },
  ...STORES.map(name => ({ of: [`src/stores/${name}`], not: ['**/memory.js', ...STORES.filter(other => other !== name).map(other => `**/${other}/**`)], because: 'nothing crosses from one store to another' })),
  { of: ['src/json'], not: ['**/commands/**', '**/protocol/**', '**/stores/**', '**/data/**', '**/session.js'], because: 'JSON is the lowest layer' },
  { of: ['src/data'], not: [...FASTIFY, '**/routes/**', '**/openapi/**', '**/process/**', '**/cli/**', '**/commands/**', '**/protocol/**', ...STORES.map(name => `**/${name}/**`)], because: 'export and import work on every store' },
  { of: ['routes'], not: ['**/stores/**', '**/process/**', '**/cli/**', '**/data/**'], because: 'routes only translate' },
]

// Only dispatch.ts catches what a command throws: routes get failures as values, and refuse what becomes no command (problem.ts).
const NOT_IN_ROUTES = { group: ['**/status.js'], importNames: ['StatusError'], message: 'Routes get a Failure from dispatch(), and throw a Refusal.' }

/** Every rule that holds for a folder, in one: of several configurations of one rule ESLint takes the last. */
function layer (folder) {
  const rules = LAYERS.filter(({ of }) => of.some(above => folder === above || folder.startsWith(`${above}/`)))
  const patterns = rules.map(({ not, because }) => ({ group: not, message: `${because[0].toUpperCase()}${because.slice(1)}.` }))
  if (folder === 'routes') patterns.push(NOT_IN_ROUTES)
  return { files: [`${folder}/**/*.ts`], rules: { 'no-restricted-imports': ['error', { patterns }] } }
}

// A folder below another comes after it.
const FOLDERS = [...new Set(LAYERS.flatMap(({ of }) => of))].sort()

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'data', '.tap', 'coverage'] }),
  { rules: { '@stylistic/comma-dangle': ['error', { arrays: 'always-multiline', objects: 'always-multiline', imports: 'always-multiline', exports: 'always-multiline', functions: 'never' }] } },
  ...FOLDERS.map(layer),
]
