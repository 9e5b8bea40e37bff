/** Which files a store consists of, by device and inode. */
export interface StoreFiles { readonly data: string, readonly lock: string }

/** What an opened store needs to know of the process that it is in, and tells it. */
export interface StoreOptions {
  /**
   * `owner`, the default, has its directory to itself: refused while another process has it. `member` joins a directory
   * that another process, its primary, owns and has checked.
   */
  readonly role?: 'owner' | 'member'
  /** Of a member: what its primary has checked, and nothing else is opened. */
  readonly files?: StoreFiles
  /** Told of what went wrong inside: a damaged record, a transaction that failed. Requests that met it fail by themselves. */
  report? (error: Error): void
  /** Told once that the store cannot go on: the process has to end, and the next one finds all that was acknowledged. */
  onFatal? (error: Error): void
  /**
   * Told when a transaction begins to wait for those of other processes, when it begins, once none of them writes any more, and
   * when it has ended, so that one that hangs is noticed: the store is kept from everything as long. All are called often.
   */
  readonly commits?: { wait (): void, begin (): void, end (): void }
  /** Of a store at the other end of a network: seconds that opening it may take; for ever with Infinity. 60 unless given. */
  readonly timeout?: number
  /** Of such a store: milliseconds in which it has to answer, or else a request fails with StoreUnavailable. 2,000 unless given. */
  readonly deadline?: number
  /** Of such a store: how many replicas have to have a change before it counts as made. None unless given. */
  readonly waitReplicas?: number
  /** Of such a store: told why it cannot be used at the moment, and with undefined once it can. */
  onAvailability? (reason: string | undefined): void
}

/** Data that this process has to itself although it does not open it: its workers do, as members. */
export interface Claim {
  readonly files: StoreFiles
  /** @param isSound whether all workers ended as they should: else the data is checked before it is opened again */
  release (isSound: boolean): Promise<void>
}
