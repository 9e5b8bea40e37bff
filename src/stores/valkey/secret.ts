import type { Engine } from './client/engine.js'
import { EngineError } from './client/faults.js'
import { secretKey } from './layout.js'

/** 32 bytes or more. */
const FORM = /^[\w-]{43,}$/

/** The secret of a store, as this gateway knows it and as the engine has it. */
export interface Secret {
  /** As SessionStore.secret. */
  read (make: () => Buffer): Promise<Buffer>
  /**
   * Puts the secret back that this gateway goes by when the engine has lost it (it was emptied, or a replica took over that did
   * not have it yet): gateways with different secrets would not find each other's shared sessions.
   */
  keep (): Promise<void>
}

export function secretOf (engine: Engine, prefix: string, report: (error: Error) => void): Secret {
  const key = secretKey(prefix)
  let known: string | undefined
  let isTold = false

  const get = async (): Promise<string | null> => await engine.command(key, { name: 'get', args: [key] }, false) as string | null // As GET answers.

  async function put (secret: string): Promise<void> {
    await engine.command(key, { name: 'set', args: [key, secret, 'nx'] }, true)
  }

  return {
    async read (make) {
      let kept = await get()
      if (kept === null) {
        const made = make().toString('base64url')
        await put(made)
        // Of several gateways that made one the first has won, and an engine that was emptied at this very moment has none.
        kept = await get() ?? made
      }
      if (!FORM.test(kept)) throw new EngineError('DAMAGED', `${key} is not a secret as Holdfast makes it`)
      known = kept
      return Buffer.from(kept, 'base64url')
    },
    async keep () {
      if (known === undefined) return
      const kept = await get()
      if (kept === null) {
        await put(known)
        report(new Error('the secret of shared sessions was missing in the store, and was put back'))
      } else if (kept !== known && !isTold) {
        isTold = true
        report(new Error('the secret of shared sessions in the store is another one by now: restart this server, which cannot find the shared sessions of others'))
      }
    },
  }
}
