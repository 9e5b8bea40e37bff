// The clock that deadlines go by, with time sources of the test's own, and in the real server whose wall clock jumps.
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { clockFrom, startOfTime, thisMoment, watchForJumps } from '../../src/clock.js'
import { createGateway } from '../../src/protocol/gateway.js'
import { memoryStore } from '../../src/stores/memory.js'
import { command, start } from './processes.js'

const HOUR = 3_600_000

t.test('time is that of the wall at the start, and then what has elapsed', async t => {
  const time = { wall: 1_796_000_000_000, elapsed: 5_000.25 }
  const sources = { wall: () => time.wall, elapsed: () => time.elapsed }
  const now = clockFrom(thisMoment(sources), sources)
  t.equal(now(), 1_796_000_000_000)
  time.elapsed += 0.9
  t.equal(now(), 1_796_000_000_000, 'whole milliseconds')
  time.elapsed += 0.1
  t.equal(now(), 1_796_000_000_001)
  for (const jump of [HOUR, -2 * HOUR]) {
    time.wall += jump
    t.equal(now(), 1_796_000_000_001)
  }
  time.elapsed += HOUR
  t.equal(now(), 1_796_000_000_001 + HOUR)
})

t.test('all who count from one moment agree', async t => {
  const time = { wall: 1_796_000_000_000, elapsed: 5_000.7 }
  const sources = { wall: () => time.wall, elapsed: () => time.elapsed }
  const since = thisMoment(sources)
  const first = clockFrom(since, sources)
  time.wall += HOUR
  time.elapsed += 0.6
  // Another process gets it as JSON.
  const second = clockFrom(JSON.parse(JSON.stringify(since)), sources)
  for (let step = 0; step < 100; step++, time.elapsed += 0.07) t.equal(first(), second())
})

t.test('the clock of the machine', async t => {
  const before = Date.now()
  const now = clockFrom(startOfTime(message => t.fail(message)))
  const first = now()
  t.ok(Number.isInteger(first))
  t.ok(first >= before && first <= Date.now() + 1)
  let last = first
  for (let call = 0; call < 10_000; call++) {
    const next = now()
    if (next < last) t.fail('it goes back')
    last = next
  }
  const gateway = await createGateway(memoryStore())
  t.ok(Math.abs(gateway.now() - now()) <= 1000, 'a gateway has it')
})

t.test('each jump of the wall clock is warned of once', async t => {
  const time = { now: 1e12, wall: 1e12 }
  const warnings: string[] = []
  const look = watchForJumps(() => time.now, message => warnings.push(message), () => time.wall)
  const after = (jump: number) => {
    time.wall += jump
    look()
    look()
    return warnings.length
  }
  t.strictSame([0, 4_000, -8_000, 4_000].map(after), [0, 0, 0, 0], 'what a clock is corrected by as a rule')
  t.equal(after(HOUR), 1)
  t.match(warnings[0], /^the wall clock is 3600 s ahead of the time that deadlines go by, .*restart/)
  t.equal(after(100), 1)
  t.equal(after(-2 * HOUR), 2)
  t.match(warnings[1], /^the wall clock is 3600 s behind the time/)
  t.equal(after(HOUR), 3)
  t.match(warnings[2], /^the wall clock is 0 s /)
})

/** libfaketime, where Debian has it. */
function faketime (): string | undefined {
  const root = '/usr/lib'
  const files = (existsSync(root) ? readdirSync(root) : []).map(name => join(root, name, 'faketime/libfaketime.so.1'))
  return [join(root, 'faketime/libfaketime.so.1'), ...files].find(file => existsSync(file))
}

const LIBRARY = faketime()

/** Sets the wall clock of processes so many seconds ahead, by a file. */
function setWall (file: string, offset: number): void {
  writeFileSync(file, `${offset < 0 ? '' : '+'}${offset}`)
}

/** Has a process go by that wall clock. Node aborts without the last of these. */
function wallFrom (file: string): NodeJS.ProcessEnv {
  return { LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}

/** Seconds that the wall clock of whoever answers is ahead of ours. */
async function ahead (url: string): Promise<number> {
  const { headers } = await fetch(`${url}/ready`)
  return (Date.parse(headers.get('date') ?? '') - Date.now()) / 1e3
}

t.test('the wall clock of a server jumps', { skip: LIBRARY === undefined && 'libfaketime is needed: apt-get install faketime' }, async t => {
  const cwd = t.testdir()
  const file = join(cwd, 'faketimerc')
  const env = wallFrom(file)
  setWall(file, 0)
  const first = start(t, ['--port', '0', '--workers', '2', '--log-level', 'info'], { cwd, env })
  const url = await first.ready()
  const newSession = async (duration: number) => await command(url, 'SH_NEW', { name: 'x', expiry: { duration, deleteSession: true } })
  const { tkn: long } = await newSession(1800)
  const { tkn: brief } = await newSession(1)
  while ((await command(url, 'SH_INFO', { tkn: brief })).st !== 100) await sleep(50)
  const before = await command(url, 'SH_INFO', { tkn: long })

  setWall(file, 3600)
  while (await ahead(url) < 3500) await sleep(50)
  t.strictSame(await command(url, 'SH_INFO', { tkn: long }), before, 'no session ends early')
  t.match(before, { st: 1, expiry: { time: Number } })
  const { expiry } = before as { expiry: { time: number } } // As it has just been matched.
  t.ok(Math.abs(expiry.time - (Date.now() / 1000 + 1800)) < 600, 'its end is half an hour away')
  // Workers that start now count from the same moment.
  const workers = first.log().filter(({ msg }) => / serves$/.test(msg)).map(({ worker }) => worker!)
  for (const worker of workers) process.kill(worker, 'SIGKILL')
  await first.until('stderr', () => first.log().filter(({ msg }) => / serves$/.test(msg)).length === 4 ? true : undefined)
  t.strictSame(await command(url, 'SH_INFO', { tkn: long }), before, 'whoever answers')
  t.match(await first.stop('SIGTERM'), { code: 0 })

  setWall(file, -3600)
  const second = start(t, ['--port', '0'], { cwd, env })
  const again = await second.ready()
  t.ok(await ahead(again) < -3500)
  t.match(await command(again, 'SH_INFO', { tkn: brief }), { st: 100 }, 'none that was seen ended lives again')
  t.match(await command(again, 'SH_INFO', { tkn: long }), { st: 1 })
  t.match(await second.stop('SIGTERM'), { code: 0 })

  setWall(file, 3600)
  const third = start(t, ['--port', '0'], { cwd, env })
  t.match(await command(await third.ready(), 'SH_INFO', { tkn: long }), { st: 100 }, 'a restart takes on the wall time')
  t.match(await third.stop('SIGTERM'), { code: 0 })
})
