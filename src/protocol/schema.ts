import { Kind, Type, TypeRegistry, type SchemaOptions, type TSchema, type TUnsafe } from '@sinclair/typebox'
import type { JsonText } from '../json/text.js'

// Kinds that JSON Schema has and TypeBox has not as we need them: a value that is kept as its text; an object whose members
// are data, so that it is a Map here: no key of a Map is special, and "1" stays before "0" as sent; and what KV_FIND
// answers, for which no generator of clients has a better type than any value.
TypeRegistry.Set('JsonText', (_schema, value) => typeof value === 'string' || value === null)
TypeRegistry.Set('MapOf', (_schema, value) => value instanceof Map)
TypeRegistry.Set('NamesOrValues', (_schema, value) => Array.isArray(value) || value instanceof Map)

/** Any JSON value, as its text. */
export function jsonValue (options: SchemaOptions): TUnsafe<JsonText> {
  return Type.Unsafe<JsonText>({ ...options, [Kind]: 'JsonText' })
}

export const JsonValue = jsonValue({
  $id: 'JsonValue',
  description: 'Any JSON value. It comes back exactly as it was sent: every digit of a number, the order of members, every string.',
})

/** The schema of an object whose member names are data. */
export interface TMapOf<T> extends TUnsafe<ReadonlyMap<string, T>> {
  readonly additionalProperties: TSchema
}

/** An object with any member names, each member as `of` says; a Map when it is checked or written. */
export function MapOf<T> (of: TUnsafe<T> | (TSchema & { static: T }), options: SchemaOptions): TMapOf<T> {
  // Unsafe's type has no room for the keyword that is set here.
  return Type.Unsafe<ReadonlyMap<string, T>>({ ...options, [Kind]: 'MapOf', type: 'object', additionalProperties: of }) as TMapOf<T>
}

/** An array of names, or a Map of values: `keys` of KV_FIND. */
export function namesOrValues (options: SchemaOptions): TUnsafe<readonly string[] | ReadonlyMap<string, JsonText>> {
  return Type.Unsafe({ ...options, [Kind]: 'NamesOrValues' })
}

type Writer = (value: unknown) => string

/**
 * Makes the function that writes values of a schema as JSON. Values that are JSON text are written as they are.
 * @param schema objects, arrays, MapOf, JsonValue, and scalars; a member that is undefined is left out
 */
export function writerOf (schema: TSchema): Writer {
  switch (schema[Kind]) {
    // The casts below repeat what the schema says of the value.
    case 'JsonText': return value => value === null ? 'null' : value as string
    case 'NamesOrValues': return value => (Array.isArray(value) ? writeNames : writeValues)(value)
    case 'MapOf': return mapWriter(writerOf(schema.additionalProperties as TSchema))
    case 'Array': return arrayWriter(writerOf(schema.items as TSchema))
    case 'Object': return objectWriter(schema.properties as Record<string, TSchema>)
    default: return value => JSON.stringify(value)
  }
}

function mapWriter (write: Writer): Writer {
  return value => {
    let text = ''
    for (const [name, item] of value as Map<string, unknown>) text += `${text === '' ? '{' : ','}${JSON.stringify(name)}:${write(item)}`
    return text === '' ? '{}' : text + '}'
  }
}

function arrayWriter (write: Writer): Writer {
  return value => {
    let text = ''
    for (const item of value as unknown[]) text += `${text === '' ? '[' : ','}${write(item)}`
    return text === '' ? '[]' : text + ']'
  }
}

function objectWriter (properties: Record<string, TSchema>): Writer {
  const members = Object.entries(properties).map(([name, schema]) => ({ name, write: writerOf(schema) }))
  return value => {
    const object = value as Record<string, unknown>
    let text = ''
    for (const { name, write } of members) {
      if (object[name] !== undefined) text += `${text === '' ? '{' : ','}"${name}":${write(object[name])}`
    }
    return text === '' ? '{}' : text + '}'
  }
}

const writeNames = writerOf(Type.Array(Type.String()))
const writeValues = writerOf(MapOf(JsonValue, {}))
