import { randomUUID } from 'node:crypto'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { reason } from '../reason.js'
import { InputError } from '../stores/input-error.js'

/**
 * Opens what is to be imported, so that it can be read twice: a file as it is, standard input and pipes as a copy of what
 * comes out of them.
 *
 * @param path of the file, or `-` for standard input
 * @throws {InputError} when there is no such file
 */
export async function openSource (path: string, stdin: Readable, signal?: AbortSignal): Promise<FileHandle> {
  if (path === '-') return await spool(stdin, signal)
  const file = await open(path).catch(error => { throw new InputError(`cannot open ${path}: ${reason(error)}`) })
  try {
    const kind = await file.stat()
    if (kind.isFile()) return file
    if (kind.isDirectory()) throw new InputError(`cannot import ${path}: it is a directory`)
  } catch (error) {
    await file.close()
    throw error
  }
  // A pipe, such as <(zcat sessions.gz). The stream closes it.
  return await spool(file.createReadStream(), signal)
}

/** Copies everything into a file that nobody else can read, and that has lost its name: it is gone with the process. */
async function spool (input: Readable, signal: AbortSignal | undefined): Promise<FileHandle> {
  const path = join(tmpdir(), `holdfast-import-${randomUUID()}`)
  try {
    const file = await open(path, 'wx+', 0o600)
    try {
      await unlink(path)
      await pipeline(input, async chunks => {
        for await (const chunk of chunks) await file.appendFile(chunk)
      }, { ...signal && { signal } })
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw new Error(`cannot keep what comes in, which has to be read twice, in ${tmpdir()}`, { cause: error })
  }
}
