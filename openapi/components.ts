import type { TSchema } from '@sinclair/typebox'

export type Version = '3.0' | '3.1'

/** A part of the document. */
export type Json = Readonly<Record<string, unknown>>

type Kind = 'schemas' | 'responses' | 'parameters' | 'headers' | 'examples' | 'securitySchemes'

/** The named parts of a document, collected while it is written: so there is none that nothing refers to. */
export interface Components {
  /** A schema as the document has it: a reference when it has an `$id`. */
  schema (schema: TSchema): Json
  /** A reference to a part, which is written on first use. */
  refer (kind: Kind, name: string, write: () => Json): Json
  /** The content of `components`. */
  collected (): Json
}

export function componentsOf (version: Version): Components {
  const parts = new Map<Kind, Map<string, Json>>()

  function refer (kind: Kind, name: string, write: () => Json): Json {
    const named = parts.get(kind) ?? new Map<string, Json>()
    parts.set(kind, named)
    if (!named.has(name)) named.set(name, write())
    return { $ref: `#/components/${kind}/${name}` }
  }

  function schema (schema: TSchema): Json {
    return schema.$id === undefined ? content(schema) : refer('schemas', schema.$id, () => content(schema))
  }

  /** A schema without its `$id`. The symbols that TypeBox keeps in it stay behind: Object.entries() does not give them. */
  function content ({ $id, ...keywords }: TSchema): Json {
    return Object.fromEntries(Object.entries(keywords).flatMap(([keyword, value]) => keywordOf(keyword, value)))
  }

  function keywordOf (keyword: string, value: unknown): Array<readonly [string, unknown]> {
    switch (keyword) {
      // The casts below repeat what JSON Schema has under these keywords.
      case 'properties': return [[keyword, mapValues(value as Record<string, TSchema>, schema)]]
      case 'items': return [[keyword, schema(value as TSchema)]]
      case 'additionalProperties': return [[keyword, typeof value === 'boolean' ? value : schema(value as TSchema)]]
      // OpenAPI 3.0 has no arrays of types; the only ones here add null.
      case 'type': return Array.isArray(value) && version === '3.0' ? [[keyword, value[0]], ['nullable', true]] : [[keyword, value]]
      default: return [[keyword, value]]
    }
  }

  function collected (): Json {
    return Object.fromEntries(sorted(parts).map(([kind, named]) => [kind, Object.fromEntries(sorted(named))]))
  }

  return { schema, refer, collected }
}

function sorted<T> (map: ReadonlyMap<string, T>): Array<[string, T]> {
  return [...map].sort(([a], [b]) => a < b ? -1 : 1)
}

/** The same object with other values. */
export function mapValues<T, U> (object: Readonly<Record<string, T>>, change: (value: T, name: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value, name)]))
}
