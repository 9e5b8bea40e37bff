import { Kind, type TSchema } from '@sinclair/typebox'
import { decodeString, type Document, type Node, type Opens } from '../json/scanner.js'
import type { Given, Params } from './param.js'

/** Which containers have to be opened to read what a schema describes: JSON values stay closed, as slices of text. */
function opensFor (schema: TSchema | undefined): Opens {
  switch (schema?.[Kind]) {
    // The casts repeat what these kinds have.
    case 'MapOf': return always(opensFor(schema.additionalProperties as TSchema))
    case 'Array': return always(opensFor(schema.items as TSchema))
    case 'Object': return byName(schema.properties as Record<string, TSchema>)
    default: return undefined
  }
}

function always (inside: Opens): Opens {
  return () => inside
}

function byName (properties: Record<string, TSchema>): Opens {
  const inside = new Map(Object.entries(properties).map(([name, schema]) => [name, opensFor(schema)]))
  return name => inside.get(String(name))
}

/** What scan() has to open in an object of these parameters. */
export function opensForParams (params: Params): Opens {
  return byName(Object.fromEntries(Object.entries(params).map(([name, { schema }]) => [name, schema])))
}

/** A value as its schema wants it: JSON text, a Map, or what JSON.parse would make of it. */
function decode (schema: TSchema | undefined, document: Document, node: Node): unknown {
  if (schema?.[Kind] === 'JsonText') return document.text(node)
  switch (node.kind) {
    case 'string': return decodeString(document.text(node))
    case 'object': return decodeObject(schema, document, node)
    case 'array': return node.items?.map(item => decode(schema?.items as TSchema | undefined, document, item)) ?? []
    default: return JSON.parse(document.text(node)) // A number, true, false or null.
  }
}

function decodeObject (schema: TSchema | undefined, document: Document, node: Node): unknown {
  const isMap = schema?.[Kind] === 'MapOf'
  const of = schema?.additionalProperties as TSchema | undefined // As MapOf has it.
  const { names = [], items = [] } = node
  if (!isMap) return Object.fromEntries(names.map((name, index) => [name, decode(schema?.properties?.[name], document, items[index] as Node)])) // Names and items go in pairs.
  const map = new Map<string, unknown>()
  for (let index = 0; index < names.length; index++) map.set(names[index] as string, decode(of, document, items[index] as Node)) // The same.
  return map
}

/**
 * The parameters of a command as they were sent; of one that stands twice the last counts.
 * @param node what was opened by opensForParams()
 * @returns undefined when it is no object
 */
export function givenBy (params: Params, document: Document, node: Node): Given | undefined {
  if (node.kind !== 'object') return undefined
  const { names = [], items = [] } = node
  const given = new Map<string, unknown>()
  for (let index = 0; index < names.length; index++) {
    const name = names[index] as string // Within the length.
    const param = Object.hasOwn(params, name) ? params[name] : undefined
    given.set(name, decode(param?.schema, document, items[index] as Node)) // Names and items go in pairs.
  }
  return given
}
