import fc from 'fast-check'
import t from 'tap'
import { isStoreUrl } from '../../../src/stores/table.js'
import { parseValkeyUrl, shownEndpoints, type ValkeyTarget } from '../../../src/stores/valkey/url.js'

const PLAIN: ValkeyTarget = {
  kind: 'valkey', endpoints: [{ host: 'h', port: 6379 }], isCluster: false, username: undefined, password: undefined, database: 0, prefix: 'holdfast', tls: undefined,
}

const GOOD: Record<string, Partial<ValkeyTarget>> = {
  'valkey://h': {},
  'redis://h': {},
  'valkey://h/': {},
  'valkey://h?': {},
  'valkey://h:1': { endpoints: [{ host: 'h', port: 1 }] },
  'valkey://my_host-1.example.org.:65535/15': { endpoints: [{ host: 'my_host-1.example.org.', port: 65535 }], database: 15 },
  'valkey://127.0.0.1:06379': { endpoints: [{ host: '127.0.0.1', port: 6379 }] },
  'valkey://[::1]:7000': { endpoints: [{ host: '::1', port: 7000 }] },
  'valkey://[fe80::1%eth0.1]': { endpoints: [{ host: 'fe80::1%eth0.1', port: 6379 }] },
  'valkey://[::ffff:127.0.0.1]': { endpoints: [{ host: '::ffff:127.0.0.1', port: 6379 }] },
  'valkey://ada:s%40cret@h': { username: 'ada', password: 's@cret' },
  'valkey://:secret@h': { password: 'secret' },
  'valkey://a%3Ab:c:d@h': { username: 'a:b', password: 'c:d' },
  'valkey://:%C3%BC%2F%3F%23%25@h/2': { password: 'ü/?#%', database: 2 },
  'valkey://h?prefix=a.B_c:-9': { prefix: 'a.B_c:-9' },
  'valkey://h?cluster=false': {},
  'valkey://h?cluster=true': { isCluster: true },
  'valkey://h/0?cluster=true&prefix=p': { isCluster: true, prefix: 'p' },
  'valkey://a,b:1,[::1],c:2?cluster=true': { isCluster: true, endpoints: [{ host: 'a', port: 6379 }, { host: 'b', port: 1 }, { host: '::1', port: 6379 }, { host: 'c', port: 2 }] },
  'valkeys://h': { tls: {} },
  'rediss://h?ca=/etc/ca.pem': { tls: { ca: '/etc/ca.pem' } },
  'valkeys://h?cert=c%20d&key=k&ca=a': { tls: { ca: 'a', cert: 'c d', key: 'k' } },
}

t.test('URLs that mean a server or a cluster', async t => {
  for (const [url, parts] of Object.entries(GOOD)) {
    t.ok(isStoreUrl(url))
    t.strictSame(parseValkeyUrl(url), { ...PLAIN, ...parts }, url)
  }
  t.equal(shownEndpoints(parseValkeyUrl('valkey://u:hunter2@a,[::1]:7?cluster=true')), 'a:6379,[::1]:7')
})

const FORM = /the form of the URL is valkey:\/\//
const HOST = /a host is a name or an IP address/
const USER = /a user comes with a password/

const BAD: Record<string, RegExp> = {
  'valkey:': FORM,
  'valkey:h': FORM,
  'valkey:/h': FORM,
  'valkey://': FORM,
  'valkey:///0': FORM,
  'valkey://h/x': FORM,
  'valkey://h/0/1': FORM,
  'valkey://h/-1': FORM,
  'valkey://h#x': FORM,
  'valkey://u:p@w@h': FORM,
  'valkey://u:p/w@h': FORM,
  'valkey://u:p?w@h': /the options after the question mark/,
  'valkey://h\n': HOST,
  'valkey://h h': HOST,
  'valkey://h,': HOST,
  'valkey://,h?cluster=true': HOST,
  'valkey://::1': HOST,
  'valkey://[::1': HOST,
  'valkey://[h]': HOST,
  'valkey://h:': HOST,
  'valkey://h:x': HOST,
  'valkey://h:123456': HOST,
  'valkey://h:0': /a port is a number from 1 to 65535/,
  'valkey://h:65536': /a port is a number from 1 to 65535/,
  'valkey://u@h': USER,
  'valkey://u:@h': USER,
  'valkey://@h': USER,
  'valkey://:@h': USER,
  'valkey://u:%@h': /percent-encoded/,
  'valkey://%ff:p@h': /percent-encoded/,
  'valkey://a,b': /add \?cluster=true/,
  'valkey://a,b?cluster=false': /add \?cluster=true/,
  'valkey://a/1?cluster=true': /no database but 0/,
  'valkey://h?cluster=': /cluster is true or false/,
  'valkey://h?cluster=1': /cluster is true or false/,
  'valkey://h?prefix=': /prefix is 1 to 64/,
  'valkey://h?prefix=a{b': /prefix is 1 to 64/,
  'valkey://h?prefix=a*': /prefix is 1 to 64/,
  [`valkey://h?prefix=${'p'.repeat(65)}`]: /prefix is 1 to 64/,
  'valkey://h?prefix=a&prefix=b': /prefix is given twice/,
  'valkey://h?password=x': /the options after the question mark are cluster, prefix, and with valkeys/,
  'valkey://h?ca=x': /the options after the question mark are cluster, prefix, and with valkeys/,
  'valkeys://h?x=y': /the options after the question mark are cluster, prefix, ca, cert, key$/,
  'valkeys://h?cert=x': /cert and key go together/,
  'valkeys://h?key=x&ca=y': /cert and key go together/,
}

t.test('URLs that say something wrong, and what', async t => {
  for (const [url, message] of Object.entries(BAD)) {
    t.ok(isStoreUrl(url), url)
    t.throws(() => parseValkeyUrl(url), { message }, JSON.stringify(url))
    t.throws(() => parseValkeyUrl(url), { message: /^The URL of the store is wrong: / })
  }
  for (const url of ['', 'valkey', 'VALKEY://h', ' valkey://h', 'valkeyx://h', 'constructor:x', '\nredis://h']) t.notOk(isStoreUrl(url), url)
})

t.test('no message repeats anything of the URL', async t => {
  const part = fc.string({ unit: fc.constantFrom(...':/?#@[]%,&={}\\\n é1'), maxLength: 4 })
  const secret = 'hunter2'
  const url = fc.tuple(fc.constantFrom('valkey', 'redis', 'valkeys', 'rediss'), fc.constantFrom('://', ':', ':/'), fc.array(fc.oneof(part, fc.constantFrom(secret, 'h', 'prefix=', 'cluster=true', 'ca=', ':', '@', '?', '&', '%')), { maxLength: 12 }))
  let refused = 0
  fc.assert(fc.property(url, ([scheme, slashes, parts]) => {
    const text = `${scheme}${slashes}${parts.join('')}`
    try {
      const target = parseValkeyUrl(text)
      return !shownEndpoints({ ...target, endpoints: target.endpoints.filter(({ host }) => !host.includes(secret)) }).includes(secret)
    } catch (error) {
      refused++
      return error instanceof Error && error.constructor === Error && !error.message.includes(secret) && error.message.startsWith('The URL of the store is wrong: ')
    }
  }), { numRuns: 5_000 })
  t.ok(refused > 1_000)
})
