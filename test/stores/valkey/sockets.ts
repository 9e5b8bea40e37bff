// What stands in place of a server or in front of it, and behaves as networks do on bad days.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import type { Test } from 'tap'
import { claimPort, HOST } from './ports.js'

export interface Mute {
  readonly host: string
  readonly port: number
  /** How many are open. */
  readonly connections: number
  close (): Promise<void>
}

/** A server that accepts connections, reads all that comes, and never answers. */
export async function startMute (t: Test): Promise<Mute> {
  const sockets = new Set<Socket>()
  const { port, listen, close } = await listener(t, sockets, socket => keep(sockets, socket).resume())
  await listen()
  return { host: HOST, port, get connections () { return sockets.size }, close }
}

export type Direction = 'to server' | 'to client'

export interface Relay {
  readonly host: string
  readonly port: number
  /** How many clients are connected. */
  readonly connections: number
  /** Ends all connections, and refuses new ones. */
  cut (): Promise<void>
  /** Forwards nothing more, in this direction or in both, and keeps connections open; new ones too. What comes meanwhile waits. */
  stall (direction?: Direction): void
  /** Ends what cut() or stall() began. */
  restore (): Promise<void>
  /**
   * Keeps what the clients of now send, also after they have gone; others are not concerned. The function that it returns has it
   * delivered, and answers how many bytes that were.
   */
  detain (): () => Promise<number>
}

interface Pair { readonly client: Socket, readonly server: Socket }

/** Forwards connections to a server, on a port of its own. */
export async function startRelay (t: Test, to: { readonly host: string, readonly port: number }): Promise<Relay> {
  const pairs = new Set<Pair>()
  const sockets = new Set<Socket>()
  const stalled = new Set<Direction>()

  function accept (client: Socket): void {
    const server = connect(to.port, to.host)
    const pair = { client, server }
    pairs.add(pair)
    for (const [socket, other] of [[client, server], [server, client]] as const) {
      keep(sockets, socket).on('close', () => {
        pairs.delete(pair)
        other.destroy()
      })
    }
    flow(pair)
  }
  /** Has a pair flow as it is to flow now. Whatever flows is stopped first: a second pipe would forward everything twice. */
  function flow ({ client, server }: Pair): void {
    client.unpipe(server).pause()
    server.unpipe(client).pause()
    if (!stalled.has('to server')) client.pipe(server)
    if (!stalled.has('to client')) server.pipe(client)
  }

  const { port, listen, close } = await listener(t, sockets, accept)
  await listen()
  return {
    host: HOST,
    port,
    get connections () { return pairs.size },
    cut: close,
    stall (direction) {
      for (const each of direction === undefined ? ['to server', 'to client'] as const : [direction]) stalled.add(each)
      pairs.forEach(flow)
    },
    async restore () {
      stalled.clear()
      pairs.forEach(flow)
      await listen()
    },
    detain () {
      const late = [...pairs]
      for (const { client, server } of late) client.unpipe(server).pause()
      return async () => {
        const before = late.reduce((sum, { server }) => sum + server.bytesWritten, 0)
        await Promise.all(late.map(async ({ client, server }) => await pipeline(client, server).catch(() => {})))
        return late.reduce((sum, { server }) => sum + server.bytesWritten, 0) - before
      }
    },
  }
}

/** Keeps a socket as long as it is open. Errors are what these tests are about: the socket closes after each. */
export function keep (sockets: Set<Socket>, socket: Socket): Socket {
  sockets.add(socket)
  return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
}

/** Listens on a port, and not, as often as is wanted. Closing ends the sockets too. */
export async function listener (t: Test, sockets: ReadonlySet<Socket>, accept: (socket: Socket) => void) {
  const port = await claimPort()
  let server: Server | undefined

  async function listen (): Promise<void> {
    if (server !== undefined) return
    server = createServer(accept).listen(port, HOST)
    await once(server, 'listening')
  }
  async function close (): Promise<void> {
    const closed = server && once(server.close(), 'close')
    server = undefined
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.teardown(close)
  return { port, listen, close }
}
