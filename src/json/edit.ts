import { type Document, type Node, type Opens, openAll, scanText } from './scanner.js'
import type { JsonText } from './text.js'

// Every text here is built from slices of JSON text and JSON punctuation, so the casts to JsonText are safe.

const membersOpen: Opens = () => undefined

/**
 * Replaces the value at each of the nodes; the rest keeps its exact text.
 * @param nodes of `document`, in any order; a node inside another is replaced with that one, and not counted
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
 * @returns undefined for any other pair
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

/** Concatenates two arrays. */
function joined (a: string, b: string): string {
  const before = a.slice(1, -1).trimEnd()
  const after = b.slice(1, -1).trimStart()
  return `[${before}${before.trim() === '' || after.trim() === '' ? '' : ','}${after}]`
}

interface Member {
  readonly name: string
  /** Name, colon and value, exactly as written. */
  readonly text: string
  readonly node: Node
}

/** The members of an opened object in order, repeated names included. */
function membersOf (document: Document, node: Node): Member[] {
  return (node.names ?? []).map((name, index) => {
    const item = node.items?.[index] as Node // Each name has an item.
    return { name, text: document.slice(item.from, item.end), node: item }
  })
}

/**
 * Changes some members of an object; the others keep their text, order and repetitions.
 * @param changes by name, the member's new text, or null to remove it; new names are added at the end
 */
function changed (members: readonly Member[], changes: ReadonlyMap<string, string | null>): JsonText {
  const pending = new Map(changes)
  const texts: Array<string | null> = []
  for (const { name, text } of members) {
    const change = pending.get(name)
    if (!changes.has(name)) texts.push(text)
    else if (change !== undefined) texts.push(change)
    // A change replaces the first member of its name, and drops the others.
    pending.delete(name)
  }
  return `{${[...texts, ...pending.values()].filter(text => text !== null).join(',')}}` as JsonText
}

function assign (target: JsonText, addition: JsonText): JsonText {
  const document = scanText(target, membersOpen)
  const added = scanText(addition, membersOpen)
  const changes = new Map(membersOf(added, added.root).map(({ name, text }) => [name, text]))
  return changed(membersOf(document, document.root), changes)
}

/**
 * Applies a JSON Merge Patch (RFC 7396). Members that the patch does not name keep their exact text and order.
 * @param target undefined when there is no value yet
 */
export function mergePatch (target: JsonText | undefined, patch: JsonText): JsonText {
  const changes = scanText(patch, openAll)
  return merged(target, changes, changes.root)
}

function merged (target: JsonText | undefined, patches: Document, patch: Node): JsonText {
  if (patch.kind !== 'object') return patches.text(patch)
  const document = scanText(target?.startsWith('{') ? target : '{}' as JsonText, membersOpen)
  const members = membersOf(document, document.root)
  // Of members with the same name, the last one counts.
  const current = new Map(members.map(({ name, node }) => [name, node]))
  const changes = new Map(membersOf(patches, patch).map(({ name, node }) => {
    if (node.kind === 'null') return [name, null]
    const old = current.get(name)
    return [name, `${patches.slice(node.from, node.start)}${merged(old && document.text(old), patches, node)}`]
  }))
  return changed(members, changes)
}
