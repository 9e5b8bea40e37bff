import { promiseWithResolvers } from '../../promise.js'
import type { Topology } from './client/topology.js'

/** Waits until a store can be used, and gives it up when that takes too long. */
export class Opening {
  readonly #opened = promiseWithResolvers<void>()
  readonly #timer: NodeJS.Timeout | undefined
  #reason = 'no answer'

  /** @param timeoutS seconds; Infinity waits for ever */
  constructor (timeoutS: number) {
    // Nobody has to wait for it.
    this.#opened.promise.catch(() => {})
    if (Number.isFinite(timeoutS)) this.#timer = setTimeout(() => this.#opened.reject(new Error(`${this.#reason}, after ${timeoutS} s`)), timeoutS * 1000)
  }

  /** As SessionStore.opened. */
  get promise (): Promise<void> { return this.#opened.promise }

  /** To be called whenever the topology changes. */
  topologyChanged ({ isWhole, fault }: Pick<Topology, 'isWhole' | 'fault'>): void {
    this.#reason = fault ?? 'not every part of the cluster can be reached'
    if (!isWhole) return
    clearTimeout(this.#timer)
    this.#opened.resolve()
  }

  close (): void {
    clearTimeout(this.#timer)
    this.#opened.reject(new Error('it was closed'))
  }
}
