// What the benchmark asks for: each of a server of Holdfast, and where there is something like it, of Webdis, whose hash of Redis stands for a
// session. Requests are the bytes that are sent.

const VALUE = { name: 'Ada', items: [1, 2, 3], note: 'x'.repeat(60) }
/** So that 10,000 of them are no more than a body may have. */
const SMALL = { name: 'Ada', items: [1, 2, 3] }
/** Nine reads for each write. */
const ROUND = 10

/** The text of a request. `body` is sent as it is when it is a text, else as JSON. */
function request (method, path, body) {
  const content = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
  const headers = body === undefined ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(content)}\r\n`
  return `${method} ${path} HTTP/1.1\r\nhost: bench\r\n${headers}\r\n${content}`
}

const command = content => request('POST', '/command', content)
const names = count => Array.from({ length: count }, (_, n) => `key${n}`)
const valuesOf = keys => Object.fromEntries(keys.map(key => [key, VALUE]))
/** What every key that is read holds. */
export const KEYS = valuesOf(['user', ...names(1_000)])
/** Keys from one number on. */
export const keysFrom = (from, count) => valuesOf(Array.from({ length: count }, (_, n) => `key${from + n}`))

const set = keys => ({ tkn }) => [command({ KV_SET: { tkn, keys: valuesOf(keys) } })]
const get = keys => ({ tkn }) => [command({ KV_GET: { tkn, keys } })]
const batch = count => ({ tkn }) => [request('POST', '/commands', names(count).map(name => ({ KV_SET: { tkn, keys: { [name]: VALUE } } })))]

/** HSET of Webdis: the value of one key as the body, of several as parts of the path, which may be in the body. */
export const hset = (hash, keys) => keys.length === 1
  ? request('PUT', `/HSET/${hash}/${keys[0]}`, VALUE)
  : request('POST', '/', `HSET/${hash}/${keys.map(key => `${key}/${encodeURIComponent(JSON.stringify(VALUE))}`).join('/')}`)
const hget = (hash, keys) => request('GET', `/${keys.length === 1 ? 'HGET' : 'HMGET'}/${hash}/${keys.join('/')}`)
const webdisSet = keys => ({ tkn }) => [hset(tkn, keys)]
const webdisGet = keys => ({ tkn }) => [hget(tkn, keys)]

const USER = ['user']
const MANY = {
  sessions: 10_000,
  of: ({ tkns }) => tkns.map((tkn, n) => command(n % ROUND === 0 ? { KV_SET: { tkn, keys: valuesOf(USER) } } : { KV_GET: { tkn, keys: USER } })),
  webdis: ({ tkns }) => tkns.map((tkn, n) => n % ROUND === 0 ? hset(tkn, USER) : hget(tkn, USER)),
}

/**
 * By name: how many connections ask, how many sessions there are to be asked for (one unless given) and of how many keys, and the requests, which
 * are sent in turn.
 * `isFree`: of those servers that have both cores, together with the load.
 */
export const REQUESTS = {
  KV_SET: { connections: [1, 8, 64], of: set(USER), webdis: webdisSet(USER) },
  KV_GET: { connections: [1, 8, 64], of: get(USER), webdis: webdisGet(USER) },
  PUT: { connections: [1, 8, 64], of: ({ tkn }) => [request('PUT', `/sessions/${tkn}/keys/user`, { value: VALUE })] },
  GET: { connections: [1, 8, 64], of: ({ tkn }) => [request('GET', `/sessions/${tkn}/keys/user`)] },
  'KV_SET, 10 keys': { connections: [64], of: set(names(10)), webdis: webdisSet(names(10)) },
  'KV_GET, 10 keys': { connections: [64], of: get(names(10)), webdis: webdisGet(names(10)) },
  'KV_SET, 100 keys': { connections: [8], of: set(names(100)), webdis: webdisSet(names(100)) },
  'KV_GET, 100 keys': { connections: [8], of: get(names(100)), webdis: webdisGet(names(100)) },
  'KV_SET, 1000 keys': { connections: [8], of: set(names(1_000)), webdis: webdisSet(names(1_000)) },
  'KV_GET, 1000 keys': { connections: [8], of: get(names(1_000)), webdis: webdisGet(names(1_000)) },
  'KV_SET, 10000 keys': { connections: [1], of: ({ tkn }) => [command({ KV_SET: { tkn, keys: Object.fromEntries(names(10_000).map(name => [name, SMALL])) } })] },
  'KV_GET of a session of 100,000 keys': { connections: [64], size: 100_000, of: get(['key50000']) },
  'batch of 10 KV_SET': { connections: [8], of: batch(10) },
  'batch of 100 KV_SET': { connections: [8], of: batch(100) },
  '90 % reads of 10,000 sessions': { connections: [64], ...MANY },
  '90 % reads of 10,000 sessions, both cores': { connections: [64], isFree: true, ...MANY },
  'KV_GET of a session with idle': { connections: [64], expiry: { duration: 0, deleteSession: true, idle: 600 }, of: get(USER) },
  'KV_SET of 1 MB': { connections: [8], of: ({ tkn }) => [command({ KV_SET: { tkn, keys: { user: 'x'.repeat(1e6) } } })] },
}
