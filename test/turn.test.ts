// Replies of one turn of the event loop go out together, and a client that is alone does not wait.
import { setImmediate as nextTurn } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { sendTogether } from '../routes/turn.js'

/** Waits until the turn of earlier requests has ended. */
const pause = async () => await nextTurn()

/** A server that notes when a request is handled and when its reply is written. `later` answers in a later turn. */
async function noting (t: Test, report: (error: unknown) => void = () => {}) {
  const app = Fastify()
  const events: string[] = []
  sendTogether(app, report)
  const note = (id: string, reply: { raw: { once (event: 'finish', listener: () => void): unknown } }): void => {
    events.push(`handled ${id}`)
    reply.raw.once('finish', () => events.push(`sent ${id}`))
  }
  app.get<{ Params: { id: string } }>('/now/:id', ({ params: { id } }, reply) => {
    note(id, reply)
    return 'now'
  })
  app.get<{ Params: { id: string } }>('/later/:id', async ({ params: { id } }, reply) => {
    note(id, reply)
    await nextTurn()
    events.push(`answered ${id}`)
    return 'later'
  })
  const onRequest = ({ params }: { params: unknown }, _reply: unknown, done: () => void): void => {
    setImmediate(() => events.push(`turn ended ${(params as { id: string }).id}`)) // As the route has it.
    done()
  }
  app.get<{ Params: { id: string } }>('/beside/:id', { onRequest }, ({ params: { id } }, reply) => {
    note(id, reply)
    return 'now'
  })
  app.get('/unsendable', (_request, reply) => {
    reply.raw.writeHead = () => { throw new Error('cannot be sent') }
    return 'never'
  })
  const get = async (...urls: string[]): Promise<string[]> => {
    events.length = 0
    for (const { statusCode } of await Promise.all(urls.map(async url => await app.inject(url)))) if (statusCode !== 200) events.push(`${statusCode}`)
    await pause()
    return [...events]
  }
  t.teardown(async () => await app.close())
  await app.ready()
  return get
}

t.test('after a turn with several requests the replies of a turn wait for each other', async t => {
  const get = await noting(t)
  await get('/now/1', '/now/2')
  t.strictSame(await get('/now/a', '/now/b', '/now/c'), ['handled a', 'handled b', 'handled c', 'sent a', 'sent b', 'sent c'])
})

t.test('one that is answered in a later turn goes at once', async t => {
  const get = await noting(t)
  await get('/now/1', '/now/2')
  const events = await get('/later/a', '/later/b')
  t.strictSame(events.slice(0, 2), ['handled a', 'handled b'])
  t.strictSame(events.slice(2), ['answered a', 'sent a', 'answered b', 'sent b'], 'before the other has its answer')
})

t.test('one alone is not held', async t => {
  const get = await noting(t)
  await get('/now/1')
  t.strictSame(await get('/beside/a'), ['handled a', 'sent a', 'turn ended a'])
  await get('/now/1', '/now/2')
  t.strictSame(await get('/beside/a'), ['handled a', 'turn ended a', 'sent a'], 'unless there were several the turn before')
  t.strictSame(await get('/beside/a'), ['handled a', 'sent a', 'turn ended a'])
})

t.test('a reply that cannot be sent is reported, and leaves the others alone', async t => {
  const reported: unknown[] = []
  const get = await noting(t, error => reported.push(error))
  await get('/now/1', '/now/2')
  const lost = get('/unsendable').catch(() => 'lost')
  t.strictSame(await get('/now/a', '/now/b'), ['handled a', 'handled b', 'sent a', 'sent b'])
  t.match(reported, [{ message: 'cannot be sent' }])
  t.equal(reported.length, 1)
  t.equal(await lost, 'lost', 'its connection is closed')
})

t.test('hooks that come after it see the server as it is when a held reply is sent', async t => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  let isLater = false
  sendTogether(app, () => {})
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isLater) reply.header('x-later', 'yes')
    done(null, payload)
  })
  const onRequest = (_request: unknown, _reply: unknown, done: () => void): void => {
    setImmediate(() => { isLater = true })
    done()
  }
  app.get('/', { onRequest }, () => 'now')
  await app.ready()
  const two = async () => (await Promise.all([app.inject('/'), app.inject('/')])).map(({ headers }) => headers['x-later'])
  t.strictSame(await two(), [undefined, undefined], 'nothing is held yet')
  await pause()
  isLater = false
  t.strictSame(await two(), ['yes', 'yes'])
})
