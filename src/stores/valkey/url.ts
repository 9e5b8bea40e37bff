import { authority } from '../../authority.js'

/** Where a server listens. IPv6 addresses stand without brackets. */
export interface Endpoint { readonly host: string, readonly port: number }

/** What a URL says of a Valkey or Redis server, or of a cluster of them. */
export interface ValkeyTarget {
  readonly kind: 'valkey'
  /** One server; of a cluster some of its nodes, of which one has to answer. */
  readonly endpoints: readonly Endpoint[]
  readonly isCluster: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  /** Number of the database; 0 in a cluster. */
  readonly database: number
  /** What the names of all our keys begin with. */
  readonly prefix: string
  /** Undefined without TLS. Files of the authority that the server is trusted by, and of the certificate that it trusts us by. */
  readonly tls: { readonly ca?: string, readonly cert?: string, readonly key?: string } | undefined
}

/** The form of the URL, for help and errors. */
export const VALKEY_FORM = 'valkey://[[<user>]:<password>@]<host>[:<port>][,<host>[:<port>]...][/<database>][?cluster=true]'

const DEFAULT_PORT = 6379
const DEFAULT_PREFIX = 'holdfast'

/** Whether TLS is used, by the scheme. */
export const SCHEMES: Readonly<Record<string, boolean>> = { valkey: false, redis: false, valkeys: true, rediss: true }

const PARTS = /^(?<scheme>[a-z]+):\/\/(?:(?<credentials>[^@/?#]*)@)?(?<hosts>[^@/?#]+)(?:\/(?<database>\d*))?(?:\?(?<query>[^?#]*))?$/
const HOST = /^(?:\[(?<address>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?<name>[A-Za-z0-9_.-]+))(?::(?<port>\d{1,5}))?$/
const PREFIX = /^[A-Za-z0-9_.:-]{1,64}$/

/**
 * Reads a URL with one of SCHEMES. Throws an Error that says what is wrong; it does not repeat the URL, which
 * may hold a password.
 */
export function parseValkeyUrl (url: string): ValkeyTarget {
  const { scheme = '', credentials, hosts = '', database = '', query } = PARTS.exec(url)?.groups ?? fail(`the form of the URL is ${VALKEY_FORM}`)
  const options = optionsOf(query ?? '', SCHEMES[scheme] === true)
  const endpoints = hosts.split(',').map(endpointOf)
  if (!options.isCluster && endpoints.length > 1) fail('several hosts are the nodes of a cluster: add ?cluster=true')
  if (options.isCluster && Number(database) !== 0) fail('a cluster has no database but 0')
  return { kind: 'valkey', endpoints, ...credentialsOf(credentials), database: Number(database), ...options }
}

function fail (what: string): never {
  throw new Error(`The URL of the store is wrong: ${what}`)
}

function endpointOf (text: string): Endpoint {
  const { address, name, port = String(DEFAULT_PORT) } = HOST.exec(text)?.groups ?? fail('a host is a name or an IP address, an IPv6 address in brackets, and a port from 1 to 65535 after a colon')
  if (Number(port) < 1 || Number(port) > 65535) fail('a port is a number from 1 to 65535')
  return { host: address ?? name ?? '', port: Number(port) }
}

function credentialsOf (text: string | undefined): Pick<ValkeyTarget, 'username' | 'password'> {
  if (text === undefined) return { username: undefined, password: undefined }
  const at = text.indexOf(':')
  const username = decode(at < 0 ? text : text.slice(0, at))
  const password = at < 0 ? '' : decode(text.slice(at + 1))
  if (password === '') fail('a user comes with a password: <user>:<password>@, or :<password>@ for the default user')
  return { username: username === '' ? undefined : username, password }
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    fail('the user and the password are percent-encoded (RFC 3986)')
  }
}

function optionsOf (query: string, isSecure: boolean): Pick<ValkeyTarget, 'isCluster' | 'prefix' | 'tls'> {
  const given = new URLSearchParams(query)
  const known = ['cluster', 'prefix', ...isSecure ? ['ca', 'cert', 'key'] : []]
  for (const name of given.keys()) {
    if (!known.includes(name)) fail(`the options after the question mark are ${known.join(', ')}${isSecure ? '' : ', and with valkeys:// also ca, cert and key'}`)
    if (given.getAll(name).length > 1) fail(`${name} is given twice`)
  }
  const [cluster = 'false', prefix = DEFAULT_PREFIX, ca, cert, key] = ['cluster', 'prefix', 'ca', 'cert', 'key'].map(name => given.get(name) ?? undefined)
  if (cluster !== 'true' && cluster !== 'false') fail('cluster is true or false')
  if (!PREFIX.test(prefix)) fail('prefix is 1 to 64 letters, digits and _ . : -')
  if ((cert === undefined) !== (key === undefined)) fail('cert and key go together')
  const files = { ...ca !== undefined && { ca }, ...cert !== undefined && { cert }, ...key !== undefined && { key } }
  return { isCluster: cluster === 'true', prefix, tls: isSecure ? files : undefined }
}

/** The servers as they may be shown to anybody: without a password. */
export function shownEndpoints ({ endpoints }: ValkeyTarget): string {
  return endpoints.map(({ host, port }) => authority(host, port)).join(',')
}
