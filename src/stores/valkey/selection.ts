import { keyFault } from '../../limits.js'
import type { Reads } from '../../session.js'
import { NO_SELECTION, type Selection } from './script.js'

/** Every key of a session with its value. */
export const ALL_ENTRIES: Selection = { values: [], presences: [], others: 'entries', prefix: '' }

/**
 * What the engine is asked for, so that several accesses can be decided.
 * @param all `all` and `list` count for the first of them only: an access that has one of these is alone
 * @param written keys that they are known to write: whether they are there decides how many keys the ones after it see
 */
export function selectionOf (all: readonly Reads[], written: Iterable<string> = []): Selection {
  const [{ all: isAll = false, list } = {}] = all
  if (isAll) return ALL_ENTRIES
  const values = new Set<string>()
  const presences = new Set<string>(written)
  for (const { has = [], get = [] } of all) {
    for (const key of get) values.add(key)
    for (const key of has) presences.add(key)
  }
  // What cannot be a key is not there. The engine is not asked for it: in UTF-8 it would be another one.
  for (const keys of [values, presences]) for (const key of keys) if (keyFault(key) !== undefined) keys.delete(key)
  for (const key of values) presences.delete(key)
  if (values.size === 0 && presences.size === 0 && list === undefined) return NO_SELECTION
  return { values: [...values], presences: [...presences], others: list === undefined ? '' : 'names', prefix: list?.prefix ?? '' }
}
