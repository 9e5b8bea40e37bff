import type { SessionStore } from '../session.js'

/** What a command that takes long tells, and what it has to heed. */
export interface Watch<State> {
  /** Told how far it is, as often as is convenient. */
  report? (state: State): void
  /** Aborted when the operator wants it to end: then it clears away what is unfinished and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** A part of a whole: bytes of a copy, records of a check. */
export interface Part {
  readonly done: number
  readonly of: number
}

/** What a backup holds. */
export interface Backup {
  /** Alive at the moment of the backup. */
  readonly sessions: number
  /** That can be read from them. */
  readonly keys: number
  /** On the disk. */
  readonly bytes: number
  /** Records that are damaged, in the store as in its copy. */
  readonly damaged: number
}

/** What a store holds. */
export interface Inspection {
  /** Such as `lmdb`. */
  readonly kind: string
  /** The format version of the data. */
  readonly format: string
  /** Alive. */
  readonly sessions: number
  /** That can be read from them. */
  readonly keys: number
  /** Of these keys and their values in UTF-8. */
  readonly bytes: number
  /** That the data takes on the disk. */
  readonly diskBytes: number
  /** Sessions that are due, to end or to be emptied, and that no sweep has dealt with yet. */
  readonly expired: number
}

/** What came of checking every record of a store. */
export interface Verification {
  readonly records: number
  readonly damaged: number
  /** Of some of the damaged records, the first hundred at most: which, and what is wrong; never a value. A line each. */
  readonly examples: readonly string[]
}

/**
 * What the data commands need of a store. Every method rejects with an InputError when there is no Holdfast store, or when its
 * kind has no such thing; none but open() for `import` and backup() changes or makes anything on the disk.
 */
export interface DataStore {
  /** For `export` a store that exists, which others may have open and write to. For `import` also one that is made by this. */
  open (purpose: 'export' | 'import'): Promise<SessionStore>
  /**
   * Copies a store, which others may have open and write to, as it is at one moment.
   *
   * @param directory of the copy: an InputError when it is neither new nor empty, or lies in the store. After a failure nothing is left of the copy.
   */
  backup (directory: string, now: number, watch: Watch<Part>): Promise<Backup>
  /** Rejects only when it cannot read the store at all: what is damaged is not counted, and left to verify(). */
  inspect (now: number): Promise<Inspection>
  /** Reads every record and compares it with its checksum. What is damaged is no reason to reject. */
  verify (watch: Watch<Part>): Promise<Verification>
}
