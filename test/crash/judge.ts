import type { State } from './model.js'

/**
 * What went wrong with one part of a state: `lost`, it is gone, or as it was before an acknowledged write; `resurrected`,
 * it was removed and is there; `altered`, it has a value that was not to be expected; `torn`, one command is there in part.
 */
export interface Fault { readonly kind: 'lost' | 'resurrected' | 'altered' | 'torn', readonly message: string }

export interface Verdict {
  readonly faults: readonly Fault[]
  /** What is there: one of the candidates, or, when none fits, what was found. */
  readonly state: State
}

/**
 * Compares what was found after a crash with what may be there.
 *
 * @param candidates the last acknowledged state, then those after each command of the operation that was under way
 * @param written whether the cell ever had this value, as far as the test knows: then it is lost rather than altered
 */
export function judge (candidates: readonly State[], found: State, written = (_cell: string, _text: string) => false): Verdict {
  const fits = candidates.find(candidate => same(candidate, found))
  if (fits !== undefined) return { faults: [], state: fits }

  const cells = new Set([...candidates, found].flatMap(state => [...state.keys()]))
  const faults: Fault[] = []
  /** By the candidates that a cell agrees with, a cell that does. */
  const groups = new Map<string, string>()
  for (const cell of cells) {
    const text = found.get(cell)
    const agreeing = candidates.flatMap((candidate, index) => candidate.get(cell) === text ? [index] : [])
    if (agreeing.length === 0) faults.push(faultOf(cell, candidates, text, written))
    else groups.set(agreeing.join(), cell)
  }
  const common = candidates.findIndex((_, index) => [...groups.keys()].every(agreeing => agreeing.split(',').includes(`${index}`)))
  if (common < 0) faults.push({ kind: 'torn', message: torn(groups, candidates, found) })
  return { faults, state: found }
}

function same (a: State, b: State): boolean {
  return a.size === b.size && [...a].every(([cell, text]) => b.get(cell) === text)
}

function faultOf (cell: string, candidates: readonly State[], text: string | undefined, written: (cell: string, text: string) => boolean): Fault {
  const expected = [...new Set(candidates.map(candidate => candidate.get(cell)))]
  const message = `${JSON.stringify(cell)} has to be ${expected.map(value => shown(value, text)).join(' or ')}, and is ${shown(text, expected[0])}`
  if (text === undefined) return { kind: 'lost', message }
  if (expected.every(value => value === undefined)) return { kind: 'resurrected', message }
  return { kind: written(cell, text) ? 'lost' : 'altered', message }
}

function torn (groups: ReadonlyMap<string, string>, candidates: readonly State[], found: State): string {
  const parts = Array.from(groups, ([agreeing, cell]) => `${JSON.stringify(cell)} is ${shown(found.get(cell), undefined)} as after ${agreeing} commands`)
  return `of ${candidates.length - 1} commands under way: ${parts.join('; ')}`
}

/** A value in few letters: its start, its length, and where it first differs from `other`. */
function shown (text: string | undefined, other: string | undefined): string {
  if (text === undefined) return 'absent'
  if (text.length <= 80) return text
  const at = other === undefined ? 0 : text.split('').findIndex((unit, index) => unit !== other[index])
  const there = at < 60 ? '' : `${text.slice(Math.max(60, at - 20), at + 20)}…`
  return `${text.slice(0, 60)}…${there} (${text.length} characters)`
}
