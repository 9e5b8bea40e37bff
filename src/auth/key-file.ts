import { ROLES, type Caller, type Role } from '../caller.js'

/** An API key as a file has it. */
export interface ApiKey {
  readonly caller: Caller & { readonly name: string }
  /** SHA-256 of the key's text: 32 bytes. */
  readonly digest: Buffer
}

/** A file of API keys that cannot be used. Its message names lines and never what stands in them: that might be a key. */
export class KeyFileError extends Error {}

const SHA256 = /^[0-9a-f]{64}$/
const PREFIX = 'prefix='

/**
 * Reads the lines of a file of API keys, `NAME ROLE SHA256 [prefix=TEXT]`, separated by spaces or tabs. A `#` at the beginning of a
 * word begins a comment.
 * @param bytes UTF-8
 * @throws {KeyFileError} that names every line that is wrong
 */
export function parseKeyFile (bytes: Uint8Array): readonly ApiKey[] {
  const keys: ApiKey[] = []
  const faults: string[] = []
  const lineOf = new Map<string, number>()
  for (const [index, line] of textOf(bytes).split(/\r?\n/).entries()) {
    const number = index + 1
    const words = line.replace(/(^|[ \t])#.*$/, '').split(/[ \t]+/).filter(word => word !== '')
    if (words.length === 0) continue
    const key = keyOf(words)
    if (typeof key === 'string') {
      faults.push(`line ${number}: ${key}`)
      continue
    }
    const { caller: { name }, digest } = key
    for (const [what, mark] of [['name', `name ${name}`], ['key', digest.toString('hex')]] as const) {
      const before = lineOf.get(mark)
      if (before !== undefined) faults.push(`line ${number}: has the ${what} of line ${before}`)
      else lineOf.set(mark, number)
    }
    keys.push(key)
  }
  if (faults.length > 0) throw new KeyFileError(faults.join('; '))
  return keys
}

function textOf (bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new KeyFileError('it is not UTF-8')
  }
}

/** The key of a line's words, or what is wrong with them. */
function keyOf ([name = '', role, digest, prefix, ...more]: readonly string[]): ApiKey | string {
  if (role === undefined || digest === undefined) return 'a line is NAME ROLE SHA256 [prefix=TEXT]'
  if (!isRole(role)) return `the second word has to be a role: ${ROLES.join(', ')}`
  if (!SHA256.test(digest)) return 'the third word has to be a SHA-256: 64 hexadecimal digits in lower case'
  if (more.length > 0) return 'has more than four words'
  if (prefix !== undefined && (!prefix.startsWith(PREFIX) || prefix === PREFIX)) return 'the fourth word has to be prefix= and a text'
  return { caller: { name, role, prefix: prefix?.slice(PREFIX.length) }, digest: Buffer.from(digest, 'hex') }
}

export function isRole (text: string): text is Role {
  return (ROLES as readonly string[]).includes(text)
}

/** Whether a text can be a word of a line. */
export function isWord (text: string): boolean {
  return /^[^\s#][^\s]*$/.test(text) && text.isWellFormed()
}

/** The line of a key. @param digest SHA-256 of the key's text in hexadecimal digits */
export function keyLine ({ name, role, prefix }: ApiKey['caller'], digest: string): string {
  return [name, role, digest, ...prefix === undefined ? [] : [PREFIX + prefix]].join(' ')
}
