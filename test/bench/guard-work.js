// The work that test/bench/guard.js counts the instructions of: one command so many times through the command layer, on memory:.
//
//     node test/bench/guard-work.js KV_SET 1000
import { executeOne } from '../../dist/src/envelope.js'
import { createGateway } from '../../dist/src/protocol/gateway.js'
import { memoryStore } from '../../dist/src/stores/memory.js'

const [, , command, times] = process.argv
const gateway = await createGateway(memoryStore())
const anybody = { role: 'admin', name: undefined, prefix: undefined }
const fail = error => { throw error }
const run = content => executeOne(gateway, anybody, Buffer.from(JSON.stringify(content)), fail)
const { SH_NEW_RSP: { tkn } } = JSON.parse((await run({ SH_NEW: { name: 'guard' } })).text)
const user = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
const contents = { KV_SET: { tkn, keys: { user } }, KV_GET: { tkn, keys: ['user'] } }
run({ KV_SET: contents.KV_SET })
const body = Buffer.from(JSON.stringify({ [command]: contents[command] }))
const first = JSON.parse(executeOne(gateway, anybody, body, fail).text)[`${command}_RSP`]
if (first.keys === undefined) throw new Error(`${command} fails: ${JSON.stringify(first)}`)
for (let n = 0; n < Number(times); n++) executeOne(gateway, anybody, body, fail)
