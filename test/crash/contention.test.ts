// Several processes write to one directory, and one after the other is killed: the others go on, and miss nothing of what they
// wrote. LMDB's lock alone does not see to that (see writer-lock.ts). CRASH_CONTENTIONS says how many are killed. With CRASH_STALLS
// writers are killed first that have only LMDB's between them, until so many of the others slept on; then as many as that took.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { openReader } from '../../src/stores/lmdb/reader.js'
import { lmdbStore } from '../../src/stores/lmdb/open.js'
import { amount, randomOf, seedOf, type Random } from './random.js'
import { UNCOUNTED } from './server.js'

const KILLS = amount('CRASH_CONTENTIONS', 5)
const STALLS = process.env['CRASH_STALLS'] === undefined ? 0 : amount('CRASH_STALLS', 10)

/** So many writers that one can sleep while another is killed and a third one writes. */
const WRITERS = 3

/** Milliseconds without a transaction after which a writer is taken to sleep: ten thousand times what one takes. */
const ASLEEP_MS = 2_000

/** Where commits take so little time that the writers wait for nothing but each other. */
const MEMORY = '/dev/shm'

type Way = 'bare' | 'guarded'

interface Contender {
  readonly child: ChildProcess
  /** Resolves once it can write, which it does when it is asked for the first time. */
  readonly opened: Promise<unknown>
  /** Resolves once it has written again. Rejects when it ends before. */
  writes (): Promise<unknown>
}

function start (directory: string, way: Way): Contender {
  const [execPath, ...execArgv] = [...UNCOUNTED, process.execPath]
  const child = fork(fileURLToPath(new URL('contender.js', import.meta.url)), [directory, way], { execPath: execPath!, execArgv })
  const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`a writer ended: ${code ?? signal}`) })
  ended.catch(() => {})
  const answer = async () => await Promise.race([once(child, 'message'), ended])
  const opened = answer()
  opened.catch(() => {})
  return {
    child,
    opened,
    async writes () {
      child.send('', () => {})
      await answer()
    },
  }
}

async function end ({ child }: Contender): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** Has writers contend, and kills one after the other until `enough` says so; how many were killed, and how many others slept on. */
async function contend (t: Test, way: Way, random: Random, enough: (kills: number, stalls: number) => boolean): Promise<{ kills: number, stalls: number }> {
  const place = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'holdfast-contention-'))
  const directory = join(place, 'data')
  const writers: Contender[] = []
  t.teardown(async () => {
    await Promise.all(writers.map(end))
    rmSync(place, { recursive: true })
  })
  await (await lmdbStore(directory)).close()
  const tally = { kills: 0, stalls: 0 }
  while (!enough(tally.kills, tally.stalls)) {
    // Without the store's lock the data is not safe from whoever opens it while others write.
    if (way === 'bare') await Promise.all(writers.splice(0).map(end))
    while (writers.length < WRITERS) writers.push(start(directory, way))
    await Promise.all(writers.map(async ({ opened }) => await opened))
    await Promise.all(writers.map(async ({ writes }) => await writes()))
    await sleep(random.below(20))
    const [killed] = writers.splice(random.below(WRITERS), 1)
    await end(killed!)
    tally.kills++
    for (const writer of writers) if (await sleeps(writer, way)) tally.stalls++
    if (way === 'guarded') await (await openReader(directory)).close()
  }
  return tally
}

/** Whether a writer slept on, and so had to be woken. */
async function sleeps ({ child, writes }: Contender, way: Way): Promise<boolean> {
  const writing = writes()
  // With the store's lock nobody has to be woken: one that sleeps keeps the test from ending.
  if (way === 'guarded' || await Promise.race([writing.then(() => false), sleep(ASLEEP_MS, true)]) === false) {
    await writing
    return false
  }
  // What it waits with comes back then, and looks at the lock once more.
  child.kill('SIGSTOP')
  child.kill('SIGCONT')
  await writing
  return true
}

const seed = seedOf()
let kills = KILLS

if (STALLS > 0) {
  t.test(`with LMDB's lock alone others sleep on, seed ${seed}`, async t => {
    const tally = await contend(t, 'bare', randomOf(seed), (_kills, stalls) => stalls >= STALLS)
    t.comment(`${tally.stalls} writers slept on, of ${tally.kills} that were killed`)
    console.log(tally)
    kills = Math.max(kills, tally.kills)
  })
}

t.test(`writers that are killed while others wait: these go on, seed ${seed}`, async t => {
  const tally = await contend(t, 'guarded', randomOf(seed), count => count >= kills)
  t.comment(`${tally.kills} writers were killed`)
  t.strictSame(tally, { kills, stalls: 0 })
})
