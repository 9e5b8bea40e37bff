import type { Exported } from './export.js'
import type { Imported, ImportState } from './import.js'
import type { Backup, Inspection, Part, Verification } from '../stores/data-store.js'
import type { Losses } from '../stores/salvage.js'
import type { Salvaged } from './salvage.js'
import { counted, quoted, size } from './words.js'

// What the commands print: how far they are, in one line, and in the end what came of them.

/** What came of a command. */
export interface Report {
  /** Lines, each with its end. */
  readonly text: string
  /** Whether the data is damaged. */
  readonly damaged: boolean
}

function percent ({ done, of }: Part): string {
  // What is written while it is copied can make the part larger than the whole was.
  return of > 0 ? ` (${Math.min(100, Math.floor(done / of * 100))} %)` : ''
}

export function copying (part: Part): string {
  return `copied ${size(part.done)} of ${size(part.of)}${percent(part)}`
}

export function verifying (part: Part): string {
  return `checked ${counted(part.done, 'record')} of ${part.of.toLocaleString('en')}${percent(part)}`
}

export function exporting ({ sessions, bytes }: Exported): string {
  return `exported ${counted(sessions, 'session')}, ${size(bytes)}`
}

export function importing ({ phase, ...part }: ImportState): string {
  return phase === 'check'
    ? `checked ${size(part.done)} of ${size(part.of)}${percent(part)}`
    : `imported ${counted(part.done, 'session')} of ${part.of.toLocaleString('en')}${percent(part)}`
}

export function backedUp (directory: string, { sessions, keys, bytes, damaged }: Backup): Report {
  const made = `backed up ${counted(sessions, 'session')} with ${counted(keys, 'key')} to ${directory} (${size(bytes)})\n`
  const fault = `damaged, in the store as in its backup: ${counted(damaged, 'record')}; holdfast inspect --verify says which\n`
  return { text: damaged > 0 ? made + fault : made, damaged: damaged > 0 }
}

export function exported ({ sessions, keys, bytes }: Exported): Report {
  return { text: `exported ${counted(sessions, 'session')} with ${counted(keys, 'key')} (${size(bytes)})\n`, damaged: false }
}

export function imported ({ sessions, keys, kept, expired }: Imported): Report {
  const rest = `kept ${kept.toLocaleString('en')} that the store had already; left out ${expired.toLocaleString('en')} that have expired`
  return { text: `imported ${counted(sessions, 'session')} with ${counted(keys, 'key')}; ${rest}\n`, damaged: false }
}

export function reading (part: Part): string {
  return `read ${size(part.done)} of ${size(part.of)}${percent(part)}`
}

export function salvaging ({ sessions, bytes }: Exported): string {
  return `salvaged ${counted(sessions, 'session')}, ${size(bytes)}`
}

export function salvaged ({ sessions, keys, bytes, losses, unfit }: Salvaged): Report {
  const lost = [...lostParts(losses), ...unfitParts(unfit)]
  const { faults, examples } = losses
  const text = [
    `salvaged ${counted(sessions, 'session')} with ${counted(keys, 'key')} (${size(bytes)})`,
    ...lost.length > 0 ? [`lost: ${lost.join('; ')}`] : [faults.count > 0 ? 'nothing is lost' : 'nothing is lost: the data file is whole'],
    ...examples.map(({ id, keys, names }) => `  session ${id}: ${counted(keys, 'key')}${listed(names, keys)}`),
    ...faults.count > 0 ? [`the data file is damaged: ${counted(faults.count, 'fault')}${faults.some.length < faults.count ? `; ${faults.some.length} of them` : ''}`] : [],
    ...faults.some.map(fault => `  ${fault}`),
  ]
  return { text: text.map(line => `${line}\n`).join(''), damaged: lost.length > 0 }
}

/** @param of how many there are, of which some are named */
function listed (names: readonly string[], of: number): string {
  if (names.length === 0) return ''
  return `${names.length < of ? ', such as' : ':'} ${names.map(quoted).join(', ')}`
}

function lostParts ({ sessions, keys, unowned }: Losses): string[] {
  return [
    ...sessions === undefined ? ['sessions, and it is not known how many'] : sessions > 0 ? [counted(sessions, 'session')] : [],
    ...keys > 0 ? [`${counted(keys, 'key')} of sessions that are salvaged without them`] : [],
    ...unowned > 0 ? [`${counted(unowned, 'key')} of sessions that are lost`] : [],
  ]
}

function unfitParts ({ sessions, keys }: Salvaged['unfit']): string[] {
  return [
    ...sessions > 0 ? [`${counted(sessions, 'session')} that can be read, but not be imported`] : [],
    ...keys > 0 ? [`${counted(keys, 'key')} that can be read, but not be imported`] : [],
  ]
}

/** @param verification undefined when nobody asked for it */
export function inspected (found: Inspection, verification: Verification | undefined): Report {
  const rows = [
    ['store', `${found.kind}, format ${found.format}`],
    ['sessions', found.sessions.toLocaleString('en')],
    ['keys', found.keys.toLocaleString('en')],
    ['bytes', `${found.bytes.toLocaleString('en')} of keys and values, ${found.diskBytes.toLocaleString('en')} on the disk`],
    ['expired', `${found.expired.toLocaleString('en')} not swept yet`],
    ...verification === undefined ? [] : [['verified', verified(verification)]],
  ]
  const text = rows.map(([name, value]) => `${name!.padEnd(8)}  ${value}\n`).join('')
  return { text: text + (verification?.examples ?? []).map(example => `  ${example}\n`).join(''), damaged: (verification?.damaged ?? 0) > 0 }
}

function verified ({ records, damaged, examples }: Verification): string {
  if (damaged === 0) return `${counted(records, 'record')}, none is damaged`
  const listed = examples.length < damaged ? `; ${examples.length} of them` : ''
  return `${counted(records, 'record')}, damaged ${damaged.toLocaleString('en')}${listed}:`
}
