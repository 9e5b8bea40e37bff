// Small helpers that several folders of src use.
import t from 'tap'
import { authority } from '../src/authority.js'
import { BigSet } from '../src/big-set.js'
import { promiseWithResolvers } from '../src/promise.js'
import { ToldFaults } from '../src/told-faults.js'
import { idOf } from './store-suite.js'

t.test('a host and a port', async t => {
  t.strictSame([authority('h', 1), authority('::1', 65_535)], ['h:1', '[::1]:65535'])
})

t.test('a set of ids', async t => {
  const set = new BigSet()
  const ids = Array.from({ length: 1_000 }, (_, n) => idOf(n))
  t.ok(ids.every(id => set.add(id)))
  t.notOk(ids.some(id => set.add(id)))
})

t.test('a promise with its resolvers', async t => {
  const [good, bad] = [promiseWithResolvers<number>(), promiseWithResolvers<void>()]
  good.resolve(1)
  bad.reject(new Error('why'))
  t.equal(await good.promise, 1)
  await t.rejects(bad.promise, { message: 'why' })
})

t.test('faults are told once, until they are over or some time has passed', async t => {
  const told = new ToldFaults()
  t.strictSame([told.isNew('a'), told.isNew('a'), told.isNew('b'), told.size], [true, false, true, 2])
  told.forget('a')
  t.strictSame([told.isNew('b'), told.isNew('a')], [false, true])
  told.forget()
  t.strictSame([told.size, told.isNew('a'), told.isNew('b')], [0, true, true])
  const again = new ToldFaults(0)
  t.strictSame([again.isNew('a'), again.isNew('a')], [true, true])
})
