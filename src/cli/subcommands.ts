import { isRole, isWord } from '../auth/key-file.js'
import { ROLES, ROLE_WORDS, type Role } from '../caller.js'
import type { StoreLocation } from '../stores/table.js'
import type { Option } from './settings.js'

/** A command beside serving, as the command line asks for it. */
export type Subcommand =
  | { readonly name: 'backup', readonly store: StoreLocation, readonly directory: string }
  /** `file` is `-` for standard output. */
  | { readonly name: 'export', readonly store: StoreLocation, readonly file: string }
  /** `file` is `-` for standard input. */
  | { readonly name: 'import', readonly store: StoreLocation, readonly file: string }
  | { readonly name: 'inspect', readonly store: StoreLocation, readonly verify: boolean }
  /** `key` is the name of the API key. */
  | { readonly name: 'keygen', readonly key: string, readonly role: Role, readonly prefix: string | undefined }
  /** `path` of a directory with a store, or of its data file. `file` is `-` for standard output. */
  | { readonly name: 'salvage', readonly path: string, readonly file: string }

export type SubcommandName = Subcommand['name']

/** An argument of a command that is no option. */
export interface Argument {
  /** What stands for it in the help text, such as `file`. */
  readonly hint: string
  /** Stands in for one that is not given; without a default it has to be given. */
  readonly default?: string
  readonly description: string
  /** Whether it is neither a file nor a directory. */
  readonly isNoPath?: true
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
  /** Values of options by their names. */
  readonly options: ReadonlyMap<string, string>
  readonly flags: ReadonlySet<string>
}

/** A row: all that the command line and the help text know of a command. */
interface SubcommandRow {
  /** Half a line, for the list of commands. */
  readonly summary: string
  readonly argument?: Argument
  readonly second?: Argument
  /** Whether it works on a file, and not on the store that --store means. */
  readonly isStoreless?: true
  readonly flags: Readonly<Record<string, Flag>>
  /** Options of its own that have a value. */
  readonly options?: readonly Option[]
  /** What is wrong with its argument and its options. */
  check? (argument: string, options: ReadonlyMap<string, string>): string[]
  /** What else a person has to know, for the command's own help. */
  readonly notes: string
  read (given: GivenTo): Subcommand
}

/** Every command but serving, which has no name. */
export const SUBCOMMANDS: Readonly<Record<SubcommandName, SubcommandRow>> = {
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
  keygen: {
    summary: 'make an API key, and the line that lets it in',
    argument: { hint: 'name', description: 'what the key is called in the file: one word', isNoPath: true },
    isStoreless: true,
    flags: {},
    options: [
      { name: 'role', option: '--role', hint: 'role', description: `what the key may do: ${ROLES.map(role => `${role} (${ROLE_WORDS[role]})`).join(', ')}`, allowed: `one of ${ROLES.join(', ')}` },
      { name: 'prefix', option: '--prefix', hint: 'text', description: 'limits the key to shared sessions whose names begin with this', allowed: 'one word' },
    ],
    check (name, options) {
      const [role, prefix] = [options.get('role'), options.get('prefix')]
      const faults: string[] = []
      if (name !== '' && !isWord(name)) faults.push('<name>: has to be one word that does not begin with #')
      if (role === undefined) faults.push(`--role: is missing: one of ${ROLES.join(', ')}`)
      else if (!isRole(role)) faults.push(`--role: ${JSON.stringify(role)} is not one of ${ROLES.join(', ')}`)
      if (prefix !== undefined && !isWord(`=${prefix}`)) faults.push('--prefix: has to be one word')
      if (prefix === '') faults.push('--prefix: is empty')
      return faults
    },
    notes: 'Prints the key, which is stored nowhere, on the first line, and on the second the line for the file that --api-keys-file names.\n' +
      'It holds the SHA-256 of the key only.',
    // check() found the role to be one.
    read: ({ argument, options }) => ({ name: 'keygen', key: argument, role: options.get('role') as Role, prefix: options.get('prefix') }),
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
