import { type Document, type Node, type Opens, openAll, scanText } from './scanner.js'
import type { JsonText } from './text.js'

// Every text here is put together from slices of JSON text and JSON punctuation, which is why each cast to JsonText holds.

const membersOpen: Opens = () => undefined

/**
 * Replaces the value at each of the nodes; the rest keeps its exact text.
 * @param nodes of `document`, in any order; one that lies inside another goes with it
 * @returns the new text and the number of places replaced
 */
export function replace (document: Document, nodes: readonly Node[], value: JsonText): { text: JsonText, count: number } {
  const places = [...new Set(nodes)].sort((a, b) => a.start - b.start || b.end - a.end)
  const parts: string[] = []
  let at = document.root.start
  let count = 0
  for (const { start, end } of places) {
    if (start < at) continue
    parts.push(document.slice(at, start), value)
    at = end
    count++
  }
  parts.push(document.slice(at, document.root.end))
  return { text: parts.join('') as JsonText, count }
}

/**
 * KV_APPEND (PROTOCOL 4): array + array, array + value, string + string, object + object.
 * @returns undefined when the two cannot be put together
 */
export function append (target: JsonText, addition: JsonText): JsonText | undefined {
  const first = target[0]
  if (first === '[') {
    return joined(target, addition[0] === '[' ? addition : `[${addition}]`) as JsonText
  }
  if (first !== addition[0]) return undefined
  if (first === '"') return target.slice(0, -1) + addition.slice(1) as JsonText
  if (first === '{') return assign(target, addition)
  return undefined
}

/** Two arrays' texts as one. */
function joined (a: string, b: string): string {
  const before = a.slice(1, -1).trimEnd()
  const after = b.slice(1, -1).trimStart()
  return `[${before}${before.trim() === '' || after.trim() === '' ? '' : ','}${after}]`
}

interface Member {
  readonly name: string
  /** Name, colon and value as they stand. */
  readonly text: string
  readonly node: Node
}

/** The members of an opened object by name; of those of the same name the last one counts, in the place of the first. */
function members (document: Document, node: Node): Map<string, Member> {
  const found = new Map<string, Member>()
  node.names?.forEach((name, index) => {
    const item = node.items?.[index] as Node // Names and items go in pairs.
    found.set(name, { name, text: document.slice(item.from, item.end), node: item })
  })
  return found
}

function objectOf (texts: Iterable<string>): JsonText {
  return `{${[...texts].join(',')}}` as JsonText
}

function assign (target: JsonText, addition: JsonText): JsonText {
  const texts = new Map<string, string>()
  for (const text of [target, addition]) {
    const document = scanText(text, membersOpen)
    for (const member of members(document, document.root).values()) texts.set(member.name, member.text)
  }
  return objectOf(texts.values())
}

/**
 * Applies a JSON Merge Patch (RFC 7396). Members that the patch does not name keep their exact text and order.
 * @param target undefined when there is nothing yet to patch
 */
export function mergePatch (target: JsonText | undefined, patch: JsonText): JsonText {
  const changes = scanText(patch, openAll)
  return merged(target, changes, changes.root)
}

function merged (target: JsonText | undefined, changes: Document, patch: Node): JsonText {
  if (patch.kind !== 'object') return changes.text(patch)
  const texts = new Map<string, string>()
  const document = scanText(target?.startsWith('{') ? target : '{}' as JsonText, membersOpen)
  const current = members(document, document.root)
  for (const member of current.values()) texts.set(member.name, member.text)
  for (const { name, node } of members(changes, patch).values()) {
    if (node.kind === 'null') {
      texts.delete(name)
      continue
    }
    const old = current.get(name)
    const value = merged(old && document.text(old.node), changes, node)
    texts.set(name, `${changes.slice(node.from, node.start)}${value}`)
  }
  return objectOf(texts.values())
}
