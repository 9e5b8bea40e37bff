// Ports for the servers of tests, which no other test takes meanwhile: not one in another process, nor in another checkout.
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

export const HOST = '127.0.0.1'

/** All that is used here is below 32,768, from where systems take ports for outgoing connections and for whoever asks for any. */
const FIRST = 10_000
const COUNT = 5_000

/** How far above a claimed port the process that has it listens: the claim ends with the process, whatever ends that. */
const CLAIM = 5_000

/** How far above its port a node of a cluster has its bus, unless it is told otherwise. */
const BUS = 10_000

/** A port that is this process's until it ends, so that a server finds it free again after it was killed. */
export async function claimPort (): Promise<number> {
  for (let left = 100; left > 0; left--) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    const claim = await listen(port + CLAIM)
    if (claim === undefined) continue
    claim.unref()
    if (await isFree(port) && await isFree(port + BUS)) return port
    await close(claim)
  }
  throw new Error(`no free port from ${FIRST} to ${FIRST + COUNT - 1}`)
}

async function isFree (port: number): Promise<boolean> {
  const server = await listen(port)
  if (server !== undefined) await close(server)
  return server !== undefined
}

async function listen (port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, HOST)
  try {
    await once(server, 'listening')
    return server
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
    throw error
  }
}

async function close (server: Server): Promise<void> {
  await once(server.close(), 'close')
}
