import { createHash, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Caller } from '../caller.js'
import { reason } from '../reason.js'
import { parseKeyFile, type ApiKey } from './key-file.js'

/** Milliseconds between two looks at the file. It is read whole: its times and size can be the same after a change. */
const LOOK_MS = 1_000

const NO_KEYS = 'The file of API keys has none: nobody is let in.'

/** Where changes are told. */
export interface KeyringLog {
  info (message: string): void
  warn (message: string): void
  error (message: string): void
}

/** The API keys of a file, which is read again when it changes. */
export class Keyring {
  readonly #path: string
  readonly #log: KeyringLog
  #keys: readonly ApiKey[] = []
  /** What the file held when it was last read; a sentence instead when it could not be. */
  #seen: Buffer | string | undefined
  #fault: string | undefined
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor (path: string, log: KeyringLog) {
    this.#path = path
    this.#log = log
  }

  /** Reads a file and goes on looking at it. @throws {Error} that says why it cannot be used */
  static async open (path: string, log: KeyringLog): Promise<Keyring> {
    const keyring = new Keyring(path, log)
    const bytes = await readFile(path)
    keyring.#keys = parseKeyFile(bytes)
    keyring.#seen = bytes
    keyring.#warnOfNone()
    keyring.#timer = setInterval(() => { keyring.reload() }, LOOK_MS).unref()
    return keyring
  }

  /** What an operator has to mend: why the file as it is now is not used, but what it held before; or that it has no keys. */
  get warning (): string | undefined {
    return this.#fault ?? (this.#keys.length === 0 ? NO_KEYS : undefined)
  }

  /** Who has this key; undefined when nobody has. Compares with every key, each in the same time whatever is in it. */
  find (key: string): Caller | undefined {
    const digest = createHash('sha256').update(key).digest()
    let found: Caller | undefined
    for (const { caller, digest: own } of this.#keys) if (timingSafeEqual(digest, own)) found = caller
    return found
  }

  /** Reads the file again. One that is faulty changes nothing, and is told. */
  async reload (): Promise<void> {
    // A look that is under way may have read the file before the change that this one is for.
    await this.#looking
    await (this.#looking ??= this.#look().finally(() => { this.#looking = undefined }))
  }

  close (): void {
    clearInterval(this.#timer)
  }

  async #look (): Promise<void> {
    const read = await readFile(this.#path).catch((error: unknown) => reason(error))
    const isSame = typeof read === 'string' ? read === this.#seen : this.#seen instanceof Buffer && read.equals(this.#seen)
    if (isSame) return
    this.#seen = read
    try {
      if (typeof read === 'string') throw new Error(read)
      this.#keys = parseKeyFile(read)
    } catch (error) {
      this.#fault = `The file of API keys cannot be used, and the keys that it had before still count: ${reason(error)}`
      this.#log.error(this.#fault)
      return
    }
    this.#fault = undefined
    this.#log.info(`the API keys were read again: ${this.#keys.length}`)
    this.#warnOfNone()
  }

  #warnOfNone (): void {
    if (this.#keys.length === 0) this.#log.warn(NO_KEYS)
  }
}
