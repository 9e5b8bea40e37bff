import { hash, randomBytes } from 'node:crypto'
import type { Role } from '../caller.js'
import { keyLine } from './key-file.js'

/** Random bytes of an API key before it is written as base64url. */
const KEY_BYTES = 32

/** Makes an API key. @returns its text, and the line of the file of API keys that lets it in */
export function makeKey (name: string, role: Role, prefix: string | undefined): { readonly key: string, readonly line: string } {
  const key = randomBytes(KEY_BYTES).toString('base64url')
  return { key, line: keyLine({ name, role, prefix }, hash('sha256', key, 'hex')) }
}
