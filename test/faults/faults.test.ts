// What goes wrong below a server: disks that are full or fail, and directories that cannot be used.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { dataStores } from '../stores/data-stores.js'
import { amount, randomOf, seedOf } from '../crash/random.js'
import { launch, type Server } from '../crash/server.js'
import { launcher } from '../crash/hosted.js'
import { salvage } from '../stores/lmdb/salvaging.js'
import { command, ledgerOf, newSession, rest, type Reply } from './client.js'
import { DAMAGED, fill, survey, type Contents } from './contents.js'
import { copyOf, damage, hasSecret } from './damage.js'
import { mount, mountTmpfs, notMountable, otherUser, placeOf, takeSpace } from './places.js'
import { trySalvage } from './salvage.js'
import { inject, logLines, logOf, logTo, notInjectable, ownerOf } from './processes.js'

const MOUNTS = { skip: notMountable() ?? false }
const INJECTS = { skip: await notInjectable() ?? false }

const NOT_THERE = 100
const FULL = 200
const UNAVAILABLE = 201
const IDLE = { expiry: { duration: 0, deleteSession: true, idle: 1_000 } }

/** For starts of which nothing but their failure is looked at. */
const servers = launcher()
t.teardown(servers.end)

const text = (letter: string, size: number) => JSON.stringify(letter.repeat(size))

function isRefusal (t: Test, { status, headers, text }: Reply, http: number, st: number): void {
  t.equal(status, http)
  t.equal(headers['content-type'], 'application/problem+json')
  t.equal(headers['retry-after'], http === 503 ? '1' : undefined)
  t.match(JSON.parse(text), { status: http, st })
}

async function stopped (t: Test, server: Server): Promise<void> {
  server.signal('SIGTERM')
  t.match(await server.exited, { code: 0, signal: null, stderr: '' })
}

t.test('a full disk: 507, reads go on, and writes come back by themselves', MOUNTS, async t => {
  const place = placeOf(t)
  const disk = mountTmpfs(place, 'disk', 'size=8m')
  const [directory, ballast, log] = [join(disk, 'data'), join(disk, 'ballast'), join(place, 'log')]
  writeFileSync(ballast, Buffer.alloc(4 * 2 ** 20))
  let server = launch(directory, logTo(log))
  let url = await server.ready
  const idle = await newSession(url, IDLE)
  const ledger = ledgerOf(await newSession(url))
  const brief = await newSession(url, { expiry: { duration: 1, deleteSession: true } })
  t.match(await command(url, 'KV_SET', { tkn: idle, keys: { a: 1 } }), { keys: { a: 20 } })
  let count = 0

  /** Writes values of one size until there is no space for another. */
  async function fillWith (size: number): Promise<void> {
    for (;;) {
      const reply = await ledger.put(url, `k${count++}`, text('x', size))
      if (reply.status === 201) continue
      isRefusal(t, reply, 507, FULL)
      return
    }
  }

  async function readsGoOn (t: Test): Promise<void> {
    for (let times = 0; times < 3; times++) {
      t.strictSame(await command(url, 'KV_GET', { tkn: idle, keys: ['a', 'b'] }), { tkn: idle, keys: { a: 1, b: null } }, 'although it renews the idle deadline')
      t.match(await rest(url, 'GET', `/sessions/${idle}/keys/a`), { status: 200, text: '{"value":1}' })
    }
    t.match(await command(url, 'SH_INFO', { tkn: idle }), { st: 1, keyCnt: 1 })
    t.match(await command(url, 'KV_FIND', { tkn: idle, path: '', '==': 1 }), { keys: ['a'] })
    t.match(await command(url, 'SH_INFO_ALL', {}), { totalKeys: ledger.acknowledged.size + 1 })
    t.equal((await rest(url, 'GET', '/ready')).status, 200)
    t.strictSame(await ledger.faults(url), [])
  }

  await t.test('as it fills', async t => {
    await fillWith(200_000)
    for (let times = 0; times < 20; times++) isRefusal(t, await ledger.put(url, `k${count++}`, text('x', 200_000)), 507, FULL)
    t.match(logOf(log), [{ level: 50, err: { message: /^The disk is full/ } }], 'one line in the log for all of them')
    // A sweep that finds the space for its small change in between begins another row of failures.
    t.ok(logOf(log).length <= 2)
    for (const size of [20_000, 2_000, 10]) await fillWith(size)
    t.strictSame(await command(url, 'KV_SET', { tkn: ledger.tkn, keys: { no: 'x'.repeat(200_000), neither: 1 } }), { tkn: ledger.tkn, st: FULL, m: '' })
    const batch = [{ KV_GET: { tkn: idle, keys: ['a'] } }, { KV_SET: { tkn: idle, keys: { b: 'x'.repeat(200_000) } } }, { KV_COUNT: { tkn: idle } }]
    t.match(JSON.parse((await rest(url, 'POST', '/commands', JSON.stringify(batch))).text), [{ KV_GET_RSP: { keys: { a: 1 } } }, { KV_SET_RSP: { st: FULL } }, { KV_COUNT_RSP: { cnt: 1 } }])
    await readsGoOn(t)
  })

  await t.test('when there is no byte left, and a key is replaced, deleted, touched', async t => {
    takeSpace(ballast)
    for (const key of ['k0', 'k1']) t.ok([204, 507].includes((await ledger.put(url, key, text('y', 200_000))).status))
    for (const key of ['k0', 'k2', 'nothing']) t.ok([204, 404, 507].includes((await ledger.remove(url, key)).status))
    for (const tkn of [idle, ledger.tkn]) t.ok([1, FULL].includes((await command(url, 'SH_TOUCH', { tkn }))['st'] as number))
    while ((await command(url, 'SH_INFO', { tkn: brief }))['st'] !== NOT_THERE) await sleep(20)
    await readsGoOn(t)
  })

  await t.test('it stops, and starts on the full disk', async t => {
    takeSpace(ballast)
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
      server.signal(signal)
      t.match(await server.exited, signal === 'SIGTERM' ? { code: 0, signal: null } : { code: null, signal })
      server = launch(directory, logTo(log))
      url = await server.ready
      await readsGoOn(t)
      isRefusal(t, await ledger.put(url, 'more', text('z', 200_000)), 507, FULL)
    }
  })

  await t.test('what needs space to start says so: a new store, and one that was restored without its lock', async t => {
    for (const pages of [0, 1, 2, 3, 5, 8, 16]) {
      takeSpace(ballast)
      truncateSync(ballast, statSync(ballast).size - pages * 4096)
      await refused(t, join(disk, 'new'), /: no space left on (?:the disk|device)$/m)
    }
    server.signal('SIGKILL')
    await server.exited
    rmSync(join(directory, 'lock.mdb'))
    takeSpace(ballast)
    await refused(t, directory, /: no space left on device$/m)
  })

  await t.test('once there is space', async t => {
    truncateSync(ballast, statSync(ballast).size - 2 ** 16)
    server = launch(directory, logTo(log))
    url = await server.ready
    isRefusal(t, await ledger.put(url, 'before', text('x', 10)), 507, FULL)
    await readsGoOn(t)
    rmSync(ballast)
    t.equal((await ledger.put(url, 'after', text('x', 200_000))).status, 201, 'the first write after that')
    t.match(await command(url, 'KV_SET', { tkn: idle, keys: { a: 2 } }), { keys: { a: 21 } })
    t.strictSame(await ledger.faults(url), [])
    server.signal('SIGTERM')
    t.match(await server.exited, { code: 0, signal: null })
    t.strictSame(logOf(log).filter(({ level, msg, err }) => level !== 50 || msg !== 'a fault in the store' || !/^The disk is full/.test(err?.message ?? '')), [])
    for (const name of ['data', 'new']) {
      server = launch(join(disk, name))
      url = await server.ready
      if (name === 'data') t.strictSame(await ledger.faults(url), [])
      await stopped(t, server)
    }
  })
})

t.test('a disk that fails: 503, reads go on, and writes come back by themselves', INJECTS, async t => {
  const place = placeOf(t)
  const [directory, log] = [join(place, 'data'), join(place, 'log')]
  let server = launch(directory, logTo(log))
  let url = await server.ready
  const idle = await newSession(url, IDLE)
  const ledger = ledgerOf(await newSession(url))
  await ledger.put(url, 'a', '1')
  await ledger.put(url, 'b', '2')
  const faults = [
    ['fdatasync:error=EIO', 503, UNAVAILABLE, 'A transaction failed'],
    ['pwrite64,writev:retval=0', 503, UNAVAILABLE, 'A transaction failed'],
    ['fdatasync:error=ENOSPC', 507, FULL, 'The disk is full'],
    ['fdatasync:error=EDQUOT', 507, FULL, 'The disk is full'],
  ] as const
  for (const [index, [fault, http, st, message]] of faults.entries()) {
    await t.test(fault, async t => {
      const linesBefore = logOf(log).length
      const end = await inject(ownerOf(directory), join(directory, 'data.mdb'), fault)
      for (let times = 0; times < 3; times++) {
        isRefusal(t, await ledger.put(url, 'a', text('n', 10)), http, st)
        isRefusal(t, await ledger.put(url, 'new', text('n', 10_000)), http, st)
        isRefusal(t, await ledger.remove(url, 'b'), http, st)
        t.strictSame(await command(url, 'KV_SET', { tkn: ledger.tkn, keys: { new: 1 } }), { tkn: ledger.tkn, st, m: '' })
        t.match(await command(url, 'KV_GET', { tkn: idle, keys: ['a'] }), { keys: { a: index === 0 ? null : index } }, 'although it renews the idle deadline')
        t.equal((await rest(url, 'GET', '/ready')).status, 200)
        t.strictSame(await ledger.faults(url), [])
      }
      await end()
      const lines = logOf(log).slice(linesBefore)
      t.match(lines, [{ level: 50, err: { message: new RegExp(`^${message}`) } }], 'one line in the log for all of them')
      t.equal(lines.length, 1)
      t.match(await ledger.put(url, `after ${fault}`, `${index}`), { status: 201 }, 'the first write after that')
      t.match(await command(url, 'KV_SET', { tkn: idle, keys: { a: index + 1 } }), { keys: { a: index === 0 ? 20 : 21 } })
      t.strictSame(await ledger.faults(url), [])
    })
  }
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    server.signal(signal)
    await server.exited
    server = launch(directory)
    url = await server.ready
    t.strictSame(await ledger.faults(url), [])
  }
  await stopped(t, server)
})

// lmdb 3.5.6 damages its process's memory when such a call fails and its description of that comes out long, which depends on
// what happens to be in that memory.
t.test('a page that cannot be written: the server goes on, or says why and ends, and the next has all that was acknowledged', INJECTS, async t => {
  for (const [error, http, st] of [['EIO', 503, UNAVAILABLE], ['ENOSPC', 507, FULL], ['EROFS', 503, UNAVAILABLE]] as const) {
    await t.test(error, async t => {
      const directory = join(placeOf(t), 'data')
      let server = launch(directory)
      const url = await server.ready
      const ledger = ledgerOf(await newSession(url))
      for (const key of ['a', 'b', 'c']) await ledger.put(url, key, '1')
      const end = await inject(ownerOf(directory), join(directory, 'data.mdb'), `pwrite64,writev:error=${error}`)
      let isGoingOn = true
      for (let times = 0; times < 30 && isGoingOn; times++) {
        const reply = await ledger.put(url, 'a', text('n', 10_000 * (times % 2)))
        // It has a second for its last words.
        const ready = await rest(url, 'GET', '/ready').catch(() => undefined)
        isGoingOn = ready?.status === 200
        isRefusal(t, reply, isGoingOn ? http : 503, isGoingOn ? st : UNAVAILABLE)
        if (isGoingOn) t.strictSame(await ledger.faults(url), [])
      }
      if (isGoingOn) {
        await end()
        t.equal((await ledger.put(url, 'a', '2')).status, 204)
        server.signal('SIGTERM')
      }
      const { code, signal, stderr } = await server.exited
      await end()
      if (isGoingOn) t.match({ code, signal }, { code: 0, signal: null })
      else {
        t.ok(code === 1 || signal === 'SIGABRT', `${code ?? signal}: it ends at once or as soon as the damage is noticed`)
        t.match(logLines(stderr).find(({ level }) => level === 60), { msg: 'ending because the store cannot go on', err: { message: /damaged the memory of this process/ } })
      }
      server = launch(directory)
      t.strictSame(await ledger.faults(await server.ready), [])
      await stopped(t, server)
    })
  }
})

t.test('a meta page that cannot be written: the server says why and ends, and the next has all that was acknowledged', INJECTS, async t => {
  const directory = join(placeOf(t), 'data')
  let server = launch(directory)
  const url = await server.ready
  const ledger = ledgerOf(await newSession(url))
  await ledger.put(url, 'a', '1')
  await ledger.put(url, 'a', '2')
  // A transaction writes its pages, and then the meta page. What fails on the way there leaves everything as it was, so that the
  // next one makes the same calls, one more of which is let through. Many more than there are.
  const last = { key: 'a', text: '3' }
  let isGoingOn = true
  for (let calls = 0; calls < 20 && isGoingOn; calls++) {
    const end = await inject(ownerOf(directory), join(directory, 'data.mdb'), `pwrite64:retval=0:when=${calls + 1}`)
    isRefusal(t, await ledger.put(url, last.key, last.text), 503, UNAVAILABLE)
    // It has a second for its last words.
    const ready = await rest(url, 'GET', '/ready').catch(() => undefined)
    isGoingOn = ready?.status === 200
    if (isGoingOn) t.strictSame(await ledger.faults(url), [])
    else await server.exited
    await end()
  }
  const { code, signal, stderr } = await server.exited
  t.match({ code, signal }, { code: 1, signal: null })
  t.match(logLines(stderr).find(({ level }) => level === 60), { msg: 'ending because the store cannot go on', err: { message: /meta page.*MDB_PANIC/ } })
  t.notOk(readdirSync(directory).includes('closed.json'), 'it is checked again')
  server = launch(directory)
  t.strictSame(await ledger.faults(await server.ready, last), [])
  await stopped(t, server)
})

/** A directory with a store that was closed, which has the secret and one session with these keys. */
async function closedStore (t: Test, directory: string, keys: object): Promise<string> {
  const server = launch(directory)
  const url = await server.ready
  const tkn = await newSession(url, { shared: true })
  t.match(await command(url, 'KV_SET', { tkn, keys }), { tkn })
  await stopped(t, server)
  return tkn
}

t.test('damage: a status of its own, and a line in the log that says where and how much, and neither value nor token', async t => {
  const directory = join(placeOf(t), 'data')
  const data = join(directory, 'data.mdb')
  const tkn = await closedStore(t, directory, { secretive: 'needle', other: 1 })
  const bytes = readFileSync(data)
  for (let at = bytes.indexOf('needle'); at >= 0; at = bytes.indexOf('needle', at + 1)) bytes[at]! ^= 1
  writeFileSync(data, bytes)

  const server = launch(directory)
  const url = await server.ready
  isRefusal(t, await rest(url, 'GET', `/sessions/${tkn}/keys/secretive`), 500, DAMAGED)
  t.strictSame(await command(url, 'KV_GET', { tkn, keys: ['other', 'secretive'] }), { tkn, st: DAMAGED, m: '' })
  t.strictSame(await command(url, 'KV_GET', { tkn, keys: ['other'] }), { tkn, keys: { other: 1 } })
  t.match(await command(url, 'KV_SET', { tkn, keys: { secretive: 2 } }), { keys: { secretive: 21 } }, 'writing over it mends it')
  t.strictSame(await command(url, 'KV_GET', { tkn, keys: ['secretive'] }), { tkn, keys: { secretive: 2 } })
  server.signal('SIGTERM')
  const { code, stderr } = await server.exited
  t.equal(code, 0)
  const lines = logLines(stderr)
  t.match(lines, [
    { level: 50, err: { message: /^1 records in \S+ are damaged/ } },
    { level: 50, err: { message: /^The record of a key .*\(damaged records met since the start: 1\)$/ } },
    { level: 50, err: { message: /^The record of a key .*\(damaged records met since the start: 2\)$/ } },
  ])
  t.equal(lines.length, 3)
  for (const word of ['oeedle', 'needle', tkn]) t.notOk(stderr.includes(word))
})

/** Starts a server that has to refuse. @param through as of launch() */
async function refused (t: Test, directory: string, message: RegExp, { launch } = servers): Promise<void> {
  const { code, signal, stderr } = await launch(directory).exited
  t.match({ code, signal }, { code: 1, signal: null }, directory)
  t.match(stderr, /^holdfast: cannot open the data in [^\n]+\n$/)
  t.match(stderr, message)
}

t.test('directories that cannot be used: one line that says why, 1, and nothing is made', async t => {
  const place = placeOf(t)
  const entries = () => readdirSync(place, { recursive: true }).sort()
  writeFileSync(join(place, 'file'), 'x')
  mkdirSync(join(place, 'foreign'))
  writeFileSync(join(place, 'foreign', 'data.mdb'), 'SQLite format 3\0'.repeat(1_000))
  mkdirSync(join(place, 'newer'))
  writeFileSync(join(place, 'newer', 'holdfast.json'), '{"holdfast":"store","format":9,"instance":"x"}')
  mkdirSync(join(place, 'other'))
  writeFileSync(join(place, 'other', 'holdfast.json'), '{"holdfast":"export"}')
  const before = entries()
  await refused(t, join(place, 'file'), /: \S+ is a file and not a directory$/m)
  await refused(t, join(place, 'file', 'data'), /: \S+file is a file and not a directory$/m)
  await refused(t, '/proc/x', /: no such file or directory$/m)
  t.strictSame(entries(), before)
  await refused(t, join(place, 'foreign'), /: data\.mdb is damaged, or no file of LMDB's: /)
  await refused(t, join(place, 'newer'), /: it holds data of format 9; this version of Holdfast reads format 2$/m)
  await refused(t, join(place, 'other'), /: holdfast\.json is damaged, or not of Holdfast$/m)
  t.strictSame(entries().filter(name => !/\.lock$/.test(`${name}`)), before, 'but for the locks, without which nobody looks')

  await closedStore(t, join(place, 'd.o.t'), { a: 1 })
  t.ok(existsSync(join(place, 'd.o.t', 'data.mdb')), 'a dot in the name')
})

const nobody = otherUser()

t.test('a directory without the right to it', { skip: nobody.reason ?? false }, async t => {
  const place = placeOf(t)
  const servers = launcher(nobody.through)
  t.teardown(servers.end)
  chmodSync(place, 0o755)
  mkdirSync(join(place, 'closed'), { mode: 0 })
  mkdirSync(join(place, 'fixed'), { mode: 0o555 })
  const before = readdirSync(place).sort()
  for (const name of ['closed', 'closed/data', 'fixed', 'fixed/data']) await refused(t, join(place, name), /: permission denied$/m, servers)
  t.strictSame(readdirSync(place).sort(), before)

  const data = join(place, 'data')
  await closedStore(t, data, { a: 1 })
  chmodSync(data, 0o777)
  for (const name of readdirSync(data)) chmodSync(join(data, name), 0o666)
  for (const [name, mode] of [['data.mdb', 0], ['data.mdb', 0o444], ['lock.mdb', 0o444], ['lock.mdb', 0], ['holdfast.json', 0], ['owner.lock', 0o444], ['members.lock', 0], ['writer.lock', 0]] as const) {
    chmodSync(join(data, name), mode)
    await refused(t, data, /: permission denied$/m, servers)
    chmodSync(join(data, name), 0o666)
  }
})

t.test('a directory on a disk that is read-only', MOUNTS, async t => {
  const place = placeOf(t)
  const disk = mountTmpfs(place, 'disk', 'size=8m')
  await closedStore(t, join(disk, 'data'), { a: 1 })
  mount(place, 'disk', ['-o', 'remount,ro'])
  for (const name of ['data', 'new']) await refused(t, join(disk, name), /: read-only file system$/m)
  t.strictSame(readdirSync(disk), ['data'])
})

t.test('a store on a disk that is read-only can be looked at and copied, unless a server has it by another way', MOUNTS, async t => {
  const place = placeOf(t)
  const disk = mountTmpfs(place, 'disk', 'size=8m')
  const directory = join(disk, 'data')
  const entries = () => readdirSync(directory).sort()
  const server = launch(directory)
  await command(await server.ready, 'KV_SET', { tkn: await newSession(await server.ready), keys: { a: 1 } })
  const fixed = mount(place, 'fixed', ['--bind', disk])
  mount(place, 'fixed', ['-o', 'remount,ro,bind'])
  await t.rejects(dataStores.inspect(`lmdb:${fixed}/data`, Date.now()), { name: 'InputError', message: /^a server has it, .* read-only here: / })
  await stopped(t, server)
  t.match(await dataStores.inspect(`lmdb:${fixed}/data`, Date.now()), { keys: 1 })
  mount(place, 'fixed', ['-o', 'remount,rw,bind'])

  for (const missing of ['members.lock', 'lock.mdb', 'owner.lock', 'writer.lock']) {
    const before = entries()
    mount(place, 'disk', ['-o', 'remount,ro'])
    const backup = join(place, `without-${before.length}`)
    t.match(await dataStores.backup(`lmdb:${directory}`, backup, Date.now(), {}), { sessions: 1, keys: 1 })
    t.match(await dataStores.verify(`lmdb:${directory}`, {}), { damaged: 0 })
    t.match((await salvage(directory, Date.now())).losses, { faults: { count: 0 }, sessions: 0, keys: 0 })
    const source = await dataStores.open(`lmdb:${directory}`, 'export')
    t.match(await source.totals(Date.now()), { keys: 1 })
    await source.close()
    t.strictSame(entries(), before)
    mount(place, 'disk', ['-o', 'remount,rw'])
    rmSync(join(directory, missing))
  }
})

t.test('a second server on a directory is refused, told whose it is, and does not disturb the first', async t => {
  const directory = join(placeOf(t), 'data')
  const first = launch(directory)
  const url = await first.ready
  const ledger = ledgerOf(await newSession(url))
  await ledger.put(url, 'a', '1')
  const pid = ownerOf(directory)
  await refused(t, directory, new RegExp(`: process ${pid} on \\S+, since \\S+, has it$`, 'm'))
  t.equal(ownerOf(directory), pid)
  t.equal((await ledger.put(url, 'b', '2')).status, 201)
  t.strictSame(await ledger.faults(url), [])
  first.signal('SIGKILL')
  await first.exited
  const next = launch(directory)
  t.strictSame(await ledger.faults(await next.ready), [])
  t.not(ownerOf(directory), pid)
  await stopped(t, next)
})

const seed = process.env['FAULT_SEED'] === undefined ? seedOf() : Number(process.env['FAULT_SEED'])
const CASES = amount('FAULT_CASES', 100)

/** What came of a damaged store. */
type Kind = 'refused' | 'whole' | 'damaged'

/** Compares all that a server on a damaged store answers. @returns also what must not be */
async function tryDamaged (server: Server, contents: Contents, secret: boolean): Promise<{ kind: Kind, faults: string[] }> {
  const faults: string[] = []
  const url = await server.ready.catch(() => undefined)
  if (url === undefined) {
    const exit = await server.exited
    if (exit.code !== 1 || !/^holdfast: [^\n]+\n$/.test(exit.stderr)) faults.push(`it ended so: ${JSON.stringify(exit)}`)
    return { kind: 'refused', faults }
  }
  let kind: Kind = 'whole'
  try {
    const before = await survey(url, contents, secret)
    if (before.damaged > 0) kind = 'damaged'
    // Pages that are taken for free and are not would now be overwritten.
    const made = await command(url, 'SH_NEW', { name: 'further' })
    if (made['st'] === 1) {
      const ledger = ledgerOf(made['tkn'] as string) // PROTOCOL 4.
      for (let index = 0; index < 12; index++) {
        const { status } = await ledger.put(url, `k${index}`, text('f', index % 3 === 0 ? 30_000 : 300))
        if (status !== 201) faults.push(`a further key is answered ${status}`)
      }
      faults.push(...await ledger.faults(url))
    } else if (made['st'] !== DAMAGED) faults.push(`SH_NEW is ${JSON.stringify(made)}`)
    const after = await survey(url, contents, secret)
    faults.push(...before.wrong, ...after.wrong)
    if (after.damaged !== before.damaged) faults.push(`${before.damaged} answers were damaged, and ${after.damaged} after further writes`)
  } catch (error) {
    faults.push(String(error instanceof Error && error.cause !== undefined ? error.cause : error))
  }
  server.signal('SIGTERM')
  const { code, signal, stderr } = await server.exited
  if (code !== 0) faults.push(`it ended with ${code ?? signal}`)
  try {
    const lines = logLines(stderr)
    if (lines.some(({ level, msg }) => level !== 50 || msg !== 'a fault in the store')) faults.push(`its log says ${stderr.slice(0, 1_000)}`)
    if ((kind === 'damaged') !== lines.some(({ err }) => /damaged records met/.test(err?.message ?? ''))) faults.push(`its log says of the damage: ${stderr.slice(0, 1_000)}`)
  } catch (error) {
    faults.push(String(error))
  }
  return { kind, faults }
}

t.test(`damaged stores, seed ${seed}: refused in one line, or served without a wrong value; what is saved of them is right`, async t => {
  const place = placeOf(t)
  const original = join(place, 'original')
  let server = launch(original)
  let url = await server.ready
  const contents = await fill(url)
  await stopped(t, server)
  server = launch(original)
  url = await server.ready
  t.strictSame(await survey(url, contents, true), { damaged: 0, wrong: [] })
  await stopped(t, server)

  const random = randomOf(seed)
  const tally = { refused: 0, whole: 0, damaged: 0, wrong: 0 }
  const savings = { all: 0, some: 0, nothing: 0 }
  const cases = Array.from({ length: CASES }, (_, index) => ({ index, random: randomOf(random.below(2 ** 32)) }))
  await Promise.all([0, 1].map(async () => {
    const servers = launcher()
    t.teardown(servers.end)
    for (let next = cases.shift(); next !== undefined; next = cases.shift()) {
      const directory = copyOf(original, join(place, `case${next.index}`))
      const what = damage(directory, next.random)
      const secret = hasSecret(directory)
      const { saved, faults: salvageFaults } = await trySalvage(directory, join(place, `saved${next.index}`), contents)
      const { kind, faults } = await tryDamaged(servers.launch(directory), contents, secret)
      tally[kind]++
      savings[saved]++
      faults.push(...salvageFaults)
      if (kind !== 'refused' && (saved === 'all') !== (kind === 'whole')) faults.push(`served ${kind}, but ${saved} is saved`)
      if (faults.length > 0) {
        tally.wrong++
        t.fail(`case ${next.index}, ${what}: ${faults.slice(0, 5).join('; ')}`)
      }
      if (process.env['FAULT_CASES'] !== undefined) t.comment(`case ${next.index}, ${what}: ${kind}, saved: ${saved}`)
      rmSync(directory, { recursive: true })
    }
  }))
  const summary = `seed ${seed}: refused ${tally.refused}, served whole ${tally.whole}, served with damage ${tally.damaged}, wrong ${tally.wrong}; ` +
    `saved whole ${savings.all}, in part ${savings.some}, not at all ${savings.nothing}`
  t.comment(summary)
  console.log(summary)
  t.equal(tally.wrong, 0, summary)
  for (const kind of ['refused', 'whole', 'damaged'] as const) t.ok(tally[kind] > 0 || CASES < 100, `some were ${kind}`)
  for (const saved of ['all', 'some', 'nothing'] as const) t.ok(savings[saved] > 0 || CASES < 100, `of some ${saved} was saved`)
})
