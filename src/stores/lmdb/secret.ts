import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { writeNew } from '../../durable.js'
import { FILES } from './files.js'

/** One line: the secret as base64url, and its CRC32 in hexadecimal. */
const LINE = /^([\w-]{43,}) ([0-9a-f]{8})\n$/

function line (secret: Buffer): string {
  return `${secret.toString('base64url')} ${crc32(secret).toString(16).padStart(8, '0')}\n`
}

/** The secret that the directory keeps, in a file of its own so that no copy of the data has it; made by `make` on first use. */
export function secretOf (directory: string, make: () => Buffer): Buffer {
  return read(directory) ?? create(directory, make()) ?? secretOf(directory, make)
}

function read (directory: string): Buffer | undefined {
  let content: string
  try {
    content = readFileSync(join(directory, FILES.secret), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined // Only read: undefined on every other error.
    throw error
  }
  const [, text = ''] = LINE.exec(content) ?? []
  const secret = Buffer.from(text, 'base64url')
  if (line(secret) !== content) throw new Error(`the file ${FILES.secret} is damaged: put back a copy, or remove it to have a new secret made, by which no shared session of now can be opened by its name`)
  return secret
}

/** Undefined when another process was faster. */
function create (directory: string, secret: Buffer): Buffer | undefined {
  return writeNew(join(directory, FILES.secret), line(secret)) ? secret : undefined
}
