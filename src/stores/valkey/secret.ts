import { ToldFaults } from '../../told-faults.js'
import type { Engine } from './client/engine.js'
import { EngineError } from './client/faults.js'
import { secretKey } from './layout.js'

/** 32 bytes or more, in base64url. */
const FORM = /^[\w-]{43,}$/

/** The fault that the engine has another secret than this gateway. */
const OTHER = 'other'

/** The secret of a store, as this gateway knows it and as the engine has it. */
export class SecretKeeper {
  readonly #engine: Engine
  readonly #key: string
  readonly #report: (error: Error) => void
  readonly #told = new ToldFaults()
  #known: string | undefined

  constructor (engine: Engine, prefix: string, report: (error: Error) => void) {
    this.#engine = engine
    this.#key = secretKey(prefix)
    this.#report = report
  }

  /** As SessionStore.secret(). */
  async read (make: () => Buffer): Promise<Buffer> {
    let kept = await this.#get()
    if (kept === null) {
      const made = make().toString('base64url')
      await this.#put(made)
      // Of several gateways that made one the first has won. An engine that was emptied at this very moment has none.
      kept = await this.#get() ?? made
    }
    if (!FORM.test(kept)) throw new EngineError('DAMAGED', `${this.#key} is not a secret as Holdfast makes it`)
    this.#known = kept
    return Buffer.from(kept, 'base64url')
  }

  /**
   * Puts the secret back that this gateway goes by when the engine has lost it (somebody emptied it, or a replica took over that
   * did not have it yet): gateways with different secrets would not find each other's shared sessions. Rejects as Engine.command() does.
   */
  async restore (): Promise<void> {
    if (this.#known === undefined) return
    const kept = await this.#get()
    if (kept === null) {
      await this.#put(this.#known)
      this.#report(new Error('the secret of shared sessions was missing in the store, and was put back'))
    } else if (kept !== this.#known && this.#told.isNew(OTHER)) {
      this.#report(new Error('the secret of shared sessions in the store is another one by now: restart this server, which cannot find the shared sessions of others'))
    }
  }

  async #get (): Promise<string | null> {
    return await this.#engine.command(this.#key, { name: 'get', args: [this.#key] }, false) as string | null // As GET answers.
  }

  async #put (secret: string): Promise<void> {
    await this.#engine.command(this.#key, { name: 'set', args: [this.#key, secret, 'nx'] }, true)
  }
}
