// The table of cases on Valkey or Redis.
import t from 'tap'
import { playAll } from '../../play.js'
import { freshStores } from './gateways.js'
import { needs } from './servers.js'

playAll(t, 'valkey', freshStores(t), needs())
