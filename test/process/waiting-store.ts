import { memoryStore } from '../../src/stores/memory.js'
import type { CommonOptions } from '../../src/stores/options.js'
import type { SessionStore } from '../../src/session.js'
import { StatusError, type StatusName } from '../../src/status.js'

export interface WaitingStore {
  /** Sessions in memory, which nobody can use while it is not usable. */
  readonly store: SessionStore
  /** Says why it cannot be used, or with undefined that it can; the first time that opens it. */
  tell (reason: string | undefined): void
  giveUp (error: Error): void
  /** Has it fail without telling anybody that it cannot be used. */
  refuse (status: StatusName): void
}

/** A store that has to be waited for, as long as a test likes. */
export function waitingStore ({ onAvailability }: CommonOptions = {}): WaitingStore {
  const memory = memoryStore()
  let fault: string | undefined = 'Nothing was tried.'
  let status: StatusName = 'StoreUnavailable'
  let settle = { resolve (): void {}, giveUp (_error: Error): void {} }
  const opened = new Promise<void>((resolve, reject) => { settle = { resolve, giveUp: reject } })
  const store = new Proxy(memory, {
    get (target, name) {
      if (name === 'opened') return opened
      const isRefused = fault !== undefined && name !== 'close' && name !== 'kind' && name in target
      if (isRefused) return async () => { throw new StatusError(status, '', fault) }
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  return {
    store,
    tell (reason) {
      fault = reason
      onAvailability?.(reason)
      if (reason === undefined) settle.resolve()
    },
    giveUp: error => settle.giveUp(error),
    refuse (other) {
      fault = 'It fails.'
      status = other
    },
  }
}
