import type { Logger } from 'pino'
import { ToldFaults } from '../told-faults.js'

/** Whether requests should be sent to a server, as GET /ready tells it. */
export interface Availability {
  /** A sentence that says why not; undefined while they should. */
  readonly reason: string | undefined
  /** Sentences on what an operator has to mend while requests are served all the same. */
  readonly warnings: readonly string[]
  /** Whether the store can be used, by what it last said. */
  readonly hasStore: boolean
  /** The store has been opened. */
  opened (): void
  /** Takes what the store says: why it cannot be used, or undefined once it can. Changes are logged. */
  tell (reason: string | undefined): void
  /** The server ends: `reason` is given from now on, whatever the store says. */
  end (reason: string): void
}

/** How many reasons are logged for one outage: each attempt may fail for another one. */
const MAX_REASONS = 5

const LOST = 'The store cannot be used at the moment, and the log says why.'

/**
 * Of a server whose store is not opened yet.
 * @param place of the data, to follow that word
 * @param keyFault a sentence on what is wrong with the API keys, if something is
 */
export function availability (log: Pick<Logger, 'warn'>, place: string, keyFault: () => string | undefined = () => undefined): Availability {
  let isOpen = false
  let fault: string | undefined
  /** The reasons that are logged of this outage. */
  const said = new ToldFaults()
  let ending: string | undefined
  return {
    // Only the operator learns where the store is and what is wrong with it.
    get reason () { return ending ?? (fault === undefined ? undefined : LOST) ?? (isOpen ? undefined : 'The store is not open yet.') },
    get warnings () { return [keyFault() ?? []].flat() },
    get hasStore () { return isOpen && fault === undefined },
    opened () { isOpen = true },
    tell (reason) {
      const wasUsable = fault === undefined
      fault = reason
      if (ending !== undefined) return
      if (reason === undefined) {
        if (!wasUsable) log.warn(`the data ${place} can be used now`)
        said.forget()
        return
      }
      // One reason often follows another: a lost connection, and then why it cannot be made again.
      if (said.size >= MAX_REASONS || !said.isNew(reason)) return
      log.warn(isOpen ? `the data ${place} cannot be used: ${reason}` : `waiting for the data ${place}: ${reason}`)
    },
    end (reason) { ending ??= reason },
  }
}
