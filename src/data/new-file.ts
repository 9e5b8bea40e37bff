import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { lstat, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { PRIVATE_FILE, syncDirectory } from '../durable.js'
import { reason } from '../reason.js'
import { InputError } from '../stores/input-error.js'

/**
 * Makes a file that only its owner can read, as a whole or not at all: until everything is written and on the disk it has
 * another name, in the same directory.
 *
 * @param write gives the file its content, and its result to the caller; it does not end the stream
 * @throws {InputError} when there is something under this name, or a file cannot be made there
 */
export async function writeNewFile<T> (path: string, write: (output: Writable) => Promise<T>): Promise<T> {
  await refuseExisting(path)
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`)
  const output = createWriteStream(temporary, { flags: 'wx', mode: PRIVATE_FILE, flush: true })
  await once(output, 'open').catch(error => { throw new InputError(`cannot make a file in ${dirname(path)}: ${reason(error)}`) })
  const done = finished(output)
  // It is awaited below, unless writing fails before; this only keeps Node from reporting it.
  done.catch(() => {})
  try {
    const result = await write(output)
    output.end()
    await done
    await refuseExisting(path)
    await rename(temporary, path)
    // Without this a power cut may take the new name away.
    syncDirectory(dirname(path))
    return result
  } catch (error) {
    output.destroy()
    await rm(temporary, { force: true })
    throw error
  }
}

async function refuseExisting (path: string): Promise<void> {
  const present = await lstat(path).catch(() => undefined)
  if (present !== undefined) throw new InputError(`${path} exists already, and is left as it is`)
}
