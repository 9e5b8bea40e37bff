import { randomBytes } from 'node:crypto'
import { wantedBy, type Wanted } from './base.js'
import { timesOf } from './layout.js'
import { nothing, type Sum } from './overlay.js'

/** No other process has the same. */
const PROCESS = randomBytes(6).toString('base64url')

let versions = 0

/** The version of a session after a change: it has not been there before. */
export function newVersion (): string {
  return PROCESS + (versions++).toString(36)
}

export const NOTHING_WANTED = wantedBy([])

const NO_CHANGE = nothing()

/** What our script is told beside its operation: see SCRIPT. */
export interface Arguments {
  readonly now: number
  readonly wanted?: Wanted
  readonly sum?: Sum
  readonly expected?: string
  readonly version?: string
  readonly touch?: boolean
  /** The name of a gateway that asks for its turn. */
  readonly turn?: string
  /** To take back a renewal: the times that it has made, and those before it. */
  readonly renewal?: readonly [string, string]
  /** As Engine.script(). */
  readonly until?: number
}

/** The arguments of our script, in the order that SCRIPT says; the last of the fixed ones, the limit, is for the engine to fill in. */
export function argumentsOf (operation: string, given: Arguments): Array<string | number> {
  const { now, wanted = NOTHING_WANTED, sum = NO_CHANGE, expected = '', version = '', touch = sum.touch, turn = '', renewal } = given
  const { gets, presences, rest, prefix } = wanted
  const sets: string[] = []
  const removals: string[] = []
  for (const [key, value] of sum.writes) value === null ? removals.push(key) : sets.push(key, value)
  const [times, name] = renewal ?? (sum.session === undefined ? ['', ''] : [timesOf(sum.session), sum.session.name])
  return [
    operation, now, expected, version, Number(touch), Number(sum.clear), times, name,
    gets.length, presences.length, rest, prefix, sets.length / 2, turn, '',
    ...gets, ...presences, ...sets, ...removals,
  ]
}
