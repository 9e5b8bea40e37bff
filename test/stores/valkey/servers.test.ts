// The servers that other tests start: that they do what those tests rely on.
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeCertificates } from './certificates.js'
import { startCluster } from './cluster.js'
import { command } from './resp.js'
import { engines, needs, startReplica, startServer, until } from './servers.js'
import { startMute, startRelay } from './sockets.js'

for (const binary of engines()) {
  t.test(`${binary}: it starts, pauses, ends and starts again`, async t => {
    const server = await startServer(t, { binary, args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    t.equal(await server.command('SET', 'k', 'ключ\r\n'), 'OK')
    t.strictSame(await server.command('EVAL', 'return {1, KEYS[1], {redis.call("GET", KEYS[1])}, false}', 1, 'k'), [1, 'k', ['ключ\r\n'], null])
    await t.rejects(server.command('NONSENSE'), { message: /^ERR unknown command/ })

    server.pause()
    await t.rejects(command(server, ['PING'], 1_000), { message: 'no reply within 1000 ms' })
    server.resume()
    t.equal(await server.command('PING'), 'PONG')

    const { pid } = server
    await server.kill()
    await t.rejects(server.command('PING'), { code: 'ECONNREFUSED' })
    await server.restart()
    t.not(server.pid, pid)
    t.equal(await server.command('GET', 'k'), 'ключ\r\n', 'the directory is the same')
    await server.kill('SIGTERM')
    const other = await startServer(t, { binary, port: server.port, args: ['--appendonly', 'yes', '--maxmemory', '100mb'] })
    t.strictSame([await other.command('GET', 'k'), await other.command('CONFIG', 'GET', 'maxmemory')], ['ключ\r\n', ['maxmemory', '104857600']])
  })

  t.test(`${binary}: a replica, with a password and TLS`, async t => {
    const master = await startServer(t, { binary, password: 'secret', tls: await makeCertificates(t) })
    await master.command('SET', 'k', 'v')
    const replica = await startReplica(t, master)
    t.equal(await replica.command('GET', 'k'), 'v')
    await t.rejects(command({ ...master, password: undefined }, ['PING']), { message: /^NOAUTH/ })
    await t.rejects(command({ ...master, tls: undefined }, ['PING']), 'without TLS')
  })

  t.test(`${binary}: a cluster, a slot that moves, and a failover`, async t => {
    const cluster = await startCluster(t, { binary, replicas: 1 })
    const slot = Number(await cluster.nodes[0]!.command('CLUSTER', 'KEYSLOT', '{s}'))
    const from = await cluster.masterOf(slot)
    const to = cluster.masters.find(node => node !== from)!
    await from.command('MSET', '{s}1', '1', '{s}2', '2')

    const move = await cluster.beginMove(slot, to)
    await move.migrate(['{s}1'])
    await t.rejects(from.command('GET', '{s}1'), { message: `ASK ${slot} ${to.host}:${to.port}` })
    t.equal(await from.command('GET', '{s}2'), '2')
    await t.rejects(from.command('MGET', '{s}1', '{s}2'), { message: /^TRYAGAIN|^ASK/ }, 'Redis 6 asks elsewhere')
    const asking = await to.connect()
    t.strictSame(await Promise.all([asking.send('ASKING'), asking.send('GET', '{s}1')]), ['OK', '1'])
    await t.rejects(move.finish(), { message: `1 keys of slot ${slot} are not moved yet` })
    t.equal(await move.moveKeys(10), 1)
    await move.finish()
    await t.rejects(from.command('GET', '{s}1'), { message: `MOVED ${slot} ${to.host}:${to.port}` })
    t.strictSame(await to.command('MGET', '{s}1', '{s}2'), ['1', '2'])
    await cluster.moveSlot(slot, from)
    t.equal(await cluster.masterOf(slot), from)
    t.equal(await from.command('GET', '{s}2'), '2')

    await from.kill()
    await until('a replica takes over', async () => await cluster.masterOf(slot) !== from)
    t.equal(await (await cluster.masterOf(slot)).command('GET', '{s}2'), '2')
    await cluster.settled(cluster.nodes.filter(node => node !== from))
    await from.restart()
    await cluster.settled()
    t.match(await from.command('ROLE'), ['slave'], 'it follows the new master')
  })
}

t.test('a server that does not start says why, and leaves nothing', needs(), async t => {
  let directory = ''
  await t.test('its starts', async t => {
    const { port, directory: its } = await startServer(t)
    directory = its
    await t.rejects(startServer(t, { port }), { message: /^a server did not start on port \d+: it has ended\n[^]*bind: Address already in use/ })
    await t.rejects(startServer(t, { args: ['--maxmemory-policy', 'nonsense'] }), { message: /maxmemory-policy/ })
  })
  t.notOk(existsSync(directory))
})

t.test('a mute server', async t => {
  const mute = await startMute(t)
  const asked = command(mute, ['PING'], 1_000)
  await t.rejects(asked, { message: 'no reply within 1000 ms' })
  await mute.close()
  await t.rejects(command(mute, ['PING']), { code: 'ECONNREFUSED' })
})

t.test('a relay', needs(), async t => {
  const server = await startServer(t)
  const relay = await startRelay(t, server)
  t.equal(await command(relay, ['INCR', 'n']), 1)

  for (const [direction, meanwhile, reply] of [['to server', '1', 2], ['to client', '3', 3], [undefined, '3', 4]] as const) {
    relay.stall(direction)
    const waiting = command(relay, ['INCR', 'n'])
    t.equal(await Promise.race([waiting, sleep(100, 'nothing')]), 'nothing', `${direction ?? 'both'} stalled`)
    await until('the one before has gone', async () => relay.connections === 1)
    await until(`n is ${meanwhile}`, async () => await server.command('GET', 'n') === meanwhile)
    await relay.restore()
    t.equal(await waiting, reply)
  }

  const blocked = command(relay, ['BLPOP', 'list', 0])
  await until('it is connected', async () => relay.connections === 1)
  await Promise.all([t.rejects(blocked, 'connections are gone'), relay.cut()])
  await t.rejects(command(relay, ['PING']), { code: 'ECONNREFUSED' })
  await relay.restore()
  t.equal(await command(relay, ['PING']), 'PONG')
})
