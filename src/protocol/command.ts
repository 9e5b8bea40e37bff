import type { Static, TObject } from '@sinclair/typebox'
import type { Awaitable } from '../awaitable.js'
import type { Role } from '../caller.js'
import { access, type Gateway } from './gateway.js'
import { checkerOf, type Given, type Params, type Values } from './param.js'
import { conditional, type Precondition } from './precondition.js'
import { writerOf } from './schema.js'
import type { Change, Outcome, Reads, View } from '../session.js'
import type { StatusName } from '../status.js'

/** What a client reads about a command in the OpenAPI document. */
interface Description {
  readonly tag: 'sessions' | 'keys' | 'server'
  readonly summary: string
  readonly description: string
  /** One request's parameters and what is answered: JSON, used in the document and checked by a test. */
  readonly example: { readonly params: object, readonly reply: object }
}

/** A row of the table: one command, whichever way it was sent. */
export interface Command extends Description {
  readonly params: Params
  /** The content of `<COMMAND>_RSP` when the command as a whole succeeds. */
  readonly reply: TObject
  /** What the command can fail with as a whole, beside what wrong parameters give. */
  readonly failures: readonly StatusName[]
  /** The least role that may call it. */
  readonly role: Role
  /** Whether it reaches sessions of everybody, so that a key which is limited to some names may not call it. */
  readonly reachesAll: boolean
  /** The name by which, with these parameters, it reaches a shared session; undefined when it reaches none by its name. */
  readonly sharedName: SharedName
  /**
   * Whether, with parameters of these names, it may be begun in a batch while writes before it are under way, so that they share a commit:
   * a step on one session's keys, which a store carries out in the order of the calls, or one that no other command can meet.
   */
  readonly overlaps: Overlaps
  /** Writes a reply as JSON text. */
  readonly write: (reply: unknown) => string
  /**
   * Checks the parameters and carries the command out.
   * @param precondition of a single-key route, decided in the same atomic step; key commands only
   * @returns the reply, or undefined when the command has nothing to say
   * @throws {StatusError} when it fails as a whole; then it changed nothing. At once, or later when the store answers later
   */
  run (gateway: Gateway, given: Given, precondition?: Precondition): Awaitable<unknown>
}

type SharedName = (given: Given) => unknown
const byNoName: SharedName = () => undefined

type Overlaps = (names: readonly string[]) => boolean
const never: Overlaps = () => false
const always: Overlaps = () => true

interface Definition<P extends Params, R extends TObject> extends Description {
  readonly params: P
  readonly reply: R
  readonly failures?: readonly StatusName[]
  /** The status of a parameter that the command does not know. */
  readonly unknown?: (given: Given) => StatusName
}

/** What every command can fail with that reads from the store. */
export const READ_FAILURES: readonly StatusName[] = ['StoreUnavailable', 'DataDamaged']
/** What every command can fail with that may change something in it. */
export const WRITE_FAILURES: readonly StatusName[] = ['LimitExceeded', ...READ_FAILURES]

interface More extends Pick<Command, 'run'>, Partial<Pick<Command, 'reachesAll' | 'sharedName'>>, Pick<Command, 'role' | 'overlaps'> {
  readonly storeFailures: readonly StatusName[]
}

function row<P extends Params, R extends TObject> (definition: Definition<P, R>, { storeFailures, role, overlaps, reachesAll = false, sharedName = byNoName, run }: More): Command {
  const { tag, summary, description, example, params, reply } = definition
  const failures = [...definition.failures ?? [], ...storeFailures]
  return { tag, summary, description, example, params, reply, failures, role, reachesAll, sharedName, overlaps, write: writerOf(reply), run }
}

/** What a command does with the store: what it can fail with for that, and who may call it. */
const USES = {
  none: { storeFailures: [], role: 'read' },
  reads: { storeFailures: READ_FAILURES, role: 'read' },
  writes: { storeFailures: WRITE_FAILURES, role: 'client' },
} as const

/** A command on sessions as such, or on the server. */
export function command<P extends Params, R extends TObject> (definition: Definition<P, R> & Partial<Pick<Command, 'role' | 'reachesAll' | 'sharedName' | 'overlaps'>> & {
  /** What it does with the store; nothing unless given. */
  readonly store?: 'reads' | 'writes'
  readonly run: (gateway: Gateway, values: Values<P>) => Promise<Static<R>>
}): Command {
  const { store = 'none', role = USES[store].role, overlaps = never, reachesAll, sharedName } = definition
  const check = checkerOf(definition.params, definition.unknown)
  return row(definition, {
    storeFailures: USES[store].storeFailures,
    role,
    overlaps,
    ...reachesAll !== undefined && { reachesAll },
    ...sharedName !== undefined && { sharedName },
    run: async (gateway, given) => await definition.run(gateway, check(given)),
  })
}

/** What a key command makes of its parameters before it sees the session. */
export interface Plan<R> {
  readonly reads: Reads
  /** As Access.change: what it changes, where that does not depend on what it reads. */
  readonly change?: Change | undefined
  /** Pure: a function of what it reads. */
  readonly decide: (view: View) => Outcome<R | undefined>
}

/** A command on the keys of one session: one atomic step, which counts as use of the session. */
export function keyCommand<P extends Params & { readonly tkn: Params[string] }, R extends TObject> (definition: Definition<P, R> & {
  /** Whether the command never changes a key. */
  readonly readOnly?: true
  readonly plan: (values: Values<P>) => Plan<Static<R>>
}): Command {
  const mayWrite = definition.readOnly !== true
  const check = checkerOf(definition.params, definition.unknown)
  const failures: StatusName[] = ['SessionNotExist', ...definition.failures ?? []]
  return row({ ...definition, failures }, {
    ...USES[mayWrite ? 'writes' : 'reads'],
    overlaps: mayWrite ? always : never,
    run: (gateway, given, precondition) => {
      const { reads, change, decide } = definition.plan(check(given))
      // check() found `tkn` to be a non-empty string.
      return access(gateway, given.get('tkn') as string, conditional({ reads, mayWrite, touch: true, change, decide }, precondition))
    },
  })
}
