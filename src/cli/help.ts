import { usageOf, type Option, type Setting } from './settings.js'
import { SUBCOMMANDS, type Argument, type SubcommandName, type Flag } from './subcommands.js'

type Flags = Readonly<Record<string, Flag>>

/** What `holdfast --help` prints. */
export function mainHelp (settings: readonly Setting[], flags: Flags): string {
  const commands = Object.entries(SUBCOMMANDS).map(([name, { argument, second, summary }]) => [usage(name, argument, second), summary])
  return `Usage: holdfast [options]
       holdfast <command> [options] [<argument>]

Serves session data over HTTP. Every setting is an option or an environment variable; the option wins.

${table([...settings.map(settingRow), ...flagRows(flags)])}

Commands, each with a --help of its own:

${table(commands)}
`
}

/** What `holdfast <command> --help` prints. */
export function commandHelp (name: SubcommandName, settings: readonly Setting[], flags: Flags): string {
  const { summary, argument, second, options = [], notes } = SUBCOMMANDS[name]
  const rows = [argument, second].filter(given => given !== undefined)
    .map(({ hint, description, default: usual }) => [`<${hint}>`, '', description + (usual === undefined ? '' : ` (default: ${usual})`)])
  return `Usage: holdfast ${usage(name, argument, second)} [options]

${summary[0]!.toUpperCase()}${summary.slice(1)}.

${table([...rows, ...options.map(optionRow), ...settings.map(settingRow), ...flagRows(flags)])}

${notes}
`
}

/** How a command is called, such as `export [<file>]`. */
function usage (name: string, ...expected: ReadonlyArray<Argument | undefined>): string {
  const given = expected.filter(argument => argument !== undefined)
  return [name, ...given.map(({ hint, default: usual }) => usual === undefined ? `<${hint}>` : `[<${hint}>]`)].join(' ')
}

function optionRow (option: Option): string[] {
  return [usageOf(option), '', option.description]
}

function settingRow (setting: Setting): string[] {
  const { variable, description, default: value } = setting
  return [usageOf(setting), variable, value === undefined ? description : `${description} (default: ${value})`]
}

function flagRows (flags: Flags): string[][] {
  return Object.entries(flags).map(([name, { short, description }]) =>
    [short === undefined ? `--${name}` : `-${short}, --${name}`, '', description])
}

/** Rows of as many cells each, the columns as wide as their widest cell. */
function table (rows: string[][]): string {
  const width = (column: number) => Math.max(...rows.map(row => row[column]!.length))
  return rows.map(row => row.map((cell, column) => `  ${cell.padEnd(width(column))}`).join('').trimEnd()).join('\n')
}
