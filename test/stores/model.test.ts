import t from 'tap'
import { lmdbStore } from '../../src/stores/lmdb/open.js'
import { memoryStore } from '../../src/stores/memory.js'
import { modelTest } from './model.js'

modelTest(t, 'memory', async () => memoryStore())
modelTest(t, 'lmdb', async t => await lmdbStore(t.testdir()))
