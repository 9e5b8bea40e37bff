// Where what is in the data file of an LMDB environment that is sound.

export const PAGE = 4_096
export const HEADER = 24

export const BRANCH = 1
export const LEAF = 2
export const VALUE = 4
export const META = 8

/** A page that is in use, and of which tree it is. Of a large value the first page. */
export interface Place { readonly number: number, readonly kind: number, readonly tree: string }

/** Where the last transaction's state is: its free list's record, and its table of tables'. */
export function metaAt (file: Buffer): number {
  return file.readUInt32LE(HEADER + 128) > file.readUInt32LE(PAGE + HEADER + 128) ? 0 : PAGE
}

export const FREE_AT = HEADER + 24
export const MAIN_AT = FREE_AT + 48

/** The pages that a sound file uses, by the trees they belong to. */
export function places (file: Buffer): Place[] {
  const found: Place[] = [{ number: 0, kind: META, tree: 'meta' }, { number: 1, kind: META, tree: 'meta' }]
  function walk (tree: string, number: number): void {
    const kind = file.readUInt16LE(number * PAGE + 18)
    found.push({ number, kind, tree })
    for (const node of nodes(file, number)) {
      const value = valueAt(file, node)
      const flags = file.readUInt16LE(node + 4)
      if (kind === BRANCH) walk(tree, file.readUInt32LE(node))
      else if (flags === 2) walkRecord(file.toString('latin1', node + 8, value - 1), value)
      else if (flags === 1) found.push({ number: file.readUInt32LE(value), kind: VALUE, tree })
    }
  }
  function walkRecord (tree: string, at: number): void {
    const root = file.readUInt32LE(at + 40)
    if (root !== 0xffffffff) walk(tree, root)
  }
  walkRecord('free', metaAt(file) + FREE_AT)
  walkRecord('main', metaAt(file) + MAIN_AT)
  return found
}

/** Where the nodes of a page are in the file. */
export function nodes (file: Buffer, number: number): number[] {
  const at = number * PAGE
  return Array.from({ length: file.readUInt16LE(at + 20) / 2 }, (_, index) => at + HEADER + file.readUInt16LE(at + HEADER + 2 * index))
}

/** Where the value of a node is in the file. */
export function valueAt (file: Buffer, node: number): number {
  return node + 8 + file.readUInt16LE(node + 6)
}
