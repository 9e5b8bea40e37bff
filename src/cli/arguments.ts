import { parseArgs, type ParseArgsConfig } from 'node:util'
import leven from 'leven'
import type { Option, Setting } from './settings.js'
import type { Flag } from './subcommands.js'
import { masked } from '../reason.js'

/** A value as it was written, and the option or variable that it was written in. */
export interface GivenSetting { readonly source: string, readonly text: string }

/** What a command line may hold. */
export interface Accepted {
  /** What is run, as faults call it, such as `holdfast export`. */
  readonly program: string
  readonly settings: readonly Option[]
  readonly flags: Readonly<Record<string, Flag>>
  /** How many arguments there may be that are no option. */
  readonly arguments: number
  /** What is wrong with one too many. */
  surplus (argument: string): string
}

export interface Arguments {
  readonly flags: ReadonlySet<string>
  /** By the name of the setting. */
  readonly given: ReadonlyMap<string, GivenSetting>
  readonly arguments: readonly string[]
}

/**
 * Reads a command line. `strict` is off because it throws at the first fault, and a person who made three mistakes should
 * not have to start three times; what it would refuse is refused here.
 *
 * @param every all settings there are, so that one that is not accepted still takes its value with it
 * @param faults are added to
 */
export function readArguments (argv: readonly string[], accepted: Accepted, every: readonly Option[], faults: string[]): Arguments {
  const { program, settings, flags } = accepted
  const found = { flags: new Set<string>(), given: new Map<string, GivenSetting>() }
  const names = [...settings.map(({ option }) => option), ...Object.keys(flags).map(name => `--${name}`)]
  const given: string[] = []
  let unknown = -1
  for (const token of parseArgs({ args: [...argv], options: optionsOf(every, flags), strict: false, tokens: true }).tokens) {
    if (token.kind === 'positional') {
      if (given.length < accepted.arguments) given.push(token.value)
      else faults.push(`${JSON.stringify(masked(token.value))}: ${accepted.surplus(token.value)}`)
    }
    if (token.kind !== 'option') continue
    const { index, name, rawName, value, inlineValue } = token
    const setting = settings.find(({ option }) => option === `--${name}`)
    if (!names.includes(`--${name}`)) {
      // Of -abc the first letter that means nothing is told: all of them would spell what was written there by mistake.
      if (index === unknown) continue
      unknown = index
      faults.push(unknownName(program === 'holdfast' ? 'there is no such option' : `${program} has no such option`, rawName, names))
    } else if (setting === undefined) {
      if (value === undefined) found.flags.add(name)
      else faults.push(`${rawName}: takes no value`)
    } else if (value === undefined && setting.hint === undefined) {
      found.given.set(setting.name, { source: rawName, text: 'true' })
    } else if (value === undefined || (value.startsWith('-') && !inlineValue)) {
      faults.push(`${rawName}: the value is missing; it must be ${setting.allowed}`)
    } else {
      found.given.set(setting.name, { source: rawName, text: value })
    }
  }
  return { ...found, arguments: given }
}

/** The options as parseArgs wants them. */
function optionsOf (settings: readonly Option[], flags: Readonly<Record<string, Flag>>): NonNullable<ParseArgsConfig['options']> {
  return {
    ...Object.fromEntries(settings.map(({ option, hint }) => [option.slice(2), { type: hint === undefined ? 'boolean' as const : 'string' as const }])),
    ...Object.fromEntries(Object.entries(flags).map(([name, { short }]) =>
      [name, { type: 'boolean' as const, ...short !== undefined && { short } }])),
  }
}

/**
 * The settings in the environment. A name that starts as ours do but is none of them is most likely a typing error.
 *
 * @param faults are added to
 */
export function readVariables (env: NodeJS.ProcessEnv, settings: readonly Setting[], faults: string[]): ReadonlyMap<string, GivenSetting> {
  const given = new Map<string, GivenSetting>()
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('HOLDFAST_') || text === undefined) continue
    const setting = settings.find(setting => setting.variable === variable)
    if (setting === undefined) faults.push(unknownName('there is no such variable', variable, settings.map(setting => setting.variable)))
    else given.set(setting.name, { source: variable, text })
  }
  return given
}

/** A fault that names what is unknown, and the known name that it most likely stands for. */
export function unknownName (fault: string, name: string, known: readonly string[]): string {
  const [nearest] = known.map(other => ({ other, steps: leven(name, other) })).sort((a, b) => a.steps - b.steps)
  const hint = nearest !== undefined && nearest.steps <= 2 ? `; did you mean ${nearest.other}?` : ''
  return `${masked(name)}: ${fault}${hint}`
}
