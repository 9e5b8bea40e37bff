// What can become of the files of a store that nobody has open.
import { closeSync, copyFileSync, existsSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../crash/random.js'

const PAGE_BYTES = 4096

/** What LMDB says of a page in its header: BRANCH and LEAF, beside OVERFLOW and META. */
const KIND_AT = 18
const TREE = 1 | 2

/** A copy of a directory. */
export function copyOf (directory: string, to: string): string {
  mkdirSync(to)
  for (const name of readdirSync(directory)) copyFileSync(join(directory, name), join(to, name))
  return to
}

/** Does one kind of damage, and says which, so that it can be done again. */
type Damage = (directory: string, random: Random) => string

/** Opens data.mdb for one kind of damage. */
function onData (damage: (file: { fd: number, bytes: Buffer, pages: number }, random: Random) => string): Damage {
  return (directory, random) => {
    const path = join(directory, 'data.mdb')
    const bytes = readFileSync(path)
    const fd = openSync(path, 'r+')
    try {
      return damage({ fd, bytes, pages: bytes.length / PAGE_BYTES }, random)
    } finally {
      closeSync(fd)
    }
  }
}

function flipAt (fd: number, at: number, bit: number): string {
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  byte[0]! ^= 1 << bit
  writeSync(fd, byte, 0, 1, at)
  return `${at}.${bit}`
}

const flips = onData(({ fd, bytes, pages }, random) => {
  const tree = Array.from({ length: pages }, (_, page) => page).filter(page => page > 1 && (bytes[page * PAGE_BYTES + KIND_AT]! & TREE) !== 0)
  return 'flip data.mdb ' + Array.from({ length: 1 + random.below(3) }, () => {
    const choice = random.below(10)
    const at = choice < 4
      ? random.pick(tree) * PAGE_BYTES + random.below(PAGE_BYTES)
      : choice < 6 ? random.pick(tree) * PAGE_BYTES + random.below(64) : choice < 7 ? random.below(2) * PAGE_BYTES + random.below(200) : random.below(bytes.length)
    return flipAt(fd, at, random.below(8))
  }).join(' ')
})

const zeroed = onData(({ fd, pages }, random) => {
  const page = random.below(pages)
  writeSync(fd, Buffer.alloc(PAGE_BYTES), 0, PAGE_BYTES, page * PAGE_BYTES)
  return `zero page ${page}`
})

const swapped = onData(({ fd, bytes, pages }, random) => {
  const [one, two] = [random.below(pages), random.below(pages)]
  writeSync(fd, bytes, one * PAGE_BYTES, PAGE_BYTES, two * PAGE_BYTES)
  writeSync(fd, bytes, two * PAGE_BYTES, PAGE_BYTES, one * PAGE_BYTES)
  return `swap pages ${one} and ${two}`
})

const repeated = onData(({ fd, bytes, pages }, random) => {
  const [from, to] = [random.below(pages), random.below(pages)]
  writeSync(fd, bytes, from * PAGE_BYTES, PAGE_BYTES, to * PAGE_BYTES)
  return `page ${from} in place of ${to}`
})

const truncated = onData(({ fd, bytes, pages }, random) => {
  const size = random.chance(0.5) ? random.below(bytes.length) : random.below(pages) * PAGE_BYTES
  ftruncateSync(fd, size)
  return `truncate to ${size}`
})

function noise (random: Random, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => random.below(256)))
}

const extended = onData(({ fd, bytes }, random) => {
  const tail = random.chance(0.5) ? noise(random, 1 + random.below(3 * PAGE_BYTES)) : bytes.subarray(0, (1 + random.below(4)) * PAGE_BYTES)
  writeSync(fd, tail, 0, tail.length, bytes.length)
  return `extend by ${tail.length}`
})

const foreign: Damage = (directory, random) => {
  const [name, content] = random.pick([
    ['a database of SQLite', Buffer.from('SQLite format 3\0'.repeat(4_000))],
    ['noise', noise(random, 20_000)],
    ['a text', Buffer.from('{"holdfast":"store"}\n')],
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(65_536)],
  ] as const)
  writeFileSync(join(directory, 'data.mdb'), content)
  return `data.mdb is ${name}`
}

const OTHERS = ['lock.mdb', 'holdfast.json', 'closed.json', 'secret', 'owner.lock', 'members.lock', 'writer.lock']

/** One of the other files: changed, cut short, or with something else in it. */
const other: Damage = (directory, random) => {
  const name = random.pick(OTHERS)
  const path = join(directory, name)
  const { length } = readFileSync(path)
  const choice = random.below(4)
  if (choice === 0 || length === 0) {
    writeFileSync(path, noise(random, 10_000))
    return `${name} is noise`
  }
  const fd = openSync(path, 'r+')
  try {
    const at = random.below(length)
    if (choice > 1) return `flip ${name} ${flipAt(fd, at, random.below(8))}`
    ftruncateSync(fd, at)
    return `truncate ${name} to ${at}`
  } finally {
    closeSync(fd)
  }
}

const removed: Damage = (directory, random) => {
  const name = random.pick(['data.mdb', ...OTHERS])
  rmSync(join(directory, name))
  return `remove ${name}`
}

const KINDS: ReadonlyArray<readonly [share: number, Damage]> = [[50, flips], [8, zeroed], [6, swapped], [6, repeated], [8, truncated], [4, extended], [4, foreign], [8, other], [6, removed]]

/** Damages a store in one of the ways there are. @returns what was done */
export function damage (directory: string, random: Random): string {
  let left = random.below(KINDS.reduce((sum, [share]) => sum + share, 0))
  const [, kind] = KINDS.find(([share]) => (left -= share) < 0)!
  return kind(directory, random)
}

/** Whether what tokens of shared sessions derive from is as it was. */
export function hasSecret (directory: string): boolean {
  return existsSync(join(directory, 'secret'))
}
