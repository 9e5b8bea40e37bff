import type { JsonText } from '../../json/text.js'
import type { Change, Session } from '../../session.js'

/** What several accesses that follow each other change together. */
export interface MergedChange {
  readonly clear: boolean
  readonly writes: ReadonlyMap<string, JsonText | null>
  /** Replaces what is kept about the session; undefined when nobody asked for that. */
  readonly session: Session | undefined
  /** Whether the idle deadline is renewed. */
  readonly touch: boolean
}

export const NO_WRITES: MergedChange['writes'] = new Map()

/** What one access changes. */
export function changeOf ({ clear = false, writes = NO_WRITES, session }: Change, touch: boolean): MergedChange {
  return { clear, writes, session, touch }
}

/** Merges one change after the other. */
export class ChangeMerger implements MergedChange {
  clear = false
  readonly writes = new Map<string, JsonText | null>()
  session: Session | undefined
  touch = false

  get isEmpty (): boolean {
    return !this.clear && this.writes.size === 0 && this.session === undefined && !this.touch
  }

  add ({ clear = false, writes = NO_WRITES, session }: Change): void {
    if (clear) {
      this.clear = true
      this.writes.clear()
    }
    for (const [key, value] of writes) {
      // A map keeps the place that a key had first, and the order of the writes is that of the last ones.
      this.writes.delete(key)
      this.writes.set(key, value)
    }
    this.session = session ?? this.session
  }
}
