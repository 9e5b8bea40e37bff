// A store on LMDB while another process has its directory open.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { uncountedNode } from '../crash/server.js'
import { dump, ID, idOf, json, reading, sessionOf, set, START } from '../store-suite.js'
import { lmdbWith } from './lmdb-with.js'

/** A program for another process that has the same directory open as `root`. */
function program (directory: string, body: string): [program: string, args: string[]] {
  const source = `
    import { readSync, writeSync } from 'node:fs'
    import { open } from 'lmdb'
    const root = open({ path: ${json(directory)}, noSubdir: false, overlappingSync: false })
    ${body}
    await root.close()`
  return uncountedNode('--input-type=module', '-e', source)
}

/** Another process that is inside a write transaction until its standard input ends. */
async function lockHolder (directory: string): Promise<ChildProcess> {
  const child = spawn(...program(directory, `
    root.transactionSync(() => {
      writeSync(1, 'locked')
      readSync(0, Buffer.alloc(1))
    })`), { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout ?? child, 'data')
  return child
}

t.test('lmdb: reads do not wait for the write lock', async t => {
  const { directory, store, raw } = await lmdbWith(t)
  await set(store, ID, START, { a: json(1) })
  await store.create(idOf(2), sessionOf({ idle: 10 }), START)
  const holder = await lockHolder(directory)
  t.strictSame(await store.find(ID, START), { session: sessionOf(), size: 1 })
  t.strictSame(await store.totals(START), { sessions: 2, keys: 1 })
  t.strictSame(await dump(store, ID, START), [['a', '1']])
  t.strictSame(await store.access(ID, START + 1, reading({ get: ['a'] }, view => view.get('a'), true)), { reply: '1' })
  t.equal(await store.access(idOf(9), START, reading({}, () => 0)), undefined)
  t.equal(await store.sweep(START, 10), 0, 'nor does a sweep that finds nothing')
  const exit = once(holder, 'exit')
  holder.stdin?.end()
  t.strictSame(await exit, [0, null])
  await store.access(idOf(2), START + 1, reading({}, () => 0, true))
  t.strictSame(await store.find(idOf(2), START), { session: sessionOf({ idle: 10, usedAt: START + 1 }), size: 0 })
  await raw.close()
  await store.close()
})

t.test('lmdb: a read sees at once what another process has committed', async t => {
  const { directory, store, raw } = await lmdbWith(t)
  const before = store.find(ID, START)
  // All of this is one turn of the event loop, in which lmdb by itself goes on with the snapshot of the read above.
  const { status, stderr } = spawnSync(...program(directory, "root.openDB('sessions', { keyEncoding: 'binary', encoding: 'binary' }).clearSync()"))
  const after = store.find(ID, START)
  t.equal(status, 0, String(stderr))
  t.ok(await before)
  t.equal(await after, undefined)
  await raw.close()
  await store.close()
})
