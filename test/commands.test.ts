import t from 'tap'
import { buildApp } from '../src/app.js'
import { COMMAND_NAMES } from '../src/commands/index.js'
import { executeAll, executeOne } from '../src/envelope.js'
import { createGateway } from '../src/protocol/gateway.js'
import type { SessionStore } from '../src/session.js'
import { StatusError, statusName, STATUSES, type StatusName } from '../src/status.js'
import { lmdbStore } from '../src/stores/lmdb/open.js'
import { memoryStore } from '../src/stores/memory.js'
import { ADMIN } from './callers.js'
import { ENVELOPES } from './cases.js'
import { waitingStore } from './process/waiting-store.js'
import { overriding } from './overriding.js'
import { gatewayAt, playAll, seenCommands, seenStatuses } from './play.js'

playAll(t, 'memory', async () => memoryStore())
playAll(t, 'lmdb', async t => await lmdbStore(t.testdir()))

t.test('envelopes that no command can be blamed for', async t => {
  const app = buildApp(await gatewayAt(memoryStore()))
  for (const [body, http, expected] of ENVELOPES) {
    const { statusCode, payload } = await app.inject({ method: 'POST', url: '/command', headers: { 'content-type': 'application/json' }, payload: body })
    t.strictSame([statusCode, payload], [http, expected], body)
    const { ERR, ...replies } = JSON.parse(payload) as Record<string, { st?: number }>
    const { st } = ERR ?? Object.values(replies)[0] ?? {}
    if (st !== undefined) seenStatuses.add(statusName(st))
  }
})

t.test('what does not fit into a reply or a value is refused, and changes nothing', async t => {
  const gateway = await gatewayAt(memoryStore())
  const run = async (body: string, execute = executeOne): Promise<string | undefined> =>
    (await execute(gateway, ADMIN, Buffer.from(body), error => { throw error })).text
  const MIB = 1024 * 1024
  const text = `"${'x'.repeat(14 * MIB)}"`
  await run('{"SH_NEW":{"name":"big"}}')
  for (const key of ['a', 'b', 'c', 'd', 'e']) await run(`{"KV_SETQ":{"tkn":"T1","keys":{"${key}":${text}}}}`)

  t.equal(await run('{"KV_GET":{"tkn":"T1","keys":["a","b","c","d","e"]}}'), '{"KV_GET_RSP":{"tkn":"T1","st":42,"m":"keys"}}')
  t.equal(await run('{"KV_FIND":{"tkn":"T1","path":"","==":1}}'), '{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"keys"}}')
  const batch = await run(`[${Array(5).fill('{"KV_GET":{"tkn":"T1","keys":["a"]}}').join(',')},{"KV_COUNT":{"tkn":"T1"}}]`, executeAll)
  t.ok(batch?.endsWith('}},{"KV_GET_RSP":{"tkn":"T1","st":42,"m":""}},{"KV_COUNT_RSP":{"st":1,"tkn":"T1","cnt":5}}]'))

  t.equal(await run(`{"KV_APPEND":{"tkn":"T1","keys":{"a":"${'y'.repeat(2 * MIB)}"}}}`), '{"KV_APPEND_RSP":{"tkn":"T1","keys":{"a":42}}}')
  await run(`{"KV_SETQ":{"tkn":"T1","keys":{"list":[${Array(20).fill(0).join(',')}],"o":{"a":${text}}}}}`)
  const long = `"${'y'.repeat(MIB)}"`
  t.equal(await run(`{"KV_UPDATE":{"tkn":"T1","key":"list","path":"$[*]","value":${long}}}`), '{"KV_UPDATE_RSP":{"tkn":"T1","st":42,"m":"value"}}')
  t.equal(await run(`{"KV_MERGE":{"tkn":"T1","keys":{"o":{"b":${long},"c":${long}}}}}`), '{"KV_MERGE_RSP":{"tkn":"T1","keys":{"o":42}}}')
  t.equal(await run('{"KV_FIND":{"tkn":"T1","path":"/19","==":0,"keys":["list"]}}'), '{"KV_FIND_RSP":{"tkn":"T1","keys":["list"]}}')
})

t.test('a batch whose client has left is not carried out to its end', async t => {
  const gateway = await gatewayAt(memoryStore())
  const run = async (body: string, isGone: () => boolean): Promise<string | undefined> =>
    (await executeAll(gateway, ADMIN, Buffer.from(body), error => { throw error }, { isGone })).text
  const find = '{"KV_FIND":{"tkn":"T1","path":"$[?match(@, \'(a+)+b\')]","rsp":"keys"}}'
  const batch = `[${find},{"KV_ADD":{"tkn":"T1","keys":{"later":1}}}]`
  await run(`[{"SH_NEW":{"name":"x"}},{"KV_SET":{"tkn":"T1","keys":{"a":["${'a'.repeat(64)}"]}}}]`, () => true)
  t.equal(await run(batch, () => true), '[{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"path"}}]')
  t.equal(await run(batch, () => false), '[{"KV_FIND_RSP":{"tkn":"T1","st":42,"m":"path"}},{"KV_ADD_RSP":{"tkn":"T1","keys":{"later":20}}}]')
})

t.test('writes of a batch are under way together, a hundred at most, and whatever could meet them waits', async t => {
  const groups = [100, 50, 2, 1, 1, 1] // So many are under way before the store answers any of them.
  let waiting: Array<() => void> = []
  let found = 0
  const memory = memoryStore()
  const slow: SessionStore = overriding<Pick<SessionStore, 'create' | 'find'>>(memory, {
    async create (...given) {
      await new Promise<void>(resolve => {
        waiting.push(resolve)
        t.ok(waiting.length <= (groups[0] ?? 0))
        if (waiting.length !== groups[0]) return
        for (const answer of waiting) answer()
        groups.shift()
        waiting = []
      })
      return await memory.create(...given)
    },
    async find (...given) {
      t.equal(waiting.length, 0)
      found++
      return await memory.find(...given)
    },
  })
  const gateway = await gatewayAt(slow)
  const run = async (envelopes: readonly object[]): Promise<any[]> =>
    JSON.parse((await executeAll(gateway, ADMIN, Buffer.from(JSON.stringify(envelopes)), error => { throw error })).text ?? '')
  const news = (count: number): object[] => Array(count).fill({ SH_NEW: { name: 'x' } })

  const replies = await run([...news(150), { SH_EXISTS: { tkns: ['T1', 'T150', 'T151'] } }, ...news(2)])
  t.equal(found, 3)
  t.strictSame(replies.slice(148, 152).map(reply => reply.SH_NEW_RSP?.tkn ?? reply), ['T149', 'T150', { SH_EXISTS_RSP: { st: 1, exist: ['T1', 'T150'] } }, 'T151'])

  const shared = { SH_NEW: { name: 'x', shared: true } }
  const [{ SH_NEW_RSP: { tkn } }, , again] = await run([shared, ...news(1), shared])
  t.equal(again.SH_NEW_RSP.tkn, tkn, 'a shared session can be met by its name')
  t.strictSame(groups, [])
})

t.test('the secret of a store that has to be waited for is fetched at the first need of it, once', async t => {
  const { store, tell } = waitingStore()
  let fetched = 0
  const counting: SessionStore = overriding<Pick<SessionStore, 'opened' | 'secret'>>(memoryStore(), {
    opened: Promise.resolve(),
    async secret (make) {
      fetched++
      return await store.secret(make)
    },
  })
  const gateway = await createGateway(counting)
  t.equal(fetched, 0)
  await t.rejects(Promise.all(['a', 'b'].map(gateway.sharedToken)), new StatusError('StoreUnavailable', '', 'Nothing was tried.'))
  t.equal(fetched, 1, 'one attempt for all')
  tell(undefined)
  const tokens = await Promise.all(['a', 'b', 'a'].map(gateway.sharedToken))
  t.equal(fetched, 2, 'one that failed is not kept')
  t.strictSame([tokens[0], tokens[1]?.length], [tokens[2], 22])
  t.not(tokens[0], tokens[1])
  t.equal(await gateway.sharedToken('b'), tokens[1])
  t.equal(fetched, 2)
  t.equal(await (await createGateway(counting)).sharedToken('b'), tokens[1], 'every gateway has the same')
  await t.rejects(createGateway(overriding(memoryStore(), { secret: async () => { throw new Error('damaged') } })), { message: 'damaged' }, 'another store has it at once')
})

/** Statuses that need a limit, an API key, a store that fails, a precondition or a fault: other tests produce them, or later issues. */
const ELSEWHERE: readonly StatusName[] = ['LimitExceeded', 'StoreUnavailable', 'PreconditionFailed', 'Unauthorized', 'Forbidden', 'DataDamaged', 'Unknown']

t.test('every command and every status was seen', async t => {
  t.strictSame(COMMAND_NAMES.filter(name => !seenCommands.has(name)), [])
  const names = Object.keys(STATUSES) as StatusName[] // The table's own keys.
  t.strictSame(names.filter(name => !seenStatuses.has(name) && !ELSEWHERE.includes(name)), [])
  t.strictSame(ELSEWHERE.filter(name => seenStatuses.has(name)), [])
})
