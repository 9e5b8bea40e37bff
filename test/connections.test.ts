import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { buildApp, type AppOptions } from '../src/app.js'
import { memoryStore } from '../src/stores/memory.js'
import { gatewayAt } from './play.js'

async function serve (t: Test, connections: NonNullable<AppOptions['connections']>) {
  const gateway = await gatewayAt(memoryStore())
  const app = buildApp(gateway, { connections })
  t.teardown(async () => await app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  /** Opens a connection, which the server has seen once it answers. */
  const open = (localAddress = '127.0.0.1'): Socket => {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).setEncoding('latin1').on('error', () => {})
    t.teardown(() => socket.destroy())
    return socket
  }
  return { app, gateway, open }
}

/** Sends a request that makes a session. @returns the reply, as far as it came in one piece */
async function ask (socket: Socket): Promise<string> {
  const body = '{"name":"x"}'
  socket.write(`POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const [text] = await once(socket, 'data')
  return text
}

async function isRefused (t: Test, socket: Socket, detail: string): Promise<void> {
  const reply = await ask(socket)
  t.match(reply, /^HTTP\/1\.1 503 Service Unavailable\r\n(?=[^]*\r\nRetry-After: 1\r\n)(?=[^]*\r\nConnection: close\r\n)/)
  const [, body = ''] = reply.split('\r\n\r\n')
  t.strictSame(JSON.parse(body), { type: 'about:blank', title: 'Service Unavailable', status: 503, detail })
  if (!socket.closed) await once(socket, 'close')
}

t.test('a connection beyond the limit is answered 503 and closed, and its request is not carried out', async t => {
  const { gateway, open } = await serve(t, { all: 3, perAddress: Infinity })
  const first = [open(), open(), open('127.0.0.2')]
  for (const socket of first) t.match(await ask(socket), /^HTTP\/1\.1 201 /)
  for (const address of ['127.0.0.1', '127.0.0.3']) await isRefused(t, open(address), 'This server takes 3 connections at once, and has them.')
  t.equal((await gateway.store.totals(gateway.now())).sessions, 3)
  t.match(await ask(first[0]!), /^HTTP\/1\.1 201 /, 'the others go on')

  first[1]!.destroy()
  // The server learns of it in its own time.
  for (;;) {
    const socket = open()
    const reply = await ask(socket)
    if (reply.startsWith('HTTP/1.1 201 ')) break
    t.match(reply, /^HTTP\/1\.1 503 /)
  }
})

t.test('a connection beyond the limit of its address is refused, and others are not', async t => {
  const { open } = await serve(t, { all: Infinity, perAddress: 2 })
  for (const address of ['127.0.0.1', '127.0.0.1', '127.0.0.2']) t.match(await ask(open(address)), /^HTTP\/1\.1 201 /)
  await isRefused(t, open('127.0.0.1'), 'This server takes 2 connections at once from one address, and has them.')
  const last = open('127.0.0.2')
  t.match(await ask(last), /^HTTP\/1\.1 201 /)
  await isRefused(t, open('127.0.0.2'), 'This server takes 2 connections at once from one address, and has them.')
  t.match(await ask(last), /^HTTP\/1\.1 201 /)
})

t.test('one that is refused and goes on sending is closed after a second', async t => {
  const { open } = await serve(t, { all: 1, perAddress: Infinity })
  await ask(open())
  const socket = open()
  const timer = setInterval(() => { socket.write('x') }, 20)
  t.teardown(() => clearInterval(timer))
  await once(socket.resume(), 'close')
  t.pass('closed')
})
