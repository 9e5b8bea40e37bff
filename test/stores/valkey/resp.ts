// A client of the servers for the tests themselves, so that what they look at does not come through what they test.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Certificates } from './certificates.js'

/** An error as a whole reply is thrown; here it stands in an array, such as that of EXEC. */
export type Reply = string | number | null | Error | Reply[]

export type Argument = string | number | Buffer

/** Where a server is, and what it asks of clients. */
export interface Access {
  readonly host: string
  readonly port: number
  readonly password?: string | undefined
  readonly tls?: Certificates | undefined
}

export interface Connection {
  /** Commands may be sent without waiting for earlier replies. @throws Error with what the server says, such as `MOVED 1 host:port` */
  send (...args: readonly Argument[]): Promise<Reply>
  close (): void
}

/** @param timeout milliseconds without a byte after which whatever is waited for fails */
export async function connect (access: Access, timeout = 10_000): Promise<Connection> {
  const socket = await open(access, timeout)
  const waiting: Array<{ resolve: (reply: Reply) => void, reject: (error: Error) => void }> = []
  const fail = (error: Error) => { for (const { reject } of waiting.splice(0)) reject(error) }
  let rest: Buffer = Buffer.alloc(0)

  socket.on('error', fail).on('close', () => fail(new Error('the connection was closed')))
  socket.on('timeout', () => { if (waiting.length > 0) socket.destroy(new Error(`no reply within ${timeout} ms`)) })
  socket.on('data', data => {
    rest = Buffer.concat([rest, data])
    for (let found = parse(rest, 0); found !== undefined; found = parse(rest, 0)) {
      rest = rest.subarray(found.end)
      const { resolve, reject } = waiting.shift()!
      if (found.reply instanceof Error) reject(found.reply)
      else resolve(found.reply)
    }
  })

  const connection: Connection = {
    send: (...args) => new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(new Error('the connection was closed'))
      waiting.push({ resolve, reject })
      socket.write(serialize(args))
    }),
    close: () => socket.destroy(),
  }
  if (access.password !== undefined) await connection.send('AUTH', access.password)
  return connection
}

/** Sends one command through a connection of its own. */
export async function command (access: Access, args: readonly Argument[], timeout?: number): Promise<Reply> {
  const connection = await connect(access, timeout)
  try {
    return await connection.send(...args)
  } finally {
    connection.close()
  }
}

async function open ({ host, port, tls }: Access, timeout: number): Promise<Socket> {
  const socket = tls === undefined
    ? connectTcp({ host, port })
    : connectTls({ host, port, ca: readFileSync(tls.authority), cert: readFileSync(tls.client.certificate), key: readFileSync(tls.client.key) })
  const tooLong = () => socket.destroy(new Error(`no connection within ${timeout} ms`))
  socket.setTimeout(timeout).once('timeout', tooLong)
  await once(socket, tls === undefined ? 'connect' : 'secureConnect')
  return socket.off('timeout', tooLong)
}

function serialize (args: readonly Argument[]): Buffer {
  const parts = args.map(arg => typeof arg === 'number' ? Buffer.from(`${arg}`) : Buffer.from(arg as Buffer))
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...parts.flatMap(part => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')])])
}

interface Parsed { readonly reply: Reply, readonly end: number }

/** One reply of RESP 2, or one command, which looks like one; undefined while not all of it is there. */
export function parse (data: Buffer, from: number): Parsed | undefined {
  const newline = data.indexOf('\r\n', from)
  if (newline < 0) return undefined
  const line = data.toString('utf8', from + 1, newline)
  const end = newline + 2
  switch (String.fromCharCode(data[from]!)) {
    case '+': return { reply: line, end }
    case '-': return { reply: new Error(line), end }
    case ':': return { reply: Number(line), end }
    case '$': return parseString(data, end, Number(line))
    case '*': return parseArray(data, end, Number(line))
  }
  throw new Error(`not RESP 2: ${line}`)
}

function parseString (data: Buffer, start: number, size: number): Parsed | undefined {
  if (size < 0) return { reply: null, end: start }
  const end = start + size + 2
  return data.length < end ? undefined : { reply: data.toString('utf8', start, end - 2), end }
}

function parseArray (data: Buffer, start: number, size: number): Parsed | undefined {
  if (size < 0) return { reply: null, end: start }
  const reply: Reply[] = []
  let end = start
  while (reply.length < size) {
    const next = parse(data, end)
    if (next === undefined) return undefined
    reply.push(next.reply)
    end = next.end
  }
  return { reply, end }
}
