import { parseArgs, type ParseArgsConfig } from 'node:util'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import leven from 'leven'
import { parseStoreUrl } from './stores/open.js'

const MIB = 1024 * 1024
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/**
 * Every setting. A property `bodyLimit` is the option --body-limit and the variable HOLDFAST_BODY_LIMIT; `hint` stands
 * for the value in the help text; `allowed` says in words what the schema cannot say of itself.
 */
export const ConfigSchema = Type.Object({
  store: Type.String({
    default: 'lmdb:./data',
    hint: 'url',
    description: 'where sessions are kept, memory: or lmdb:<directory>',
    allowed: '`memory:` or `lmdb:<directory>`'
  }),
  host: Type.String({
    default: '127.0.0.1',
    hint: 'address',
    description: 'the address to listen on; 0.0.0.0 or :: for every network',
    pattern: '^[A-Za-z0-9_.:%-]+$',
    allowed: 'a host name or an IP address, without brackets'
  }),
  port: Type.Integer({
    default: 1987,
    hint: 'number',
    description: 'the TCP port to listen on; 0 for any that is free',
    minimum: 0,
    maximum: 65535
  }),
  bodyLimit: Type.Integer({
    default: MIB,
    hint: 'bytes',
    description: 'the largest request body',
    minimum: 1024,
    maximum: 64 * MIB
  }),
  logLevel: Type.Union(LOG_LEVELS.map(level => Type.Literal(level)), {
    default: 'warn',
    hint: 'level',
    description: `the least severe messages to log, ${LOG_LEVELS.join(', ')}`,
    allowed: `one of ${LOG_LEVELS.join(', ')}`
  })
}, { additionalProperties: false })

export type Config = Static<typeof ConfigSchema>

/** A setting as a person meets it: a row of the help text and of the table in the README. */
export interface Setting {
  readonly name: keyof Config
  /** On the command line, such as `--body-limit`. */
  readonly option: string
  /** In the environment, such as `HOLDFAST_BODY_LIMIT`. */
  readonly variable: string
  /** What stands for the value, such as `bytes`. */
  readonly hint: string
  readonly default: string
  readonly description: string
  /** The values that are allowed, in words. */
  readonly allowed: string
}

/** Every setting, in the order of the schema. */
export const SETTINGS: readonly Setting[] = Object.entries(ConfigSchema.properties).map(([name, schema]: [string, TSchema]) => {
  const words = name.split(/(?=[A-Z])/)
  return {
    name: name as keyof Config, // Object.entries forgets the names that it was given.
    option: `--${words.join('-').toLowerCase()}`,
    variable: `HOLDFAST_${words.join('_').toUpperCase()}`,
    hint: schema.hint,
    default: String(schema.default),
    description: schema.description ?? '',
    allowed: schema.allowed ?? `a whole number from ${schema.minimum} to ${schema.maximum}`
  }
})

/** The options that are no setting. */
const FLAGS = {
  help: { type: 'boolean', short: 'h', description: 'print this and exit' },
  version: { type: 'boolean', short: 'v', description: 'print the version and exit' }
} as const

/** All options, as parseArgs wants them. */
const OPTIONS: NonNullable<ParseArgsConfig['options']> = {
  ...Object.fromEntries(SETTINGS.map(({ option }) => [option.slice(2), { type: 'string' as const }])),
  ...FLAGS
}

/** What the command line and the environment ask for. */
export type Reading =
  | { readonly kind: 'help', readonly text: string }
  | { readonly kind: 'version' }
  | { readonly kind: 'config', readonly config: Config }
  /** One line each, without a line end. */
  | { readonly kind: 'faults', readonly faults: readonly string[] }

/** A value as somebody wrote it, and the option or variable they wrote it in. */
interface Given { readonly source: string, readonly text: string }

/**
 * Reads the configuration; the command line wins over the environment, and --help over everything else.
 *
 * @param argv the arguments after the name of the program
 */
export function readConfig (argv: readonly string[], env: NodeJS.ProcessEnv): Reading {
  const faults: string[] = []
  const { flags, given } = readArguments(argv, faults)
  if (flags.has('help')) return { kind: 'help', text: helpText() }
  if (flags.has('version')) return { kind: 'version' }
  const values = readValues(new Map([...readVariables(env, faults), ...given]), faults)
  if (faults.length > 0 || !Value.Check(ConfigSchema, values)) return { kind: 'faults', faults }
  return { kind: 'config', config: values }
}

/**
 * The settings and flags on the command line. `strict` is off because it throws at the first fault, and a person who
 * made three mistakes should not have to start three times; what it would refuse is refused here.
 */
function readArguments (argv: readonly string[], faults: string[]): { flags: Set<string>, given: Map<string, Given> } {
  const flags = new Set<string>()
  const given = new Map<string, Given>()
  for (const token of parseArgs({ args: [...argv], options: OPTIONS, strict: false, tokens: true }).tokens) {
    if (token.kind === 'positional') faults.push(`${JSON.stringify(token.value)}: holdfast takes options only`)
    if (token.kind !== 'option') continue
    const { name, rawName, value, inlineValue } = token
    const setting = SETTINGS.find(({ option }) => option === `--${name}`)
    if (setting === undefined && !Object.hasOwn(OPTIONS, name)) {
      faults.push(unknownName('option', rawName, Object.keys(OPTIONS).map(option => `--${option}`)))
    } else if (setting === undefined) {
      if (value === undefined) flags.add(name)
      else faults.push(`${rawName}: takes no value`)
    } else if (value === undefined || (value.startsWith('-') && !inlineValue)) {
      faults.push(`${rawName}: the value is missing; it must be ${setting.allowed}`)
    } else {
      given.set(setting.name, { source: rawName, text: value })
    }
  }
  return { flags, given }
}

/** The settings in the environment. A name that starts as ours do but is none of them is most likely a typing error. */
function readVariables (env: NodeJS.ProcessEnv, faults: string[]): Map<string, Given> {
  const given = new Map<string, Given>()
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('HOLDFAST_') || text === undefined) continue
    const setting = SETTINGS.find(setting => setting.variable === variable)
    if (setting === undefined) faults.push(unknownName('variable', variable, SETTINGS.map(setting => setting.variable)))
    else given.set(setting.name, { source: variable, text })
  }
  return given
}

/** The value of every setting: the one given, or else the default. */
function readValues (given: ReadonlyMap<string, Given>, faults: string[]): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const { name, allowed, default: usual } of SETTINGS) {
    const schema: TSchema = ConfigSchema.properties[name]
    const { source, text } = given.get(name) ?? { source: 'the default', text: usual }
    // Value.Convert would take 80.5 and 1e3 for the integers 80 and 1.
    const value = schema.type === 'integer' && /^\d+$/.test(text) ? Number(text) : text
    if (!Value.Check(schema, value)) faults.push(`${source}: ${JSON.stringify(text)} is not ${allowed}`)
    else if (name === 'store') faults.push(...storeFaults(source, text))
    values[name] = value
  }
  return values
}

function storeFaults (source: string, url: string): string[] {
  try {
    parseStoreUrl(url)
    return []
  } catch (error) {
    return [`${source}: ${error instanceof Error ? error.message : String(error)}`]
  }
}

/** A fault that names what is unknown, and the known name that it most likely stands for. */
function unknownName (kind: string, name: string, known: readonly string[]): string {
  const [nearest] = known.map(other => ({ other, steps: leven(name, other) })).sort((a, b) => a.steps - b.steps)
  const hint = nearest !== undefined && nearest.steps <= 2 ? `; did you mean ${nearest.other}?` : ''
  return `${name}: there is no such ${kind}${hint}`
}

/** What --help prints. */
function helpText (): string {
  const rows = SETTINGS.map(({ option, hint, variable, description, default: value }) =>
    [`${option} <${hint}>`, variable, `${description} (default: ${value})`])
  const flags = Object.entries(FLAGS).map(([name, { short, description }]) => [`-${short}, --${name}`, '', description])
  const width = (column: number) => Math.max(...[...rows, ...flags].map(row => row[column]!.length))
  const lines = [...rows, ...flags].map(([option, variable, text]) =>
    `  ${option!.padEnd(width(0))}  ${variable!.padEnd(width(1))}  ${text}`)
  return `Usage: holdfast [options]

Serves session data over HTTP. Every setting is an option or an environment variable; the option wins.

${lines.join('\n')}
`
}
