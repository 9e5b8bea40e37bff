import { JSONPathEnvironment, type JSONPathQuery, type JSONValue } from 'json-p3'
import { MAX_DEPTH } from './scanner.js'
import type { JsonText } from './text.js'

/** A parsed JSONPath query. */
export type { JSONPathQuery } from 'json-p3'

/** One place that a query selects in a value. */
export interface Selected {
  /** Member names and array indexes from the root. */
  readonly location: ReadonlyArray<string | number>
  /** The same as a normalized path (RFC 9535, section 2.7). */
  readonly path: string
}

const environment = new JSONPathEnvironment({ maxRecursionDepth: MAX_DEPTH + 1 })

/** Parses a JSONPath query (RFC 9535); undefined when it is not valid. */
export function parseJsonPath (text: string): JSONPathQuery | undefined {
  try {
    return environment.compile(text)
  } catch {
    return undefined
  }
}

/** Whether a query selects anything in a value. Like select(), call it inside limited(). */
export function selectsAny (query: JSONPathQuery, value: JsonText): boolean {
  return nodesOf(query, value).next().done !== true
}

/** Gives nodes one by one, because the library's query() puts arrays of over 100,000 nodes on the stack. */
function nodesOf (query: JSONPathQuery, value: JsonText): ReturnType<JSONPathQuery['lazyQuery']> {
  return query.lazyQuery(JSON.parse(value) as JSONValue) // JSON.parse returns a JSONValue.
}

/**
 * What a query selects in a value, each place once, in the query's order. A query can take exponential time: call it
 * inside limited(). Filters compare numbers as JavaScript does, which RFC 9535 allows.
 */
export function select (query: JSONPathQuery, value: JsonText): Selected[] {
  const places = new Map<string, Selected>()
  for (const node of nodesOf(query, value)) {
    places.set(node.path, { location: node.location, path: node.path })
  }
  return [...places.values()]
}
