import type { StoreLocation } from '../stores/table.js'

/** A command that looks after the data, as the command line asks for it. */
export type DataCommand =
  | { readonly name: 'backup', readonly store: StoreLocation, readonly directory: string }
  /** `file` is `-` for standard output. */
  | { readonly name: 'export', readonly store: StoreLocation, readonly file: string }
  /** `file` is `-` for standard input. */
  | { readonly name: 'import', readonly store: StoreLocation, readonly file: string }
  | { readonly name: 'inspect', readonly store: StoreLocation, readonly verify: boolean }
  /** `path` of a directory with a store, or of its data file. `file` is `-` for standard output. */
  | { readonly name: 'salvage', readonly path: string, readonly file: string }

export type DataCommandName = DataCommand['name']

/** An argument of a command that is no option. */
export interface Argument {
  /** What stands for it in the help text, such as `file`. */
  readonly hint: string
  /** Stands in for one that is not given; without a default it has to be given. */
  readonly default?: string
  readonly description: string
}

/** An option without a value. */
export interface Flag {
  readonly short?: string
  readonly description: string
}

/** What was given to a command, its defaults applied. */
export interface GivenTo {
  readonly store: StoreLocation
  /** The empty string for a command without an argument. */
  readonly argument: string
  /** The empty string for a command without a second argument. */
  readonly second: string
  readonly flags: ReadonlySet<string>
}

/** A row: all that the command line and the help text know of a command. */
interface DataCommandRow {
  /** Half a line, for the list of commands. */
  readonly summary: string
  readonly argument?: Argument
  readonly second?: Argument
  /** Whether it works on a file, and not on the store that --store means. */
  readonly isStoreless?: true
  readonly flags: Readonly<Record<string, Flag>>
  /** What else a person has to know, for the command's own help. */
  readonly notes: string
  read (given: GivenTo): DataCommand
}

/** Every command but serving, which has no name. */
export const DATA_COMMANDS: Readonly<Record<DataCommandName, DataCommandRow>> = {
  backup: {
    summary: 'copy the store to a directory, also while it is served',
    argument: { hint: 'directory', description: 'where the copy goes; a new directory, or an empty one' },
    flags: {},
    notes: 'The copy holds every write that was acknowledged before the command began, and is a store itself:\n' +
      'holdfast --store lmdb:<directory> serves it. The secret of shared sessions is not copied.\n' +
      'A store on Valkey or Redis is not copied by this, but by the snapshots of its server or by holdfast export.',
    read: ({ store, argument }) => ({ name: 'backup', store, directory: argument }),
  },
  export: {
    summary: 'write every session as a line of JSON',
    argument: { hint: 'file', default: '-', description: 'a new file; - for standard output' },
    flags: {},
    notes: 'Values are exported exactly, tokens only as their SHA-256. The secret from which the tokens of shared sessions are\n' +
      'made is not exported: on another store an imported shared session is reached by its token, and opened by its name only\n' +
      'once the file `secret` of the data directory is copied too. A Valkey or Redis server has to answer within 10 seconds.',
    read: ({ store, argument }) => ({ name: 'export', store, file: argument }),
  },
  import: {
    summary: 'add the sessions of an export to the store',
    argument: { hint: 'file', description: 'what holdfast export wrote; - for standard input' },
    flags: {},
    notes: 'The whole file is checked first, and nothing is imported when a line of it is wrong. A session that the store has\n' +
      'already is left as it is, so that an import that was cut off can be run again.',
    read: ({ store, argument }) => ({ name: 'import', store, file: argument }),
  },
  inspect: {
    summary: 'count what the store holds',
    flags: { verify: { description: 'check the checksum of every record too; exit code 1 when one is damaged' } },
    notes: 'Nothing is changed. A store that is served can be inspected. For a store on Valkey or Redis use valkey-cli or redis-cli.',
    read: ({ store, flags }) => ({ name: 'inspect', store, verify: flags.has('verify') }),
  },
  salvage: {
    summary: 'write what is whole of a store that a server refuses, as an export',
    argument: { hint: 'file-or-directory', description: 'the data file of an lmdb: store, a copy of it, or its directory' },
    second: { hint: 'file', default: '-', description: 'a new file; - for standard output' },
    isStoreless: true,
    flags: {},
    notes: 'For a data file that is damaged: it is read without LMDB, and not changed. What is written is current, each value as it was\n' +
      'stored; what is damaged is left out, and counted on standard error. holdfast import adds it to a new store. No server can\n' +
      'have the directory meanwhile. Exit code 1 when something is lost. A backup, if there is one, may hold more. Copy the file\n' +
      '`secret` of the directory to the new one too, before a server opens it: shared sessions are opened by name with it.',
    read: ({ argument, second }) => ({ name: 'salvage', path: argument, file: second }),
  },
}
