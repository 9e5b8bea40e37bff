// What clients send to a server, as the server itself tells it.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { until, type Server } from './servers.js'

export interface Monitor {
  /** All that clients have sent since the last call, in order: what scripts call is left out, and what is asked now and then, TIME. The names are in lower case. */
  taken (): Promise<string[][]>
}

/** Listens to a server without a password until the test ends. */
export async function monitor (t: Test, server: Server): Promise<Monitor> {
  const socket = connect({ host: server.host, port: server.port })
  t.teardown(() => socket.destroy())
  let text = ''
  let marks = 0
  socket.setEncoding('latin1').on('data', (data: string) => { text += data })
  socket.write('MONITOR\r\n')
  await once(socket, 'data')

  return {
    async taken () {
      const mark = `mark ${++marks}`
      await server.command('ECHO', mark)
      await until('the server has told of all', async () => text.includes(`"ECHO" "${mark}"`))
      const lines = text.split('\r\n').filter(line => line.includes('] "') && !/^\S+ \[\d+ lua\]/.test(line))
      text = ''
      const commands = lines.map(line => argumentsOf(line.slice(line.indexOf('] "') + 2)))
      return commands.filter(([name, argument]) => !(name === 'echo' && argument === mark) && name !== 'time')
    },
  }
}

/** A line's arguments, as they stand in its quotes. */
function argumentsOf (line: string): string[] {
  const [name = '', ...args] = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, argument = '']) => argument)
  return [name.toLowerCase(), ...args]
}
