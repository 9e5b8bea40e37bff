/** What every opened store may tell the process that it is in. What only one kind of store takes stands in that store's folder. */
export interface CommonOptions {
  /** Told of what went wrong inside: a damaged record, a transaction that failed. Requests that met it fail by themselves. */
  report? (error: Error): void
  /** Told once that the store cannot go on: the process has to end, and the next one finds all that was acknowledged. */
  onFatal? (error: Error): void
  /** Told why the store cannot be used at the moment, and with undefined once it can. Only a store that has to be waited for calls it. */
  onAvailability? (reason: string | undefined): void
}
