import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { DEFAULT_BODY_BYTES, DEFAULT_CONNECTIONS, GREATEST_BODY_BYTES } from '../limits.js'
import { STORE_ROWS, type StoreKind, type StoreLocation } from '../stores/table.js'

/** The forms of the URLs of stores, as they stand in help. */
function formsOf (rows: readonly StoreForm[]): string {
  return inWords(rows.map(({ form, about }) => about === '' ? form : `${form} ${about}`), ', or ')
}

/** The same in short. */
export function shortForms (rows: readonly StoreForm[]): string {
  return inWords(rows.map(({ shortForm }) => shortForm), ' or ')
}

/** The same in short, as they stand in faults. */
export function quotedForms (rows: readonly StoreForm[]): string {
  return inWords(rows.map(({ shortForm }) => `\`${shortForm}\``), ' or ')
}

type StoreForm = Pick<(typeof STORE_ROWS)[number], 'form' | 'shortForm' | 'about'>

function inWords (parts: readonly string[], or: string): string {
  return [parts.slice(0, -1).join(', '), ...parts.slice(-1)].filter(part => part !== '').join(or)
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/**
 * Every setting. A property `bodyLimit` is the option --body-limit and the variable HOLDFAST_BODY_LIMIT; `hint` stands
 * for the value in the help text; `allowed` says in words what the schema cannot say of itself; `store` is the only kind of
 * store that the setting means something for.
 */
export const ConfigSchema = Type.Object({
  store: Type.String({
    default: 'lmdb:./data',
    hint: 'url',
    description: `where sessions are kept: ${formsOf(STORE_ROWS)}`,
    allowed: quotedForms(STORE_ROWS),
  }),
  storeTimeout: Type.Integer({
    default: 60,
    hint: 'seconds',
    description: 'how long to wait at the start for a Valkey or Redis server before giving up, from 1 to 86400',
    minimum: 1,
    maximum: 86_400,
    store: 'valkey',
  }),
  storeDeadline: Type.Integer({
    default: 2_000,
    hint: 'milliseconds',
    description: 'how long a Valkey or Redis server may take to answer before a request gets 503, from 50 to 60000',
    minimum: 50,
    maximum: 60_000,
    store: 'valkey',
  }),
  waitReplicas: Type.Integer({
    default: 0,
    hint: 'number',
    description: 'how many replicas of a Valkey or Redis server must have a change before it is answered, up to 16',
    minimum: 0,
    maximum: 16,
    store: 'valkey',
  }),
  host: Type.String({
    default: '127.0.0.1',
    hint: 'address',
    description: 'the address to listen on; 0.0.0.0 or :: for every network',
    pattern: '^[A-Za-z0-9_.:%-]+$',
    allowed: 'a host name or an IP address, without brackets',
  }),
  port: Type.Integer({
    default: 1987,
    hint: 'number',
    description: 'the TCP port to listen on; 0 for any that is free',
    minimum: 0,
    maximum: 65535,
  }),
  workers: Type.String({
    default: '1',
    hint: 'number',
    description: 'how many processes serve, on one port and one store, up to 99; auto for one per core',
    pattern: '^(auto|[1-9][0-9]?)$',
    allowed: '`auto` or a whole number from 1 to 99',
  }),
  bodyLimit: Type.Integer({
    default: DEFAULT_BODY_BYTES,
    hint: 'bytes',
    description: 'the largest request body, from 1KiB to 16MiB',
    minimum: 1024,
    maximum: GREATEST_BODY_BYTES,
    isBytes: true,
    allowed: 'a whole number of bytes, KiB or MiB from 1KiB to 16MiB',
  }),
  maxConnections: Type.Integer({
    default: DEFAULT_CONNECTIONS,
    hint: 'number',
    description: 'how many connections there may be at once, up to 1000000; with workers each has its share',
    minimum: 1,
    maximum: 1_000_000,
  }),
  maxConnectionsPerAddress: Type.Optional(Type.Integer({
    hint: 'number',
    description: 'how many of them from one address, up to 1000000; without it as many as there may be',
    minimum: 1,
    maximum: 1_000_000,
  })),
  rateLimit: Type.Optional(Type.String({
    hint: 'count/time',
    description: 'how many commands one API key, or one address without a key, may send in a time, such as 100/1s; with workers each has its share; without it any number',
    pattern: '^[1-9][0-9]{0,8}/[1-9][0-9]{0,5}(ms|s|m|h)$',
    allowed: 'a number, a slash and a time in ms, s, m or h, such as `100/1s`',
  })),
  apiKeysFile: Type.Optional(Type.String({
    hint: 'file',
    description: 'who may do what: a file with a line for each API key, as holdfast keygen makes them; without it there are none',
    minLength: 1,
    allowed: 'a path',
  })),
  allowAnonymous: Type.Boolean({
    default: false,
    description: 'listen on networks without API keys: whoever reaches the server may use it',
    allowed: '`true` or `false`',
  }),
  logLevel: Type.Union(LOG_LEVELS.map(level => Type.Literal(level)), {
    default: 'warn',
    hint: 'level',
    description: `the least severe messages that are logged: ${LOG_LEVELS.join(', ')}`,
    allowed: `one of ${LOG_LEVELS.join(', ')}`,
  }),
}, { additionalProperties: false })

/** What the schema says of the texts, with what those mean that stand for something else. */
export interface Config extends Omit<Static<typeof ConfigSchema>, 'store' | 'workers' | 'rateLimit'> {
  readonly store: StoreLocation
  /** How many processes serve. */
  readonly workers: number
  /** Commands that one key or address may send in so many milliseconds, of all processes together. */
  readonly rateLimit?: { readonly max: number, readonly windowMs: number }
}

/** An option with a value: a row of a help text. */
export interface Option {
  readonly name: string
  /** On the command line, such as `--body-limit`. */
  readonly option: string
  /** What stands for the value, such as `bytes`; undefined when the option alone says `true`. */
  readonly hint: string | undefined
  readonly description: string
  /** The values that are allowed, in words. */
  readonly allowed: string
}

/** A setting as a person meets it: a row of the help text and of the reference. */
export interface Setting extends Option {
  readonly name: keyof Config
  /** In the environment, such as `HOLDFAST_BODY_LIMIT`. */
  readonly variable: string
  readonly default: string | undefined
  /** The only kind of store that it means something for; undefined when there is no such. */
  readonly store: StoreKind | undefined
}

/** Every setting, in the order of the schema. */
export const SETTINGS: readonly Setting[] = Object.entries(ConfigSchema.properties).map(([name, schema]: [string, TSchema]) => {
  const words = name.split(/(?=[A-Z])/)
  return {
    name: name as keyof Config, // Object.entries forgets the names that it was given.
    option: `--${words.join('-').toLowerCase()}`,
    variable: `HOLDFAST_${words.join('_').toUpperCase()}`,
    hint: schema.type === 'boolean' ? undefined : schema.hint,
    default: schema.default === undefined ? undefined : String(schema.default),
    description: schema.description ?? '',
    allowed: schema.allowed ?? `a whole number from ${schema.minimum} to ${schema.maximum}`,
    store: schema.store,
  }
})

/** An option as help and pages show it, such as `--body-limit <bytes>`. */
export function usageOf ({ option, hint }: Pick<Option, 'option' | 'hint'>): string {
  return hint === undefined ? option : `${option} <${hint}>`
}
