/** Which files a store consists of, by device and inode. */
export interface StoreFiles { readonly data: string, readonly lock: string }

export interface LmdbOptions {
  /**
   * `owner`, the default, has its directory to itself: refused while another process has it. `member` joins a directory
   * that another process, its primary, owns and has checked.
   */
  readonly role?: 'owner' | 'member'
  /** Of a member: what its primary has checked, and nothing else is opened. */
  readonly files?: StoreFiles
  /**
   * Told when a transaction begins to wait for those of other processes, when it begins, once none of them writes any more, and
   * when it has ended, so that one that hangs is noticed: the store is kept from everything as long. All are called often.
   */
  readonly commits?: { wait (): void, begin (): void, end (): void }
}
