import type { Static, TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { failureOf, STATUSES, StatusError, type Failure, type StatusName } from '../status.js'

/** One parameter of a command: its schema, and the status of each way to get it wrong. */
export interface Param<S extends TSchema = TSchema, Optional extends boolean = boolean> {
  readonly schema: S
  readonly optional: Optional
  /** What a command without it fails with. */
  readonly missing: StatusName
  /** The status of a value that is wrong; undefined when it is right. */
  fault (value: unknown): StatusName | undefined
}

export type Params = Readonly<Record<string, Param>>

/** The values that a command's parameters have after check(). */
export type Values<P extends Params> =
  { readonly [K in keyof P as P[K]['optional'] extends true ? never : K]: Static<P[K]['schema']> } &
  { readonly [K in keyof P as P[K]['optional'] extends true ? K : never]?: Static<P[K]['schema']> }

interface Faults<S extends TSchema> {
  readonly missing?: StatusName
  /** The status of a value that does not fit the schema. */
  readonly wrong?: StatusName
  /** What the schema cannot say: the status of a value that fits it and is wrong all the same. */
  readonly beyond?: (value: Static<S>) => StatusName | undefined
}

/** A parameter that has to be there. */
export function required<S extends TSchema> (schema: S, faults: Faults<S> = {}): Param<S, false> {
  return { ...param(schema, faults), optional: false }
}

/** A parameter that may be left out. */
export function optional<S extends TSchema> (schema: S, faults: Faults<S> = {}): Param<S, true> {
  return { ...param(schema, faults), optional: true }
}

function param<S extends TSchema> (schema: S, { missing = 'ParamMissing', wrong = 'ValueTypeInvalid', beyond }: Faults<S>) {
  const compiled = TypeCompiler.Compile(schema)
  const fault = (value: unknown): StatusName | undefined => compiled.Check(value) ? beyond?.(value) : wrong
  return { schema, missing, fault }
}

/** The parameters of a request by name, as they came. */
export type Given = ReadonlyMap<string, unknown>

/** Checks parameters, and puts those that are right into `values`; why the first one that is wrong is, or undefined when all are right. */
type Check = (given: Given, values: Record<string, unknown>) => Failure | undefined

/**
 * Makes the check of a command's parameters, in the order of PROTOCOL 2: each one that is known, in the order of the table;
 * then those that are not; then `tkn`.
 * @param unknown the status of a parameter that the command does not know
 */
export function checkOf (params: Params, unknown: (given: Given) => StatusName = () => 'CommandSyntax'): Check {
  const { tkn, ...others } = params
  const known = Object.entries(others)
  const names = new Set(Object.keys(params))
  return (given, values) => {
    for (const [name, param] of known) {
      const failure = checkOne(name, param, given, values)
      if (failure !== undefined) return failure
    }
    for (const name of given.keys()) {
      if (!names.has(name)) {
        return failureOf(unknown(given), name, `There is no parameter ${JSON.stringify(name)} here. Known: ${known.map(([name]) => name).join(', ') || 'none'}.`)
      }
    }
    return tkn && checkOne('tkn', tkn, given, values)
  }
}

/** The same check for a command's row. @throws {StatusError} that names the first parameter that is wrong */
export function checkerOf<P extends Params> (params: P, unknown?: (given: Given) => StatusName): (given: Given) => Values<P> {
  const check = checkOf(params, unknown)
  return given => {
    const values: Record<string, unknown> = {}
    const failure = check(given, values)
    if (failure !== undefined) throw new StatusError(failure.status, failure.param, failure.detail)
    return values as Values<P> // Each one was just checked against its schema.
  }
}

function checkOne (name: string, param: Param, given: Given, values: Record<string, unknown>): Failure | undefined {
  const value = given.get(name)
  if (value === undefined) return param.optional ? undefined : blame(name, param, param.missing)
  const fault = param.fault(value)
  if (fault !== undefined) return blame(name, param, fault)
  values[name] = value
  return undefined
}

/** Says what is wrong with a parameter, and what it has to be. */
function blame (name: string, { schema }: Param, status: StatusName): Failure {
  return failureOf(status, name, `${STATUSES[status].meaning} What it has to be: ${schema.description ?? 'see GET /openapi.json.'}`)
}
