// What was acknowledged is there after the process was killed, and no command is there in part. CRASH_ROUNDS and
// CRASH_WRITES say how much of it: see `npm run test:crash`. CRASH_SEED repeats the choices of a run, though not its moments.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { judge } from './judge.js'
import { cell, type State } from './model.js'
import { amount, randomOf, seedOf } from './random.js'
import { members } from './read-back.js'
import { check, kill, killDuringStarts, write, type Tally } from './rounds.js'
import { killAll, launch } from './server.js'
import { commonWriter, COMMON, randomWriter } from './writer.js'

const ROUNDS = amount('CRASH_ROUNDS', 5)
const WRITES = amount('CRASH_WRITES', 2_000)
const WRITERS = 16

t.test('the judge: what may be there passes, and everything else is reported', async t => {
  const before: State = new Map([['s', 'session'], [cell('s', 'a'), '9007199254740993'], [cell('s', 'b'), '1'], [cell('s', 'c'), '"c"']])
  const first = new Map(before).set(cell('s', 'a'), '2').set(cell('s', 'b'), '2')
  const second = new Map(first)
  second.delete(cell('s', 'c'))
  const candidates = [before, first, second]
  const changed = (state: State, change: (state: Map<string, string>) => unknown) => {
    const copy = new Map(state)
    change(copy)
    return copy
  }
  const kinds = (found: State, written?: (cell: string, text: string) => boolean) => judge(candidates, found, written).faults.map(({ kind }) => kind)

  for (const candidate of candidates) {
    const verdict = judge(candidates, new Map(candidate))
    t.strictSame(verdict.faults, [])
    t.equal(verdict.state, candidate)
  }
  t.strictSame(kinds(changed(before, state => state.delete(cell('s', 'b')))), ['lost'], 'a lost write')
  t.strictSame(kinds(changed(before, state => state.delete('s'))), ['lost'], 'a lost session')
  t.strictSame(kinds(changed(before, state => state.set(cell('s', 'a'), '2'))), ['torn'], 'a command on two keys, of which one was written')
  t.strictSame(kinds(changed(before, state => state.delete(cell('s', 'c')))), ['torn'], 'a second command without the first')
  t.strictSame(kinds(changed(before, state => state.set(cell('s', 'a'), '9007199254740992'))), ['altered'], 'an altered digit')
  t.strictSame(kinds(changed(before, state => state.set(cell('s', 'a'), '0')), (_, text) => text === '0'), ['lost'], 'an older value')
  t.strictSame(kinds(changed(before, state => state.set(cell('s', 'gone'), '1'))), ['resurrected'], 'a key that was removed')
  t.strictSame(kinds(changed(second, state => state.set('ended', 'session'))), ['resurrected'], 'a session that was ended')
  t.strictSame(kinds(new Map()), ['lost', 'lost', 'lost'], 'everything lost, and one key was being removed')

  const long = `"${'x'.repeat(100_000)}1"`
  const [fault] = judge([new Map([['key', long]])], new Map([['key', long.replace('1', '2')]])).faults
  t.match(fault!.message, /^"key" has to be "x+…x+1"… \(100003 characters\), and is "x+…x+2"… \(100003 characters\)$/, 'it says what differs')
})

t.test('the reading: values come in their exact text', async t => {
  t.strictSame([...members('{"a":18446744073709551615,"":{"b":[1.10,"}\\""],"c":{}},"\\u0061b":"\\\\"}')],
    [['a', '18446744073709551615'], ['', '{"b":[1.10,"}\\""],"c":{}}'], ['ab', '"\\\\"']])
  t.strictSame(members('{}'), new Map())
  for (const text of ['', '[]', '{"a":1', '{"a":1}}', '{"a" :1}', '{"a":1,}', '{"a":"x}']) t.throws(() => members(text), text)
})

const seed = seedOf()

t.test(`SIGKILL at any moment, seed ${seed}`, async t => {
  const place = mkdtempSync(join(tmpdir(), 'holdfast-crash-'))
  t.teardown(async () => {
    await killAll()
    rmSync(place, { recursive: true, force: true })
  })
  const directory = join(place, 'data')
  const random = randomOf(seed)
  const tally: Tally = { acknowledged: 0, kills: 0, orphans: 0, faults: [] }

  const common = commonWriter()
  let server = launch(directory)
  let url = await server.ready
  await write([common], url, tally, { enough: () => common.state.size > 0, killed: () => false })
  const writers = Array.from({ length: WRITERS }, (_, index) => randomWriter(`w${index}`, common.tokens.get(COMMON)!, randomOf(random.below(2 ** 32)), { mortals: true }))

  /** Lets the writers write until so many more writes are acknowledged, kills the server, starts it again and looks. */
  async function phase (writes: number, moment: 'at once' | 'mid-write' | 'idle'): Promise<void> {
    const goal = tally.acknowledged + writes
    const delay = moment === 'at once' ? 0 : random.below(30)
    let death: Promise<void> | undefined
    await write(writers, url, tally, {
      killed: () => death !== undefined,
      enough () {
        if (tally.acknowledged < goal) return false
        if (moment !== 'idle') death ??= delay === 0 ? kill(server, tally) : sleep(delay).then(async () => await kill(server, tally))
        return moment === 'idle'
      },
    })
    await (death ?? kill(server, tally))
    await killDuringStarts(directory, random, tally, usual)
    const begin = performance.now()
    server = launch(directory)
    url = await server.ready
    usual = performance.now() - begin
    await check([common, ...writers], url, tally)
  }
  let usual = 1_000

  for (let round = 1; round <= ROUNDS; round++) {
    // After the first answer, or when there is nothing to do.
    if (round % 2 === 1) await phase(1, 'at once')
    else await phase(50, 'idle')
    await phase(Math.max(1, Math.ceil((WRITES - tally.acknowledged) / (ROUNDS - round + 1))), 'mid-write')
    if (tally.faults.length > 20) break
  }
  server.signal('SIGTERM')
  t.match(await server.exited, { code: 0, signal: null, stderr: '' })

  for (const { kind, message } of tally.faults.slice(0, 20)) t.fail(`${kind}: ${message}`)
  const torn = tally.faults.filter(({ kind }) => kind === 'torn').length
  const summary = `acknowledged ${tally.acknowledged}, lost ${tally.faults.length - torn}, torn ${torn}, kills ${tally.kills}`
  t.comment(summary)
  console.log(summary)
  t.equal(tally.faults.length, 0, summary)
  t.ok(tally.acknowledged >= WRITES, `at least ${WRITES} writes were acknowledged`)
})
