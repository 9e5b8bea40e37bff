// A disk that forgets: what a power cut at any moment of a record could have left of a directory.
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import type { Random } from './random.js'
import type { Event } from './strace.js'

/** What a disk writes whole or not at all. */
const SECTOR = 512

interface Times { readonly begin: number, readonly end: number }

interface Change extends Times {
  /** Its data at an offset, or a new size. */
  readonly what: { readonly offset: number, readonly data: Buffer } | { readonly size: number, readonly shrinks: boolean }
  readonly synchronous: boolean
}

interface File { readonly kind: 'file', readonly changes: Change[], readonly syncs: Times[], size: number }

/** A change of names, which is done as a whole; it is kept with one directory, in whose order it comes. */
interface Naming extends Times { readonly names: ReadonlyArray<{ readonly folder: Folder, readonly name: string, readonly node: Node | undefined }> }

interface Folder { readonly kind: 'folder', readonly log: Naming[], readonly syncs: Times[] }

type Node = File | Folder

/** Files by their paths from the root; null for a directory. Directories stand before what is in them. */
export type Image = ReadonlyMap<string, Buffer | null>

/** What becomes of that which no flush had made durable. */
export type Fate = 'dropped' | 'kept' | 'mixed'

/** A disk that says that a flush is done and does not do it, from a moment on: fdatasync and fsync, or O_DSYNC as well. */
export interface Lie { readonly from: number, readonly about: 'flushes' | 'everything' }

export interface Disk {
  take (event: Exclude<Event, { kind: 'send' }>): void
  /** What there is after a cut during the event that begins at `moment`. */
  after (moment: number, fate: Fate, random: Random, lie?: Lie): Image
}

/** Files of locks, which are written to through memory: no record shows that. */
export const LOCK = /(?:^|\/)lock\.mdb$|\.lock$/

/** A disk with an empty directory, which is there to stay. */
export function diskOf (root: string): Disk {
  const rootFolder: Folder = { kind: 'folder', log: [], syncs: [] }
  /** What there is while the power is on. */
  const nodes = new Map<string, Node>([[root, rootFolder]])
  /** Those that are no longer there too: a power cut may bring them back. */
  const folders = new Set([rootFolder])

  function node<K extends Node['kind']> (path: string, kind: K): Extract<Node, { kind: K }> {
    const found = nodes.get(path)
    if (found?.kind !== kind) throw new Error(`${path} is not a ${kind}`)
    return found as Extract<Node, { kind: K }> // Just compared.
  }

  /** Names a node, or with undefined takes its name away; in one step with taking away another name. */
  function name ({ begin, end }: Times, path: string, named: Node | undefined, gone?: string): void {
    const names = [...gone === undefined ? [] : [{ path: gone, node: undefined }], { path, node: named }]
    for (const { path, node } of names) node === undefined ? nodes.delete(path) : nodes.set(path, node)
    node(dirname(path), 'folder').log.push({ begin, end, names: names.map(({ path, node: named }) => ({ folder: node(dirname(path), 'folder'), name: basename(path), node: named })) })
  }

  return {
    take (event) {
      const { begin, end } = event
      const resize = (path: string, size: number, shrinks: boolean) => {
        const file = node(path, 'file')
        file.size = shrinks ? size : Math.max(size, file.size)
        file.changes.push({ begin, end, what: { size, shrinks }, synchronous: false })
      }
      switch (event.kind) {
        case 'open':
          if (!nodes.has(event.path) && event.creates) name(event, event.path, { kind: 'file', changes: [], syncs: [], size: 0 })
          else if (event.truncates && node(event.path, 'file').size > 0) resize(event.path, 0, true)
          return
        case 'write': {
          const file = node(event.path, 'file')
          const offset = event.offset === 'end' ? file.size : event.offset
          file.size = Math.max(file.size, offset + event.data.length)
          file.changes.push({ begin, end, what: { offset, data: event.data }, synchronous: event.synchronous })
          return
        }
        case 'resize': return resize(event.path, event.size, event.shrinks)
        case 'sync': nodes.get(event.path)!.syncs.push({ begin, end }); return
        case 'mkdir': {
          const folder: Folder = { kind: 'folder', log: [], syncs: [] }
          folders.add(folder)
          return name(event, event.path, folder)
        }
        case 'remove': return name(event, event.path, undefined)
        case 'link': return name(event, event.to, nodes.get(event.path))
        case 'rename': {
          const moved = nodes.get(event.path)
          if (moved?.kind === 'folder') throw new Error('a renamed directory is not simulated')
          return name(event, event.to, moved, event.path)
        }
      }
    },

    after (moment, fate, random, lie) {
      const image = new Map<string, Buffer | null>()
      const entries = namesAfter(folders, moment, lie === undefined ? fate : 'kept', random)
      const walk = (folder: Folder, path: string) => {
        for (const [name, node] of entries.get(folder) ?? []) {
          const at = join(path, name)
          const content = node.kind === 'folder' ? null : LOCK.test(name) ? lockFile(node, random) : contentAfter(node, moment, fate, random, lie)
          if (content !== undefined) image.set(relative(root, at), content)
          if (node.kind === 'folder') walk(node, at)
        }
      }
      walk(rootFolder, root)
      return image
    },
  }
}

/** Which of the changes, of which each was begun by then, a flush had made durable. */
function durableBy (moment: number, syncs: readonly Times[], lie?: Lie): (change: Times & { readonly synchronous?: boolean }) => boolean {
  const honest = ({ end }: Times) => end < moment && (lie === undefined || end < lie.from)
  const flushed = Math.max(-1, ...syncs.filter(honest).map(({ begin }) => begin))
  return change => change.end < flushed || (change.synchronous === true && (lie?.about === 'everything' ? honest(change) : change.end < moment))
}

/** The names in each directory: of what is not durable the first part is there, so that the order is kept. */
function namesAfter (folders: Iterable<Folder>, moment: number, fate: Fate, random: Random): Map<Folder, Map<string, Node>> {
  const namings: Naming[] = []
  for (const folder of folders) {
    const begun = folder.log.filter(({ begin }) => begin <= moment)
    const durable = begun.filter(durableBy(moment, folder.syncs)).length
    const left = begun.length - durable
    namings.push(...begun.slice(0, durable + (fate === 'kept' ? left : fate === 'dropped' ? 0 : random.below(left + 1))))
  }
  const entries = new Map<Folder, Map<string, Node>>()
  for (const { folder, name, node } of namings.sort((a, b) => a.begin - b.begin).flatMap(({ names }) => names)) {
    const names = entries.get(folder) ?? new Map<string, Node>()
    entries.set(folder, names)
    if (node === undefined) names.delete(name)
    else names.set(name, node)
  }
  return entries
}

/** The sectors that a range of bytes touches. */
const sectors = (offset: number, length: number) => Array.from({ length: Math.ceil((offset + length) / SECTOR) - Math.floor(offset / SECTOR) }, (_, index) => Math.floor(offset / SECTOR) + index)

function contentAfter (file: File, moment: number, fate: Fate, random: Random, lie?: Lie): Buffer {
  const changes = file.changes.filter(({ begin }) => begin <= moment)
  const durable = durableBy(moment, file.syncs, lie)
  /** Sectors whose later content is there: what was written to them before was in the memory that was written out. */
  const later = new Set<number>()
  const kept = changes.toReversed().map(change => {
    const luck = durable(change) || fate === 'kept' ? 'whole' : fate === 'dropped' ? 'dropped' : random.pick(['dropped', 'whole', 'torn'] as const)
    const { what } = change
    if ('size' in what) return luck === 'whole' || (luck === 'torn' && random.chance(0.5)) ? change : undefined
    const there = new Set(sectors(what.offset, what.data.length).filter(sector => luck === 'whole' || later.has(sector) || (luck === 'torn' && random.chance(0.5))))
    for (const sector of there) later.add(sector)
    return { ...change, there }
  }).toReversed()

  let content = Buffer.alloc(file.size)
  let size = 0
  for (const { what, there } of kept.filter(change => change !== undefined).map(change => ({ there: undefined, ...change }))) {
    if ('size' in what) {
      if (what.shrinks && what.size < size) content.fill(0, what.size)
      size = what.shrinks ? what.size : Math.max(size, what.size)
      continue
    }
    for (const sector of there ?? []) {
      const from = Math.max(sector * SECTOR, what.offset)
      const to = Math.min((sector + 1) * SECTOR, what.offset + what.data.length)
      if (to > content.length) content = Buffer.concat([content, Buffer.alloc(to - content.length)])
      what.data.copy(content, from, from - what.offset, to - what.offset)
      size = Math.max(size, to)
    }
  }
  return size <= content.length ? content.subarray(0, size) : Buffer.concat([content, Buffer.alloc(size - content.length)])
}

/** A lock says nothing after a restart: so it may hold anything. */
function lockFile ({ size }: File, random: Random): Buffer | undefined {
  return random.pick([
    () => undefined,
    () => Buffer.alloc(random.chance(0.5) ? size : 0),
    () => Buffer.from(Array.from({ length: size > 0 ? size : 40 }, () => random.below(256))),
  ])()
}

/** Writes an image to a directory that is there and empty. */
export function writeImage (image: Image, directory: string): void {
  for (const [path, content] of image) {
    if (content === null) mkdirSync(join(directory, path), { mode: 0o700 })
    else writeFileSync(join(directory, path), content, { mode: 0o600 })
  }
}
