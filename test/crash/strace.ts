// What a process did to its files and sent to its clients, as strace wrote it down.
import { closeSync, openSync, readSync } from 'node:fs'
import { resolve } from 'node:path'

/**
 * Where an event stands in the record: the lines at which it was begun and was done. A call that was under way when the
 * process died is never done.
 */
interface Times { readonly begin: number, readonly end: number }

/** What matters to a disk and to the clients. Paths are absolute. */
export type Event = Times & (
  | { readonly kind: 'open', readonly path: string, readonly creates: boolean, readonly truncates: boolean }
  | { readonly kind: 'write', readonly path: string, readonly offset: number | 'end', readonly data: Buffer, readonly synchronous: boolean }
  | { readonly kind: 'resize', readonly path: string, readonly size: number, readonly shrinks: boolean }
  | { readonly kind: 'sync', readonly path: string }
  | { readonly kind: 'mkdir' | 'remove', readonly path: string }
  | { readonly kind: 'rename' | 'link', readonly path: string, readonly to: string }
  /** The first letters of what was sent, a byte each. */
  | { readonly kind: 'send', readonly socket: string, readonly start: string }
)

/** How many letters of what was sent are enough to know an answer by: its status, headers and the start of its body. */
const ANSWER = 1_000

type Bare<T> = T extends Times ? Omit<T, keyof Times> : never

/**
 * How strace has to be called, up to the program. `-DD` makes it a child of the program, in a process group of its own, so
 * that signals reach the program alone; `-y` names the file of a descriptor; `-xx` has every byte in hexadecimal.
 */
export function strace (file: string): string[] {
  const calls = ['open', 'openat', 'creat', 'close', 'dup', 'dup2', 'dup3', 'lseek', 'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg',
    'copy_file_range', 'sendfile', 'fsync', 'fdatasync', 'truncate', 'ftruncate', 'fallocate', 'rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink',
    'symlinkat', 'unlink', 'unlinkat', 'mkdir', 'mkdirat', 'rmdir']
  return ['strace', '-DD', '-f', '--seccomp-bpf', '-y', '-xx', '-s', `${2 ** 26}`, '-e', `trace=${calls.join()}`, '-e', 'signal=none', '-o', file]
}

const text = (hex: string) => bytes(hex).toString()

/** The bytes that a string such as \x2f\x61 stands for. */
function bytes (hex: string): Buffer {
  const found = Buffer.from(hex.replaceAll('\\x', ''), 'hex')
  if (found.length * 4 !== hex.length) throw new Error(`not hexadecimal: ${hex.slice(0, 100)}`)
  return found
}

/** What is known of a descriptor: its place in its file, and whether its writes are durable once they are done. */
interface Descriptor { position: number, readonly appends: boolean, readonly synchronous: boolean }

/**
 * Reads a record.
 *
 * @param root the directory whose files matter
 * @param line the number of the first line, for a record that goes on from another
 * @returns the number of the line after the last
 */
export function readRecord (file: string, root: string, line: number, take: (event: Event) => void): number {
  const read = callReader(root, take)
  /** By thread, a call whose end stands further down. */
  const unfinished = new Map<string, { begun: string, begin: number }>()
  for (const whole of lines(file)) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(whole) ?? []
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, { begun: rest.slice(0, rest.lastIndexOf('<')).trimEnd(), begin: line })
    } else if (rest.startsWith('<... ')) {
      const { begun, begin } = unfinished.get(thread)!
      unfinished.delete(thread)
      read(begun + rest.slice(rest.indexOf('resumed>') + 'resumed>'.length), { begin, end: line })
    } else {
      read(rest, { begin: line, end: line })
    }
    line++
  }
  return line
}

/** Reads calls one by one, and keeps what it has to know of open descriptors meanwhile. */
function callReader (root: string, take: (event: Event) => void) {
  const descriptors = new Map<string, Descriptor>()
  const inside = (path: string) => path === root || path.startsWith(`${root}/`)

  return (whole: string, times: Times) => {
    // What comes after the result is an error or the name of a descriptor.
    const end = whole.lastIndexOf(') ')
    const result = /^\) += (-?\d+|\?)(<[^>]*>)?/.exec(whole.slice(end))
    if (result === null || result[1]!.startsWith('-')) return
    const name = whole.slice(0, whole.indexOf('('))
    const args = whole.slice(name.length + 1, end)
    const [descriptor = '', hex = ''] = /^\d+<([^>]*)>/.exec(args) ?? []
    const path = text(hex)
    const socket = path.startsWith('socket:')
    const paths = socket ? [] : pathsOf(name, args)
    if (socket ? !/^(?:p?write|send)/.test(name) : ![path, ...paths].some(inside)) return
    // The process died before the call returned. What was to be sent may well have been; of a file nobody could say.
    if (result[1] === '?' && !socket) throw new Error(`the process died during ${name}`)

    if (socket) {
      take({ kind: 'send', socket: path, start: dataOf(args).toString('latin1', 0, ANSWER), ...times })
      return
    }
    const event = eventOf({ name, args, path, paths, descriptor, result: Number(result[1]), created: `${result[1]}${result[2]}` }, descriptors)
    // The type of what is made of two parts is not that of the whole.
    if (event !== undefined) take({ ...event, ...times } as Event)
  }
}

/** What the strings of a call that writes stand for. */
function dataOf (args: string): Buffer {
  return Buffer.concat(Array.from(args.matchAll(/(?:iov_base=|^\d+<[^>]*>, )"([^"]*)"/g), ([, hex]) => bytes(hex!)))
}

/** A call on files. */
interface Call {
  readonly name: string
  readonly args: string
  /** The file of the descriptor that it is about, and those of its strings. */
  readonly path: string
  readonly paths: readonly string[]
  /** The descriptor that it is about, and the one that it made, with their files. */
  readonly descriptor: string
  readonly created: string
  readonly result: number
}

/** What one call comes to, if anything. @throws Error for a call that this knows nothing of */
function eventOf ({ name, args, path, paths: [first = '', second = ''], descriptor, created, result }: Call, descriptors: Map<string, Descriptor>): Bare<Event> | undefined {
  const known = descriptors.get(descriptor)
  const numbers = args.split(', ')
  const data = () => {
    const given = dataOf(args)
    if (given.length < result) throw new Error(`${name} of ${result} bytes, of which ${given.length} are in the record`)
    return given.subarray(0, result)
  }
  switch (name) {
    case 'open': case 'openat': case 'creat':
      descriptors.set(created, { position: 0, appends: args.includes('O_APPEND'), synchronous: /O_D?SYNC/.test(args) })
      return { kind: 'open', path: first, creates: args.includes('O_CREAT') || name === 'creat', truncates: args.includes('O_TRUNC') || name === 'creat' }
    case 'dup': case 'dup2': case 'dup3':
      descriptors.set(created, { ...known! })
      return undefined
    case 'close':
      descriptors.delete(descriptor)
      return undefined
    case 'lseek':
      known!.position = result
      return undefined
    case 'write': case 'writev': {
      const offset = known!.appends ? 'end' : known!.position
      known!.position += result
      return { kind: 'write', path, offset, data: data(), synchronous: known!.synchronous }
    }
    case 'pwrite64': case 'pwritev':
      return { kind: 'write', path, offset: Number(numbers.at(-1)), data: data(), synchronous: known!.synchronous }
    case 'pwritev2':
      return { kind: 'write', path, offset: Number(numbers.at(-2)), data: data(), synchronous: known!.synchronous || /RWF_D?SYNC/.test(args) }
    case 'fsync': case 'fdatasync':
      return { kind: 'sync', path }
    case 'ftruncate': case 'truncate':
      return { kind: 'resize', path: first === '' ? path : first, size: Number(numbers.at(-1)), shrinks: true }
    case 'fallocate':
      if (numbers.at(-3) !== '0') throw new Error(`fallocate with ${numbers.at(-3)} is not simulated`)
      return { kind: 'resize', path, size: Number(numbers.at(-2)) + Number(numbers.at(-1)), shrinks: false }
    case 'mkdir': case 'mkdirat':
      return { kind: 'mkdir', path: first }
    case 'rmdir': case 'unlink': case 'unlinkat':
      return { kind: 'remove', path: first }
    case 'rename': case 'renameat': case 'renameat2':
      return { kind: 'rename', path: first, to: second }
    case 'link': case 'linkat':
      return { kind: 'link', path: first, to: second }
  }
  throw new Error(`${name} is not simulated`)
}

/** The paths that a call has as strings, each resolved against the directory that stands before it. */
function pathsOf (name: string, args: string): string[] {
  if (!/^(?:open|creat|mkdir|rmdir|unlink|rename|link|symlink|truncate)/.test(name)) return []
  return Array.from(args.matchAll(/(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"/g), ([, directory = '', path = '']) => resolve(text(directory), text(path)))
}

/** The lines of a file that may be larger than a string can be. */
function * lines (file: string): Generator<string> {
  const descriptor = openSync(file, 'r')
  try {
    const chunk = Buffer.alloc(2 ** 22)
    let rest = ''
    for (;;) {
      const size = readSync(descriptor, chunk)
      if (size === 0) return
      const parts = (rest + chunk.toString('latin1', 0, size)).split('\n')
      rest = parts.pop()!
      yield * parts
    }
  } finally {
    closeSync(descriptor)
  }
}
