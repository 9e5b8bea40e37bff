import { availableParallelism } from 'node:os'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { readArguments, readVariables, unknownName, type GivenSetting } from './arguments.js'
import { SUBCOMMANDS, type Subcommand, type SubcommandName, type Flag } from './subcommands.js'
import { commandHelp, mainHelp } from './help.js'
import { isLoopback } from '../authority.js'
import { masked, reason } from '../reason.js'
import { ConfigSchema, quotedForms, shortForms, SETTINGS, type Config, type Setting } from './settings.js'
import { isStoreUrl, parseStoreUrl, rowOf, STORE_ROWS, type StoreLocation } from '../stores/table.js'

/** The options that are no setting. */
const FLAGS: Readonly<Record<string, Flag>> = {
  help: { short: 'h', description: 'print this and exit' },
  version: { short: 'v', description: 'print the version and exit' },
}

/** The stores that have data for the commands that look after it. */
const WITH_DATA = STORE_ROWS.filter(({ data }) => data !== undefined)

/** The one setting of these commands. */
const DATA_STORE: readonly Setting[] = SETTINGS.filter(({ name }) => name === 'store')
  .map(setting => ({ ...setting, description: `the store, ${shortForms(WITH_DATA)}`, allowed: quotedForms(WITH_DATA) }))

/** What the command line and the environment ask for. */
export type Reading =
  | { readonly kind: 'help', readonly text: string }
  | { readonly kind: 'version' }
  | { readonly kind: 'config', readonly config: Config }
  | { readonly kind: 'command', readonly command: Subcommand }
  /** `faults`: one line each, without a line end. `text`: all of them as they are to be printed. */
  | { readonly kind: 'faults', readonly faults: readonly string[], readonly text: string }

/**
 * Reads the configuration; the command line wins over the environment, and --help over everything else.
 *
 * @param argv the arguments after the name of the program
 */
export function readConfig (argv: readonly string[], env: NodeJS.ProcessEnv): Reading {
  const [first = '-', ...rest] = argv
  if (isCommand(first)) return readCommand(first, rest, env)
  if (!first.startsWith('-')) return readUnknown(first, rest)
  const faults: string[] = []
  const surplus = (argument: string) => isCommand(argument) ? 'a command comes before its options' : 'holdfast takes options only'
  const accepted = { program: 'holdfast', settings: SETTINGS, flags: FLAGS, arguments: 0, surplus }
  const { flags, given } = readArguments(argv, accepted, SETTINGS, faults)
  if (flags.has('help')) return { kind: 'help', text: mainHelp(SETTINGS, FLAGS) }
  if (flags.has('version')) return { kind: 'version' }
  const variables = readVariables(env, SETTINGS, faults)
  const all = new Map([...variables, ...given])
  const { values, store } = readValues(SETTINGS, all, faults)
  if (store !== undefined) faults.push(...pointless(all, store))
  faults.push(...openFaults(values, all))
  if (faults.length > 0 || store === undefined || !Value.Check(ConfigSchema, values)) return faulty('holdfast', faults)
  const workers = values.workers === 'auto' ? availableParallelism() : Number(values.workers)
  if (workers > 1 && rowOf(store).claim === undefined) {
    return faulty('holdfast', [`--workers: ${workers} processes cannot share what one of them has in memory: take --workers 1 or another --store`])
  }
  const { rateLimit, ...others } = values
  return { kind: 'config', config: { ...others, store, workers, ...rateLimit !== undefined && { rateLimit: rateOf(rateLimit) } } }
}

const TIMES_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** What a rate says. @param text as the pattern of its setting has it, such as `100/1s` */
function rateOf (text: string): NonNullable<Config['rateLimit']> {
  const [max, time = ''] = text.split('/')
  return { max: Number(max), windowMs: Number.parseInt(time) * (TIMES_MS[time.replace(/^\d+/, '')] ?? 1) }
}

/** What is wrong with whom the server lets in: without API keys it is for this machine only, unless somebody wants it otherwise. */
function openFaults ({ host, apiKeysFile, allowAnonymous }: Record<string, unknown>, given: ReadonlyMap<string, GivenSetting>): string[] {
  const sourceOf = (name: keyof Config) => given.get(name)?.source
  if (apiKeysFile !== undefined) return allowAnonymous === true ? [`${sourceOf('allowAnonymous')}: means nothing beside ${sourceOf('apiKeysFile')}, which lets in whoever has a key`] : []
  if (allowAnonymous === true || !Value.Check(ConfigSchema.properties.host, host) || isLoopback(host)) return []
  return [`${sourceOf('host')}: without API keys the server listens on loopback only (127.0.0.1, ::1, localhost), and others can reach ${host}: ` +
    'give it --api-keys-file, or --allow-anonymous if whoever reaches it may use it']
}

function isCommand (name: string): name is SubcommandName {
  return Object.hasOwn(SUBCOMMANDS, name)
}

/** What follows the name of a command that does not exist cannot be judged, but may be a call for help. */
function readUnknown (name: string, argv: readonly string[]): Reading {
  if (argv.some(option => option === '--help' || option === '-h')) return { kind: 'help', text: mainHelp(SETTINGS, FLAGS) }
  return faulty('holdfast', [unknownName('there is no such command', name, Object.keys(SUBCOMMANDS))])
}

/** Reads what follows the name of a command. Of the settings only the store is its concern. */
function readCommand (name: SubcommandName, argv: readonly string[], env: NodeJS.ProcessEnv): Reading {
  const row = SUBCOMMANDS[name]
  const flags = { ...row.flags, ...FLAGS }
  const program = `holdfast ${name}`
  const faults: string[] = []
  const expected = [row.argument, row.second].filter(argument => argument !== undefined)
  const settings = row.isStoreless ? [] : DATA_STORE
  const surplus = () => `${program} takes ${['options', 'one argument', 'two arguments'][expected.length]} only`
  const options = row.options ?? []
  const accepted = { program, settings: [...settings, ...options], flags, arguments: expected.length, surplus }
  const found = readArguments(argv, accepted, [...SETTINGS, ...options], faults)
  if (found.flags.has('help')) return { kind: 'help', text: commandHelp(name, settings, flags) }
  if (found.flags.has('version')) return { kind: 'version' }
  const given = new Map([...readVariables(env, SETTINGS, faults), ...found.given])
  // A command without a store is given the default one, and does not look at it.
  const { store } = readValues(DATA_STORE, row.isStoreless ? new Map() : given, faults)
  if (store !== undefined && rowOf(store).data === undefined) faults.push(`${given.get('store')?.source}: a ${store.kind}: store has nothing outside of its process`)
  const [argument = '', second = ''] = expected.map(({ default: usual = '' }, index) => found.arguments[index] ?? usual)
  for (const [index, { hint, description, isNoPath }] of expected.entries()) {
    const value = [argument, second][index]!
    if (value === '') faults.push(`<${hint}>: is missing: ${description}`)
    // A file of that name would be made, or its name printed, with whatever password stands in it.
    if (isNoPath !== true && (isStoreUrl(value) || value.includes('://'))) faults.push(`<${hint}>: is a URL; ${row.isStoreless ? 'it has to be a path' : 'the one of the store goes to --store'}`)
  }
  const chosen = new Map(options.flatMap(({ name }) => found.given.has(name) ? [[name, found.given.get(name)!.text]] : []))
  faults.push(...row.check?.(argument, chosen) ?? [])
  if (faults.length > 0 || store === undefined) return faulty(program, faults)
  return { kind: 'command', command: row.read({ store, argument, second, options: chosen, flags: found.flags }) }
}

function faulty (program: string, faults: readonly string[]): Reading {
  const text = [`${program}: the configuration is wrong`, ...faults].join('\n  ')
  return { kind: 'faults', faults, text: `${text}\n${program} --help lists what there is.\n` }
}

/** The value of every setting: the one given, or else the default; and what the URL of the store says, if it is right. */
function readValues (settings: readonly Setting[], given: ReadonlyMap<string, GivenSetting>, faults: string[]): { values: Record<string, unknown>, store: StoreLocation | undefined } {
  const values: Record<string, unknown> = {}
  let store: StoreLocation | undefined
  for (const { name, allowed, default: usual } of settings) {
    const schema: TSchema = ConfigSchema.properties[name]
    const { source, text } = given.get(name) ?? { source: 'the default', text: usual }
    if (text === undefined) continue
    const value = valueOf(text, schema)
    if (!Value.Check(schema, value)) faults.push(`${source}: ${JSON.stringify(masked(text))} is not ${allowed}`)
    else if (name === 'store') store = readStore(source, text, faults)
    values[name] = value
  }
  return { values, store }
}

const UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** A text as its schema wants it; the text itself when it is none such. Value.Convert would take 80.5 and 1e3 for the integers 80 and 1. */
function valueOf (text: string, { type, isBytes }: TSchema): unknown {
  const [, digits, unit = ''] = (isBytes === true ? /^(\d+)([KMG]iB)?$/ : /^(\d+)$/).exec(text) ?? []
  if (type === 'integer' && digits !== undefined) return Number(digits) * (UNITS[unit] ?? 1)
  if (type === 'boolean' && /^(true|false)$/.test(text)) return text === 'true'
  return text
}

function readStore (source: string, url: string, faults: string[]): StoreLocation | undefined {
  try {
    return parseStoreUrl(url)
  } catch (error) {
    faults.push(`${source}: ${reason(error)}`)
    return undefined
  }
}

/** The faults of settings that were given, and mean nothing for the store that was chosen. */
function pointless (given: ReadonlyMap<string, GivenSetting>, { kind }: StoreLocation): string[] {
  return SETTINGS.flatMap(({ name, store = kind }) => {
    const { source } = given.get(name) ?? {}
    return source === undefined || store === kind ? [] : [`${source}: means nothing for ${kind}:, but for a store on Valkey or Redis`]
  })
}
