import type { Document, Node, Opens } from './scanner.js'

const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/
const INDEX = /^(?:0|[1-9][0-9]*)$/

/** The reference tokens of a JSON Pointer (RFC 6901), unescaped; undefined when it does not parse. */
export function parsePointer (text: string): readonly string[] | undefined {
  if (!POINTER.test(text)) return undefined
  return text.split('/').slice(1).map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Opens what lies on the way to the end of a pointer, and there what `then` says. */
export function along (tokens: readonly string[], then: Opens, depth = 0): Opens {
  if (depth === tokens.length) return then
  return part => String(part) === tokens[depth] ? along(tokens, then, depth + 1) : undefined
}

/** The part of an opened node that has this name or index; of members of the same name, the last one counts. */
function child (node: Node, part: string | number): Node | undefined {
  if (node.names !== undefined) return node.items?.[node.names.lastIndexOf(String(part))]
  return INDEX.test(String(part)) ? node.items?.[Number(part)] : undefined
}

/** Where a path of names and indexes leads in a document that was opened that far; undefined when it leads nowhere. */
export function descend (document: Document, path: ReadonlyArray<string | number>): Node | undefined {
  let node: Node | undefined = document.root
  for (const part of path) {
    node = node && child(node, part)
  }
  return node
}
