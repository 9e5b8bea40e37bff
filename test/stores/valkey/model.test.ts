import t from 'tap'
import { modelTest } from '../model.js'
import { freshStores } from './gateways.js'
import { needs } from './servers.js'

modelTest(t, 'valkey', freshStores(t), needs())
