import { compareCodePoints } from './codepoint.js'
import { compareDecimals } from './decimal.js'
import { decodeString, type Document, type Node, openAll, scanText } from './scanner.js'
import type { JsonText } from './text.js'

/** The operators of KV_FIND other than `==`. Each says whether an order (below 0, 0 or above 0) satisfies it. */
const ORDERS = {
  '>': (order: number) => order > 0,
  '>=': (order: number) => order >= 0,
  '<': (order: number) => order < 0,
  '<=': (order: number) => order <= 0,
} as const satisfies Record<string, (order: number) => boolean>

export type Operator = '==' | keyof typeof ORDERS

/** A fully opened node and its document. */
interface Placed {
  readonly document: Document
  readonly node: Node
}

/**
 * Makes the test `value operator operand` (PROTOCOL 4). Numbers compare by value, however they are written; strings by
 * code point; false comes before true. Any other pair can be equal but has no order: even `>=` and `<=` are false.
 * @returns a test for a fully opened node
 */
export function comparison (operator: Operator, operand: JsonText): (document: Document, node: Node) => boolean {
  const document = scanText(operand, openAll)
  const right = { document, node: document.root }
  if (operator === '==') return (document, node) => equal({ document, node }, right)
  const holds = ORDERS[operator]
  return (document, node) => {
    const order = orderOf({ document, node }, right)
    return order !== undefined && holds(order)
  }
}

function orderOf (a: Placed, b: Placed): number | undefined {
  if (a.node.kind !== b.node.kind) return undefined
  const [first, second] = [a.document.text(a.node), b.document.text(b.node)]
  switch (a.node.kind) {
    case 'number': return compareDecimals(first, second)
    case 'string': return compareCodePoints(decodeString(first), decodeString(second))
    case 'boolean': return Number(first === 'true') - Number(second === 'true')
    default: return undefined
  }
}

function equal (a: Placed, b: Placed): boolean {
  if (a.node.kind !== b.node.kind) return false
  if (a.node.kind === 'null') return true
  if (a.node.items === undefined) return orderOf(a, b) === 0
  const [first, second] = [parts(a.node), parts(b.node)]
  if (first.size !== second.size) return false
  for (const [part, node] of first) {
    const other = second.get(part)
    if (other === undefined || !equal({ ...a, node }, { ...b, node: other })) return false
  }
  return true
}

/** The items of a container by name or index; of repeated names, the last one counts. */
function parts (node: Node): Map<string | number, Node> {
  return new Map(node.items?.map((item, index) => [node.names?.[index] ?? index, item]))
}
