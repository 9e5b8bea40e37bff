// The tests that every store has to pass, on the one of map-store.ts, and a server on it.
import { buildApp, createGateway } from 'holdfast'
import { storeSuite } from 'holdfast/store-suite'
import t from 'tap'
import { mapStore } from './map-store.js'

storeSuite(t, async () => ({ store: mapStore() }))

t.test('a server on it', async t => {
  const app = buildApp(await createGateway(mapStore()))
  t.teardown(async () => { await app.close() })
  const made = await app.inject({ method: 'POST', url: '/sessions', payload: { name: 'basket' } })
  t.equal(made.statusCode, 201)
  const { tkn } = made.json<{ tkn: string }>()
  t.equal((await app.inject({ method: 'PUT', url: `/sessions/${tkn}/keys/items`, payload: { value: ['tea'] } })).statusCode, 201)
  t.equal((await app.inject(`/sessions/${tkn}/keys/items`)).body, '{"value":["tea"]}')
})
