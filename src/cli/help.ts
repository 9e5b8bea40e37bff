import type { Setting } from './settings.js'
import { DATA_COMMANDS, type Argument, type DataCommandName, type Flag } from './data-commands.js'

type Flags = Readonly<Record<string, Flag>>

/** What `holdfast --help` prints. */
export function mainHelp (settings: readonly Setting[], flags: Flags): string {
  const commands = Object.entries(DATA_COMMANDS).map(([name, { argument, summary }]) => [usage(name, argument), summary])
  return `Usage: holdfast [options]
       holdfast <command> [options] [<argument>]

Serves session data over HTTP. Every setting is an option or an environment variable; the option wins.

${table([...settings.map(settingRow), ...flagRows(flags)])}

Commands, each with a --help of its own:

${table(commands)}
`
}

/** What `holdfast <command> --help` prints. */
export function commandHelp (name: DataCommandName, settings: readonly Setting[], flags: Flags): string {
  const { summary, argument, notes } = DATA_COMMANDS[name]
  const description = argument?.default === undefined ? '' : ` (default: ${argument.default})`
  const rows = argument === undefined ? [] : [[`<${argument.hint}>`, '', argument.description + description]]
  return `Usage: holdfast ${usage(name, argument)} [options]

${summary[0]!.toUpperCase()}${summary.slice(1)}.

${table([...rows, ...settings.map(settingRow), ...flagRows(flags)])}

${notes}
`
}

/** How a command is called, such as `export [<file>]`. */
function usage (name: string, argument: Argument | undefined): string {
  if (argument === undefined) return name
  return argument.default === undefined ? `${name} <${argument.hint}>` : `${name} [<${argument.hint}>]`
}

function settingRow ({ option, hint, variable, description, default: value }: Setting): string[] {
  return [`${option} <${hint}>`, variable, `${description} (default: ${value})`]
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
