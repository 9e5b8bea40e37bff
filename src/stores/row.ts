import type { SessionStore } from '../session.js'
import type { DataStore } from './data-store.js'
import type { CommonOptions } from './options.js'

/** Data that this process has to itself although it does not open it: its workers do. */
export interface Claim<Options> {
  /** What each worker has to be given when it opens the data: plain data, which goes from one process to another. */
  readonly options: Options
  /** @param isSound whether all workers ended as they should: else the data is checked before it is opened again */
  release (isSound: boolean): Promise<void>
}

/**
 * One kind of store: all that the rest of Holdfast knows of it. What a row needs to do its work is loaded when it is called,
 * so that a store that nobody asks for costs nothing.
 *
 * `Location` is what a URL says: plain data, which goes from one process to another. `Options` is what only this kind takes.
 */
export interface StoreRow<Location, Options extends object = object> {
  /** What the URLs of this kind begin with, such as `lmdb` of `lmdb:./data`. */
  readonly schemes: readonly string[]
  /** The form of the URL for help, such as `valkey://<host>[:<port>]`. */
  readonly form: string
  /** The least that a URL of this kind has, for faults, such as `valkey://<host>`. */
  readonly shortForm: string
  /** What else there is to say of the URL, for help; '' for nothing. */
  readonly about: string
  /** Reads a URL with one of the schemes, without opening anything. Throws an Error that says what is wrong; it does not repeat the URL, which may hold a password. */
  parse (url: string): Location
  /** Where the data is, to follow the word "data". It holds no password. */
  show (location: Location): string
  /** Rejects with an Error that says in one line why the store cannot be opened. */
  open (location: Location, options: CommonOptions & Options): Promise<SessionStore>
  /**
   * Takes the data for this process and its workers, and checks it; undefined for data that is elsewhere, which nobody has to
   * himself. Rejects as open() does. A store that several processes cannot share has no claim().
   */
  claim? (location: Location): Promise<Claim<Options> | undefined>
  /** What the data commands do with it. A store that holds nothing outside of its process has none. */
  data? (location: Location): Promise<DataStore>
  /** Whether a write can hang in this process, when its disk does: then a watchdog ends the process. */
  readonly needsWatchdog: boolean
}
