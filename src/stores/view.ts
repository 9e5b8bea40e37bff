import type { JsonText } from '../json/text.js'
import { outcomeWith, type Access, type Change, type Listing, type Names, type Outcome, type Reads, type Session, type View } from '../session.js'

/** Where a View gets its answers: the store's own data as this access sees it. */
export interface Source {
  /** Number of keys. */
  readonly size: number
  has (key: string): boolean
  get (key: string): JsonText | undefined
  /** Names in code point order. */
  names (listing: Listing): readonly string[]
  /** Every key with its value, in code point order of the keys. */
  entries (): Iterable<readonly [string, JsonText]>
}

/** The source of a session without keys. */
export const noKeys: Source = {
  size: 0,
  has: () => false,
  get: () => undefined,
  names: () => [],
  entries: () => [],
}

/**
 * A View of `source` that throws an Error when it is asked for what `reads` did not name, so that a decision that reads
 * more than it said fails on every store, and not only on the one that had to fetch its values beforehand.
 * `reads.get` names a key's presence too, and `reads.all` the presence and the value of every key.
 */
export function viewOf (session: Session, reads: Reads, source: Source): View {
  return new ReadView(session, reads, source)
}

class ReadView implements View {
  readonly #reads: Reads
  readonly #source: Source
  readonly #has: NamedKeys
  readonly #get: NamedKeys

  constructor (readonly session: Session, reads: Reads, source: Source) {
    this.#reads = reads
    this.#source = source
    this.#has = new NamedKeys(reads.has)
    this.#get = new NamedKeys(reads.get)
  }

  get size (): number { return this.#source.size }

  has (key: string): boolean {
    if (!this.#has.includes(key) && !this.#get.includes(key)) named(this.#reads.all, 'the presence of a key')
    return this.#source.has(key)
  }

  get (key: string): JsonText | undefined {
    if (!this.#get.includes(key)) named(this.#reads.all, 'the value of a key')
    return this.#source.get(key)
  }

  names (): readonly string[] {
    return this.#source.names(named(this.#reads.list, 'key names'))
  }

  entries (): Iterable<readonly [string, JsonText]> {
    named(this.#reads.all, 'all entries')
    return this.#source.entries()
  }
}

/** Names of keys, which are mostly asked for in the order in which they were named: then nothing is built to look them up. */
class NamedKeys {
  readonly #names: Names | undefined
  #next = 0
  #set: ReadonlySet<string> | undefined

  constructor (names: Names | undefined) {
    this.#names = names
  }

  includes (key: string): boolean {
    const names = this.#names
    if (names === undefined) return false
    if (!Array.isArray(names)) return (names as ReadonlySet<string>).has(key) // Names that are no array are a set.
    if (names[this.#next] === key) {
      this.#next++
      return true
    }
    this.#set ??= new Set(names)
    return this.#set.has(key)
  }
}

function named<T> (part: T | undefined, what: string): T {
  if (part === undefined) throw new Error(`A decision asked for ${what} that its reads did not name`)
  return part
}

/**
 * What the access decides on this view, with what was known beforehand. Throws what `decide` throws, and an Error when a
 * reader wants to write, or a decision whose change was known beforehand wants another one.
 */
export function decide<T> (access: Access<T>, view: View): Outcome<T> {
  const outcome = access.decide(view)
  const { change } = access
  if (changes(outcome) && change !== undefined) throw new Error('A decision whose change was known asked for another one')
  if (!access.mayWrite && (changes(outcome) || change !== undefined)) throw new Error('A decision with mayWrite false asked for a change')
  return change === undefined ? outcome : outcomeWith(outcome.reply, change)
}

function changes ({ clear, writes, session }: Change): boolean {
  return clear === true || writes !== undefined || session !== undefined
}

/** Whether this access moves the session's idle deadline, which never moves backwards. */
export function renews (session: Session, access: Access<unknown>, now: number): boolean {
  return idles(session, access.touch, now)
}

/** Whether the use of a session, or what is none, moves its idle deadline. */
export function idles (session: Session, touch: boolean, now: number): boolean {
  return touch && session.idle > 0 && now > session.usedAt
}

/** The session to keep after an access that decided `outcome`; the same object when nothing about it changed. */
export function sessionAfter (session: Session, access: Access<unknown>, outcome: Outcome<unknown>, now: number): Session {
  const next = outcome.session ?? session
  return renews(next, access, now) ? { ...next, usedAt: now } : next
}
