// What was acknowledged is there after a power cut. A server is recorded at work; then its directory is built again as cuts
// at random moments could have left it, unflushed writes dropped or torn, and a server is started on each. POWER_CUTS says
// how many: see `npm run test:crash`. CRASH_SEED repeats the choices of a run.
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { diskOf, LOCK, writeImage, type Fate, type Image, type Lie } from './disk.js'
import { inspect } from './inspect.js'
import type { Fault } from './judge.js'
import { launcher } from './hosted.js'
import { amount, randomOf, seedOf, type Random } from './random.js'
import { expectation, notRecordable, record, type Recording } from './recording.js'
import { killAll, launch, type Server } from './server.js'

const CUTS = amount('POWER_CUTS', 40)

/** Operations of each writer in each of two runs. */
const OPERATIONS = 60

/** Milliseconds after which a server on a broken disk counts as hanging: fifty times what it usually takes. */
const HANGS = 60_000

t.test('the disk: what was flushed is there, of the rest any sectors, and a name once its directory was flushed', async t => {
  const sectors = (letter: string, count: number) => Buffer.alloc(512 * count, letter)
  const disk = diskOf('/root')
  const events: Array<Parameters<typeof disk.take>[0]> = [
    { kind: 'open', path: '/root/a', creates: true, truncates: false, begin: 1, end: 1 },
    { kind: 'write', path: '/root/a', offset: 0, data: sectors('f', 2), synchronous: false, begin: 2, end: 2 },
    { kind: 'sync', path: '/root/a', begin: 3, end: 5 },
    { kind: 'write', path: '/root/a', offset: 'end', data: sectors('l', 2), synchronous: false, begin: 4, end: 4 },
    { kind: 'write', path: '/root/a', offset: 5 * 512, data: sectors('d', 2), synchronous: true, begin: 6, end: 6 },
    { kind: 'sync', path: '/root', begin: 7, end: 7 },
    { kind: 'rename', path: '/root/a', to: '/root/b', begin: 8, end: 8 },
  ]
  for (const event of events) disk.take(event)
  const random = randomOf(1)
  /** What there can be, in a letter for each sector. */
  const states = (moment: number) => [...new Set(Array.from({ length: 3_000 }, () => {
    const image = [...disk.after(moment, 'mixed', random)]
    return image.map(([name, content]) => `${name}:${content!.toString().replaceAll('\0', '-').replaceAll(/(.)\1{511}/g, '$1')}`).join()
  }))].sort()
  /** One of each of the parts after the other, in every combination. */
  const all = (...parts: ReadonlyArray<readonly string[]>) => parts.reduce((starts, ends) => starts.flatMap(start => ends.map(end => start + end)), ['']).map(state => state.replace(/-+$/, ''))
  const any = (letter: string) => ['--', `${letter}-`, `-${letter}`, letter + letter]

  t.strictSame(states(1), ['', 'a:'], 'while the file is created')
  t.strictSame(states(2), ['', ...all(['a:'], any('f'))].sort(), 'while it is written to')
  t.strictSame(states(5), ['', ...all(['a:'], any('f'), any('l'))].sort(), 'while it is flushed, and was written to meanwhile')
  t.strictSame(states(6), ['', ...all(['a:ff'], any('l'), ['-'], any('d'))].sort(), 'during a synchronous write')
  t.strictSame(states(7), ['', ...all(['a:ff'], any('l'), ['-dd'])].sort(), 'while its directory is flushed')
  t.strictSame(states(8), all(['a:ff', 'b:ff'], any('l'), ['-dd']).sort(), 'while it is renamed')
  t.strictSame(states(9), states(8), 'the new name was not flushed')
})

const seed = seedOf()
const reason = notRecordable()

t.test(`power cuts at any moment, seed ${seed}`, { skip: reason ?? false }, async t => {
  const place = mkdtempSync(join(tmpdir(), 'holdfast-power-cut-'))
  t.teardown(async () => {
    await killAll()
    rmSync(place, { recursive: true, force: true })
  })
  const random = randomOf(seed)
  const recording = await record(place, random, OPERATIONS)
  const { disk, directory, runs } = recording

  await t.test('the record is complete: with everything kept it gives the directory that is there', async t => {
    t.strictSame(shapeOf(disk.after(Infinity, 'kept', random)), shapeOf(imageOf(directory)))
    t.ok(imageOf(directory).size >= 2)
  })

  await t.test('every state starts, and nothing that was acknowledged is lost', async t => {
    const tally = { states: 0, acknowledged: 0, faults: [] as Array<Fault & { readonly moment: number }> }
    const cuts = chooseCuts(recording, random)
    await Promise.all([0, 1].map(async () => {
      const servers = launcher()
      t.teardown(servers.end)
      for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) {
        const { moment } = cut
        const { faults, acknowledged } = await tryState(recording, cut, place, random, servers.launch)
        tally.states++
        tally.acknowledged += acknowledged
        tally.faults.push(...faults.map(fault => ({ ...fault, moment })))
      }
    }))
    for (const { kind, message, moment } of tally.faults.slice(0, 20)) t.fail(`${kind}, cut at ${moment} of ${runs.join()}: ${message}`)
    const lost = tally.faults.filter(({ kind }) => kind === 'lost' || kind === 'resurrected').length
    const summary = `states ${tally.states}, acknowledged ${tally.acknowledged}, lost ${lost}, corrupt ${tally.faults.length - lost}`
    t.comment(summary)
    console.log(summary)
    t.equal(tally.faults.length, 0, summary)
  })

  for (const about of ['flushes', 'everything'] as const) {
    await t.test(`the check sees a fault: a disk that lies about ${about} loses something`, async t => {
      const written = recording.moments.filter(moment => moment < runs[1]!)
      let faults = 0
      for (let tries = 1; tries <= 5 && faults === 0; tries++) {
        // Lying for the second half of a run, so that there is much to lose, and a cut near its end.
        const lie = { from: written[written.length >> 1]!, about }
        faults = (await tryState(recording, { moment: written.at(-7 * tries)!, fate: 'dropped' }, place, random, launch, lie)).faults.length
      }
      t.ok(faults > 0)
    })
  }
})

type Launch = (directory: string) => Server

interface Cut { readonly moment: number, readonly fate: Fate }

/** Mostly while commits are under way, or just after an answer; some during creation, the second start, and the stop. */
function chooseCuts ({ moments, parts, runs }: Recording, random: Random): Cut[] {
  const answers = parts.flatMap(({ done }) => done.map(({ acknowledged }) => acknowledged)).sort((a, b) => a - b)
  const again = answers.findIndex(answer => answer > runs[1]!)
  const between = (from: number, to: number) => moments.filter(moment => moment >= from && moment <= to)
  const restart = between(answers[again - 1]!, answers[again]!)
  const stop = between(answers.at(-1)!, Infinity)
  // Each step of the creation is tried once before any is tried twice: few of them leave a file that is there in part.
  const creation = between(0, answers[0]!)
  const steps: number[] = []

  return Array.from({ length: CUTS }, (): Cut => {
    const fate = random.pick(['mixed', 'mixed', 'dropped', 'kept'] as const)
    switch (random.below(10)) {
      case 0: case 1: {
        if (steps.length === 0) steps.push(...creation)
        return { moment: steps.splice(random.below(steps.length), 1)[0]!, fate: 'mixed' }
      }
      case 2: if (restart.length > 0) return { moment: random.pick(restart), fate }; break
      case 3: if (stop.length > 0) return { moment: random.pick(stop), fate }; break
      case 4: case 5: case 6: return { moment: random.pick(answers) + 1, fate }
    }
    return { moment: random.pick(moments), fate }
  })
}

/** Builds a state, starts a server on it, and has it inspected. */
async function tryState (recording: Recording, { moment, fate }: Cut, place: string, random: Random, launch: Launch, lie?: Lie): Promise<{ faults: Fault[], acknowledged: number }> {
  const directory = mkdtempSync(join(place, 'state-'))
  writeImage(recording.disk.after(moment, fate, random, lie), directory)
  const server = launch(join(directory, 'data'))
  const done = new AbortController()
  const hangs = sleep(HANGS, undefined, { signal: done.signal }).then(() => { throw new Error('the server hangs') })
  const faults = await Promise.race([hangs, server.ready.then(async url => await inspect(recording, moment, url))])
    // It does not start, or answers with a failure.
    .catch((error): Fault[] => [{ kind: 'altered', message: String(error) }])
    .finally(() => done.abort())
  hangs.catch(() => {})
  server.signal(faults.length === 0 ? 'SIGTERM' : 'SIGKILL')
  const exit = await server.exited
  if (faults.length === 0 && (exit.code !== 0 || exit.stderr !== '')) faults.push({ kind: 'altered', message: `it does not stop well: ${JSON.stringify(exit)}` })
  rmSync(directory, { recursive: true, force: true })
  return { faults, acknowledged: recording.parts.reduce((sum, part) => sum + expectation(part, moment).writes, 0) }
}

function imageOf (directory: string): Image {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true })
  return new Map(entries.map(entry => [relative(directory, join(entry.parentPath, entry.name)), entry.isDirectory() ? null : readFileSync(join(entry.parentPath, entry.name))]))
}

/** What of an image can be compared: not the locks. */
function shapeOf (image: Image): Record<string, string> {
  const compared = [...image].filter(([path]) => !LOCK.test(path))
  return Object.fromEntries(compared.map(([path, content]) => [path, content === null ? 'directory' : `${content.length} bytes, ${createHash('sha256').update(content).digest('hex')}`]))
}
