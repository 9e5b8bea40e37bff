import { Kind, OptionalKind, type TSchema } from '@sinclair/typebox'

/** A parameter, a member of a reply, or a member of one of these, as a row of a table. */
export interface Member {
  /** Such as `expiry.duration`. */
  readonly path: string
  /** In words, such as `array of strings`. */
  readonly type: string
  readonly required: boolean
  readonly description: string
}

/** One thing and many, by the kind of the schema. */
const WORDS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  String: ['string', 'strings'],
  Boolean: ['boolean', 'booleans'],
  Integer: ['whole number', 'whole numbers'],
  JsonText: ['JSON value', 'JSON values'],
  Object: ['object', 'objects'],
  NamesOrValues: ['array of strings, or object of JSON values', 'arrays of strings, or objects of JSON values'],
}

/** What a schema describes, in words. @param isMany whether of several */
function wordsOf (schema: TSchema, isMany = false): string {
  const kind = schema[Kind]
  // The casts repeat what these kinds have.
  if (kind === 'Array') return `${isMany ? 'arrays' : 'array'} of ${wordsOf(schema.items as TSchema, true)}`
  if (kind === 'MapOf') return `${isMany ? 'objects' : 'object'} of ${wordsOf(schema.additionalProperties as TSchema, true)}`
  const words = WORDS[kind]
  if (words === undefined) throw new Error(`There is no word for the kind ${kind}`)
  return words[isMany ? 1 : 0]
}

/**
 * A schema as rows: itself, and the members of an object below it.
 * @param path its name; the empty string for an object that is no member itself, which has rows for its members only
 */
export function membersOf (path: string, schema: TSchema, required: boolean): Member[] {
  const properties: Array<[string, TSchema]> = schema[Kind] === 'Object' ? Object.entries(schema.properties) : []
  const inside = properties.flatMap(([name, member]) => membersOf(path === '' ? name : `${path}.${name}`, member, member[OptionalKind] === undefined))
  return path === '' ? inside : [{ path, type: wordsOf(schema), required, description: schema.description ?? '' }, ...inside]
}
