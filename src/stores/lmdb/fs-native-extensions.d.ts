/** The part of fs-native-extensions that Holdfast uses; the package has no declarations of its own. */
declare module 'fs-native-extensions' {
  /**
   * Asks for a lock on a part of a file, which ends when the descriptor is closed or the process ends.
   * @param offset first byte of the part (macOS locks whole files) @param length bytes
   * @returns whether it was granted
   */
  export function tryLock (fd: number, offset: number, length: number, options: { readonly shared: boolean }): boolean

  /** Waits for a lock as of tryLock(). */
  export function waitForLockSync (fd: number, offset: number, length: number, options: { readonly shared: boolean }): void

  /** Gives a lock up. */
  export function unlock (fd: number, offset: number, length: number): void
}
