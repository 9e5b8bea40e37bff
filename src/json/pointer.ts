import type { Document, Node, Opens } from './scanner.js'

const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/
const INDEX = /^(?:0|[1-9][0-9]*)$/

/** Parses a JSON Pointer (RFC 6901) into its unescaped reference tokens; undefined when it is not valid. */
export function parsePointer (text: string): readonly string[] | undefined {
  if (!POINTER.test(text)) return undefined
  return text.split('/').slice(1).map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Opens the containers along a pointer, and what is at its end as `then` says. */
export function along (tokens: readonly string[], then: Opens, depth = 0): Opens {
  if (depth === tokens.length) return then
  return part => String(part) === tokens[depth] ? along(tokens, then, depth + 1) : undefined
}

/** The part of an opened node with this name or index; of members with the same name, the last one counts. */
function child (node: Node, part: string | number): Node | undefined {
  if (node.names !== undefined) return node.items?.[node.names.lastIndexOf(String(part))]
  return INDEX.test(String(part)) ? node.items?.[Number(part)] : undefined
}

/** The node at a path of names and indexes, in a document that is opened that far; undefined when there is none. */
export function descend (document: Document, path: ReadonlyArray<string | number>): Node | undefined {
  let node: Node | undefined = document.root
  for (const part of path) {
    node = node && child(node, part)
  }
  return node
}
