// The servers that are measured side by side, and how they are started and stopped.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('../..', import.meta.url))
/** Ports for those that cannot choose one. */
let nextPort = 16_379
const WEBDIS_CONFIG = '/etc/webdis/webdis.json'
/** Milliseconds between two looks whether a program is there that does not say so. */
const LOOK_MS = 20

const BARE = `
  const server = require('node:http').createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString() || '{}')
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  }).listen(0, '127.0.0.1', () => console.log('listening on http://127.0.0.1:' + server.address().port + ','))`

/** Whether a program is there: some can be asked nothing that ends well. */
export function has (program) {
  try {
    execFileSync('which', [program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const isPinned = availableParallelism() > 1 && has('taskset')
/** A command line on one core of its own. */
export const on = (core, command) => isPinned ? ['taskset', '-c', `${core}`, ...command] : command

const redisAt = port => ({ command: ['redis-server', '--port', `${port}`, '--save', '', '--appendonly', 'no'], isThere: /Ready to accept connections/ })

/** Webdis with the settings of its package, apart from ports, places and what is given. As shipped by its authors it has 5 threads with pools of 20; Debian's has 2. */
function webdis (name, place, settings) {
  const path = join(place, `${name.replaceAll(/\W/g, '-')}.json`)
  const [redisPort, port] = [nextPort++, nextPort++]
  return {
    name,
    isWebdis: true,
    engine: redisAt(redisPort),
    port,
    command: () => {
      const shipped = JSON.parse(readFileSync(WEBDIS_CONFIG, 'utf8'))
      const own = { redis_port: redisPort, http_port: port, daemonize: false, pidfile: `${path}.pid`, logfile: `${path}.log` }
      writeFileSync(path, JSON.stringify({ ...shipped, ...own, ...settings }))
      return ['webdis', path]
    },
  }
}

/**
 * Rows of servers, bare node:http first.
 * @param place directory for their data
 * @param against the directory of another build of Holdfast, to be measured beside this one
 */
export function serversIn (place, against) {
  const holdfast = (root, store, ...more) => [process.execPath, join(root, 'dist/src/main.js'), '--port', '0', '--store', store, ...more]
  const lmdb = () => `lmdb:${mkdtempSync(join(place, 'data-'))}`
  const onRedis = (root, port) => ({ engine: redisAt(port), command: () => holdfast(root, `redis://127.0.0.1:${port}`) })
  const stores = [
    { name: 'memory:', of: root => ({ command: () => holdfast(root, 'memory:') }) },
    { name: 'lmdb:', of: root => ({ command: () => holdfast(root, lmdb()) }) },
    ...has('redis-server') ? [{ name: 'Redis', of: root => onRedis(root, nextPort++) }] : [],
  ]
  const builds = Object.entries({ '': HERE, ...against && { ' before': against } })
  return [
    { name: 'bare', command: () => [process.execPath, '-e', BARE] },
    ...stores.flatMap(({ name, of }) => builds.map(([suffix, root]) => ({ name: name + suffix, ...of(root) }))),
    ...has('webdis') && has('redis-server')
      ? [
          webdis('Webdis + Redis, as shipped', place, { threads: 5, pool_size: 20 }),
          webdis('Webdis + Redis, one thread', place, { threads: 1, pool_size: 20 }),
          webdis('Webdis + Redis, one thread, one connection', place, { threads: 1, pool_size: 1 }),
        ]
      : [],
    { name: 'bare, both cores', isFree: true, command: () => [process.execPath, '-e', BARE] },
    { name: 'lmdb:, both cores', isFree: true, command: () => holdfast(HERE, lmdb()) },
    { name: 'lmdb:, 2 workers', isFree: true, command: () => holdfast(HERE, lmdb(), '--workers', '2') },
  ]
}

/** Starts a program, and waits until it prints what says that it is there. */
async function begin (command, isThere) {
  const [program, ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const part of child.stdout.iterator({ destroyOnReturn: false })) {
    text += part
    if (isThere.test(text)) break
  }
  child.stdout.resume()
  return { child, text }
}

async function answers (port) {
  for (;;) {
    try {
      return await fetch(`http://127.0.0.1:${port}/PING`)
    } catch {
      await sleep(LOOK_MS)
    }
  }
}

/** Starts a server, and first what it needs. @returns its processes and its port */
export async function start (server) {
  const place = command => server.isFree ? command : on(0, command)
  const engine = server.engine && await begin(place(server.engine.command), server.engine.isThere)
  const own = server.isWebdis
    ? { child: spawn(...split(place(server.command())), { stdio: ['ignore', 'ignore', 'inherit'] }) }
    : await begin(place(server.command()), /http:\/\/[^,\s]+/)
  if (server.isWebdis) await answers(server.port)
  const port = server.port ?? Number(/http:\/\/[^,\s]+:(\d+)/.exec(own.text)[1])
  return { port, children: [own, engine].flatMap(one => one?.child ?? []) }
}

const split = ([program, ...args]) => [program, args]

export async function stop ({ children }) {
  for (const child of children) {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
}

/** Processor time of a server's processes so far, in microseconds. */
export function processorTime ({ children }) {
  return children.reduce((sum, { pid }) => sum + timeOf(pid), 0)
}

function timeOf (pid) {
  const stat = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
  const others = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  const ticks = (Number(others[11]) + Number(others[12])) * 1e4 // All threads, in steps of 10 ms.
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
  return Math.max(ticks, Number(stat[0]) / 1e3) + children.reduce((sum, child) => sum + timeOf(Number(child)), 0)
}
