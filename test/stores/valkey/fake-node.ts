// A server that answers what the test says, and keeps what it was sent: it shows on which connection, and how often.
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { HOST } from './ports.js'
import { parse, type Reply } from './resp.js'
import { keep, listener } from './sockets.js'

/** What a node has received. */
export interface Received {
  /** The connections are numbered in the order in which they were made. */
  readonly connection: number
  /** In lower case. */
  readonly name: string
  readonly args: readonly string[]
}

/** What a node does about a command: a reply, an error, nothing at all, or the end of the connection. */
export type Answer = Reply | 'silence' | 'hang up'

export interface FakeNode {
  readonly host: string
  readonly port: number
  readonly received: Received[]
  /** The names of what came on each connection, beside what every connection begins with. */
  readonly names: () => string[][]
  start (): Promise<void>
  /** Ends all connections, and refuses new ones until it is started again. */
  stop (): Promise<void>
}

/** What a connection is sent whatever it is used for. */
const GREETINGS = new Set(['info', 'time', 'client', 'select', 'auth', 'cluster'])

/**
 * Starts a node, which passes for a master.
 * @param answer undefined for what it answers by itself: INFO, TIME by a clock of its own, and OK to all else
 * @param clockMs what TIME answers
 */
export async function startFakeNode (t: Test, answer: (received: Received) => Answer | undefined, { isCluster = false, clockMs = 1_700_000_000_000 } = {}): Promise<FakeNode> {
  const received: Received[] = []
  const sockets = new Set<Socket>()
  let connections = 0

  function byItself ({ name }: Received): Answer {
    if (name === 'info') return `redis_version:7.0.0\r\nredis_mode:${isCluster ? 'cluster' : 'standalone'}\r\nloading:0\r\nrole:master\r\n`
    if (name === 'time') return [`${Math.floor(clockMs / 1000)}`, `${clockMs % 1000 * 1000}`]
    return 'OK'
  }

  function accept (socket: Socket): void {
    const connection = connections++
    let rest: Buffer = Buffer.alloc(0)
    keep(sockets, socket).on('data', data => {
      rest = Buffer.concat([rest, data])
      for (let found = parse(rest, 0); found !== undefined; found = parse(rest, 0)) {
        rest = rest.subarray(found.end)
        const [name = '', ...args] = (found.reply as unknown[]).map(String) // A command is an array of strings.
        const command = { connection, name: name.toLowerCase(), args }
        received.push(command)
        const reply = answer(command) ?? byItself(command)
        if (reply === 'hang up') socket.destroy()
        else if (reply !== 'silence') socket.write(serialized(reply))
      }
    })
  }

  const { port, listen: start, close: stop } = await listener(t, sockets, accept)
  await start()
  return {
    host: HOST,
    port,
    received,
    names: () => Array.from({ length: connections }, (_, n) => received.filter(({ connection, name }) => connection === n && !GREETINGS.has(name)).map(({ name }) => name)),
    start,
    stop,
  }
}

/** A reply of RESP 2. */
function serialized (reply: Reply): string {
  if (reply === null) return '$-1\r\n'
  if (reply instanceof Error) return `-${reply.message}\r\n`
  if (typeof reply === 'number') return `:${reply}\r\n`
  if (typeof reply === 'string') return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`
  return `*${reply.length}\r\n${reply.map(serialized).join('')}`
}
