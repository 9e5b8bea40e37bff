import { availableParallelism } from 'node:os'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { ROLES } from '../../src/caller.js'
import { readConfig } from '../../src/cli/config.js'
import { SUBCOMMANDS, type Subcommand } from '../../src/cli/subcommands.js'
import { SETTINGS, type Config } from '../../src/cli/settings.js'
import { parseStoreUrl } from '../../src/stores/table.js'
import { VALKEY_FORM } from '../../src/stores/valkey/url.js'
import { readVersion, VERSION } from '../../src/version.js'

const DEFAULTS: Config = { store: { kind: 'lmdb', directory: './data' }, storeTimeout: 60, storeDeadline: 2000, waitReplicas: 0, host: '127.0.0.1', port: 1987, workers: 1, bodyLimit: 1048576, maxConnections: 10_000, allowAnonymous: false, logLevel: 'warn' }

/** The faults that a command line and an environment have. */
function faults (argv: string[], env: NodeJS.ProcessEnv = {}): readonly string[] {
  const reading = readConfig(argv, env)
  return reading.kind === 'faults' ? reading.faults : []
}

t.test('nothing given: the defaults', async t => {
  t.strictSame(readConfig([], {}), { kind: 'config', config: DEFAULTS })
})

t.test('every setting can be an option or a variable, and the option wins', async t => {
  const values = { store: 'valkey://h', storeTimeout: '86400', storeDeadline: '50', waitReplicas: '16', host: '::1', port: '0', workers: 'auto', bodyLimit: '4096', maxConnections: '1', maxConnectionsPerAddress: '1000000', rateLimit: '100/1s', apiKeysFile: 'keys', allowAnonymous: 'false', logLevel: 'silent' }
  const config = { ...values, allowAnonymous: false, store: parseStoreUrl('valkey://h'), workers: availableParallelism(), storeTimeout: 86_400, storeDeadline: 50, waitReplicas: 16, port: 0, bodyLimit: 4096, maxConnections: 1, maxConnectionsPerAddress: 1_000_000, rateLimit: { max: 100, windowMs: 1_000 } }
  const options = SETTINGS.flatMap(({ name, option, hint }) => hint === undefined ? [] : [option, values[name]])
  const inlineOptions = SETTINGS.map(({ name, option }) => `${option}=${values[name]}`)
  const variables = Object.fromEntries(SETTINGS.map(({ name, variable }) => [variable, values[name]]))
  const wrongVariables = Object.fromEntries(SETTINGS.flatMap(({ variable, hint }) => hint === undefined ? [] : [[variable, '']]))
  t.strictSame(readConfig(options, {}), { kind: 'config', config })
  t.strictSame(readConfig(inlineOptions, {}), { kind: 'config', config })
  t.strictSame(readConfig([], { ...variables, PATH: '/bin' }), { kind: 'config', config })
  t.strictSame(readConfig(options, wrongVariables), { kind: 'config', config })
})

t.test('the names are derived from the schema', async t => {
  const names = SETTINGS.map(({ name, option, variable }) => [name, option, variable])
  t.strictSame(names, [
    ['store', '--store', 'HOLDFAST_STORE'],
    ['storeTimeout', '--store-timeout', 'HOLDFAST_STORE_TIMEOUT'],
    ['storeDeadline', '--store-deadline', 'HOLDFAST_STORE_DEADLINE'],
    ['waitReplicas', '--wait-replicas', 'HOLDFAST_WAIT_REPLICAS'],
    ['host', '--host', 'HOLDFAST_HOST'],
    ['port', '--port', 'HOLDFAST_PORT'],
    ['workers', '--workers', 'HOLDFAST_WORKERS'],
    ['bodyLimit', '--body-limit', 'HOLDFAST_BODY_LIMIT'],
    ['maxConnections', '--max-connections', 'HOLDFAST_MAX_CONNECTIONS'],
    ['maxConnectionsPerAddress', '--max-connections-per-address', 'HOLDFAST_MAX_CONNECTIONS_PER_ADDRESS'],
    ['rateLimit', '--rate-limit', 'HOLDFAST_RATE_LIMIT'],
    ['apiKeysFile', '--api-keys-file', 'HOLDFAST_API_KEYS_FILE'],
    ['allowAnonymous', '--allow-anonymous', 'HOLDFAST_ALLOW_ANONYMOUS'],
    ['logLevel', '--log-level', 'HOLDFAST_LOG_LEVEL'],
  ])
})

t.test('numbers are whole numbers within their limits', async t => {
  for (const port of ['0', '1', '65535', '0080']) t.strictSame(faults(['--port', port]), [], port)
  for (const port of ['65536', '99999999999999999999', '1e3', '80.0', '0x50', '', ' 80', 'http', '1_000']) {
    t.strictSame(faults(['--port', port]), [`--port: ${JSON.stringify(port)} is not a whole number from 0 to 65535`], port)
  }
  for (const limit of ['1024', '16777216', '1KiB', '16MiB', '0001MiB']) t.strictSame(faults(['--body-limit', limit]), [], limit)
  for (const limit of ['1/1ms', '100/1s', '999999999/999999h', '5/60m']) t.strictSame(faults(['--rate-limit', limit]), [], limit)
  for (const [limit, windowMs] of [['5/250ms', 250], ['5/2s', 2_000], ['5/60m', 3_600_000], ['5/2h', 7_200_000]] as const) {
    t.match(readConfig(['--rate-limit', limit], {}), { config: { rateLimit: { max: 5, windowMs } } })
  }
  for (const limit of ['', '100', '100/s', '0/1s', '1/0s', '1/1d', '1.5/1s', '100/1s ', '1000000000/1s']) {
    t.strictSame(faults(['--rate-limit', limit]), [`--rate-limit: ${JSON.stringify(limit)} is not a number, a slash and a time in ms, s, m or h, such as \`100/1s\``], limit)
  }
  for (const limit of ['1023', '16777217', '0KiB', '17MiB', '1GiB', '1.5MiB', '1MB', '1 MiB', '1mib', 'MiB']) {
    const expected = `HOLDFAST_BODY_LIMIT: "${limit}" is not a whole number of bytes, KiB or MiB from 1KiB to 16MiB`
    t.strictSame(faults([], { HOLDFAST_BODY_LIMIT: limit }), [expected], limit)
  }
})

t.test('settings that mean nothing for the store that was chosen', async t => {
  const fault = (source: string, kind: string) => `${source}: means nothing for ${kind}:, but for a store on Valkey or Redis`
  t.strictSame(faults(['--wait-replicas', '1']), [fault('--wait-replicas', 'lmdb')])
  t.strictSame(faults(['--store', 'memory:', '--store-timeout=60'], { HOLDFAST_STORE_DEADLINE: '2000' }), [fault('--store-timeout', 'memory'), fault('HOLDFAST_STORE_DEADLINE', 'memory')])
  t.strictSame(faults(['--store', 'redis://h', '--store-timeout=60'], { HOLDFAST_STORE_DEADLINE: '2000' }), [])
  t.match(faults(['--store', 'nothing', '--wait-replicas', '1']), { length: 1 }, 'nobody knows which that is')
  t.strictSame(faults(['--store', 'rediss://h', '--wait-replicas', '17', '--store-timeout', '0', '--store-deadline', '49']), [
    '--store-timeout: "0" is not a whole number from 1 to 86400',
    '--store-deadline: "49" is not a whole number from 50 to 60000',
    '--wait-replicas: "17" is not a whole number from 0 to 16',
  ])
  t.match(readConfig(['export'], { HOLDFAST_WAIT_REPLICAS: '1' }), { kind: 'command' }, 'they are no concern of the other commands')
})

t.test('a password in a URL is never shown', async t => {
  for (const url of ['redis://u:hunter2@h', 'redis://:hunter2@h:1/0', 'valkeys://hunter2:hunter2@h', 'redis://u:hu@hunter2@h', 'redis://u:hunter2/hunter2?hunter2@h', 'redis:u:hunter2@h', 'u:hunter2@h', '//u:hunter2@h', 'redis://h?password=hunter2', 'redis://u:\nhunter2@h', 'redis://u:hunter2']) {
    const lines: Array<readonly [string[], NodeJS.ProcessEnv?]> = [
      [[url]], [[url, '--port', '1']], [['--port', '1', url]], [['--host', url]], [['--port', url]], [['--log-level', url]], [['--workers', url]],
      [[`--stroe=${url}`]], [['--stroe', url]], [[`--${url}`]], [[`-${url}`]], [[`-s${url}`]], [[`--help=${url}`]], [['--store', `${url}x y`, '--port', 'x']],
      [['--port', 'x'], { HOLDFAST_STROE: url }], [[], { HOLDFAST_HOST: url }], [['--wait-replicas', '17'], { HOLDFAST_STORE: url }],
      [['export', '--stroe', url]], [['export', `--stroe=${url}`]], [['export', 'a', url]], [['inspect', url]], [['import', '-', `-${url}`]],
      [['inspect', '--port', '1'], { HOLDFAST_STORE: url }], [['--help'], { HOLDFAST_STORE: url }], [['export', '-h', '--store', url]],
    ]
    for (const [argv, env = {}] of lines) {
      const reading = readConfig(argv, env)
      if (reading.kind !== 'faults' && reading.kind !== 'help') t.fail(`${argv.join(' ')} is ${reading.kind}`)
      else t.notMatch(reading.text, /hunter2|^ +-[nt2]: /m, argv.join(' '))
    }
  }
  t.strictSame(faults(['redis://u:hunter2@h']), ['redis://***: there is no such command'])
  t.strictSame(faults(['--port', '1', 'redis://u:hunter2@h', 'u:hunter2@h']), ['"redis://***": holdfast takes options only', '"***@h": holdfast takes options only'])
  t.strictSame(faults(['-xyz', '-x']), ['-x: there is no such option', '-x: there is no such option'])
})

t.test('one answer lists every fault and where it came from', async t => {
  const argv = ['--prot', '80', '--port=http', '-x', '--log-level', 'loud', '--store', 'postgres://u:secret@h', '--help=yes', '--host']
  const found = faults(argv, { HOLDFAST_BODY_LIMIT: '1', HOLDFAST_LOGLEVEL: 'info', HOLDFAST_XYZZY: '1' })
  const store = found.filter(fault => fault.startsWith('--store: '))
  t.equal(store.length, 1)
  t.notMatch(store[0], 'secret', 'a password in a URL is not repeated')
  t.strictSame(found.filter(fault => !store.includes(fault)), [
    '--prot: there is no such option; did you mean --port?',
    '"80": holdfast takes options only',
    '-x: there is no such option',
    '--help: takes no value',
    '--host: the value is missing; it must be a host name or an IP address, without brackets',
    'HOLDFAST_LOGLEVEL: there is no such variable; did you mean HOLDFAST_LOG_LEVEL?',
    'HOLDFAST_XYZZY: there is no such variable',
    '--port: "http" is not a whole number from 0 to 65535',
    'HOLDFAST_BODY_LIMIT: "1" is not a whole number of bytes, KiB or MiB from 1KiB to 16MiB',
    '--log-level: "loud" is not one of fatal, error, warn, info, debug, trace, silent',
  ])
})

t.test('workers: a number, or as many as there are cores', async t => {
  for (const workers of ['auto', '1', '99']) t.strictSame(faults(['--workers', workers]), [], workers)
  for (const workers of ['', '0', '01', '100', '-1', '1.5', 'all']) {
    t.strictSame(faults([`--workers=${workers}`]), [`--workers: "${workers}" is not \`auto\` or a whole number from 1 to 99`], workers)
  }
})

t.test('an option does not take the next option for its value', async t => {
  t.strictSame(faults(['--port', '--host=::']), ['--port: the value is missing; it must be a whole number from 0 to 65535'])
})

t.test('hosts', async t => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.9.9.9', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']) t.strictSame(faults(['--host', host]), [], host)
  for (const host of ['0.0.0.0', '::', '::ffff:10.0.0.1', '10.0.0.1', 'fe80::1%eth0', 'my_host.example.com', 'localhost.example.com']) {
    t.strictSame(faults(['--host', host]), [`--host: without API keys the server listens on loopback only (127.0.0.1, ::1, localhost), and others can reach ${host}: give it --api-keys-file, or --allow-anonymous if whoever reaches it may use it`], host)
    t.strictSame(faults(['--host', host, '--allow-anonymous']), [], host)
    t.strictSame(faults([], { HOLDFAST_HOST: host, HOLDFAST_ALLOW_ANONYMOUS: 'true' }), [], host)
    t.strictSame(faults(['--host', host], { HOLDFAST_API_KEYS_FILE: 'keys' }), [], host)
    t.match(faults([], { HOLDFAST_HOST: host, HOLDFAST_ALLOW_ANONYMOUS: 'false' })[0], 'HOLDFAST_HOST: without API keys', host)
  }
  t.strictSame(faults(['--allow-anonymous', '--api-keys-file', 'keys']), ['--allow-anonymous: means nothing beside --api-keys-file, which lets in whoever has a key'])
  t.strictSame(faults(['--allow-anonymous=yes']), ['--allow-anonymous: "yes" is not `true` or `false`'])
  t.strictSame(faults(['--api-keys-file', '']), ['--api-keys-file: "" is not a path'])
  for (const host of ['', '[::1]', 'http://localhost', 'a b']) t.equal(faults(['--host', host]).length, 1, host)
})

t.test('names that JavaScript objects have are no options', async t => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    t.match(faults([`--${name}`])[0], 'there is no such option', name)
  }
})

t.test('--help and --version win over faults', async t => {
  for (const argv of [['--help'], ['-h'], ['--version', '-h'], ['--port', 'x', '--help']]) {
    const reading = readConfig(argv, { HOLDFAST_PORT: 'x' })
    t.equal(reading.kind, 'help', argv.join(' '))
    for (const { option, variable, description, default: value } of SETTINGS) {
      for (const part of [option, variable, description, value].filter(part => part !== undefined)) t.match(reading, { text: part })
    }
  }
  for (const argv of [['--version'], ['-v'], ['-v', 'x']]) t.strictSame(readConfig(argv, {}), { kind: 'version' })
})

t.test('a command that looks after the data, its store and its argument', async t => {
  const rows: Array<readonly [string[], Subcommand]> = [
    [['backup', 'to'], { name: 'backup', store: parseStoreUrl('lmdb:./data'), directory: 'to' }],
    [['export'], { name: 'export', store: parseStoreUrl('lmdb:./data'), file: '-' }],
    [['export', '-'], { name: 'export', store: parseStoreUrl('lmdb:./data'), file: '-' }],
    [['export', 'to', '--store', 'lmdb:x'], { name: 'export', store: parseStoreUrl('lmdb:x'), file: 'to' }],
    [['export', '--store=lmdb:x', '--', '--to'], { name: 'export', store: parseStoreUrl('lmdb:x'), file: '--to' }],
    [['import', 'from'], { name: 'import', store: parseStoreUrl('lmdb:./data'), file: 'from' }],
    [['import', '-'], { name: 'import', store: parseStoreUrl('lmdb:./data'), file: '-' }],
    [['inspect'], { name: 'inspect', store: parseStoreUrl('lmdb:./data'), verify: false }],
    [['inspect', '--verify'], { name: 'inspect', store: parseStoreUrl('lmdb:./data'), verify: true }],
    [['salvage', 'data'], { name: 'salvage', path: 'data', file: '-' }],
    [['salvage', 'data/data.mdb', 'to'], { name: 'salvage', path: 'data/data.mdb', file: 'to' }],
  ]
  for (const [argv, command] of rows) t.strictSame(readConfig(argv, {}), { kind: 'command', command }, argv.join(' '))
  const env = { HOLDFAST_STORE: 'lmdb:y', HOLDFAST_PORT: 'nonsense', HOLDFAST_WORKERS: '' }
  t.strictSame(readConfig(['export'], env), { kind: 'command', command: { name: 'export', store: parseStoreUrl('lmdb:y'), file: '-' } })
  t.strictSame(readConfig(['salvage', 'data'], { HOLDFAST_STORE: 'nonsense' }), { kind: 'command', command: { name: 'salvage', path: 'data', file: '-' } })
  t.strictSame(readConfig(['export', '--store', 'lmdb:x'], { ...env, HOLDFAST_STORE: 'memory:' }),
    { kind: 'command', command: { name: 'export', store: parseStoreUrl('lmdb:x'), file: '-' } })
})

t.test('a wrong command line: every fault at once', async t => {
  t.strictSame(faults(['export', '--port', '80', 'a', 'b', '-x', '--sotre', 'lmdb:x', '--help=1'], { HOLDFAST_PROT: '1', HOLDFAST_STORE: 'redis:' }), [
    '--port: holdfast export has no such option',
    '"b": holdfast export takes one argument only',
    '-x: holdfast export has no such option',
    '--sotre: holdfast export has no such option; did you mean --store?',
    '"lmdb:x": holdfast export takes one argument only',
    '--help: takes no value',
    'HOLDFAST_PROT: there is no such variable; did you mean HOLDFAST_PORT?',
    `HOLDFAST_STORE: The URL of the store is wrong: the form of the URL is ${VALKEY_FORM}`,
  ])
  t.strictSame(faults(['import']), ['<file>: is missing: what holdfast export wrote; - for standard input'])
  t.strictSame(faults(['backup', '', '--store']), [
    '--store: the value is missing; it must be `lmdb:<directory>` or `valkey://<host>`',
    '<directory>: is missing: where the copy goes; a new directory, or an empty one',
  ])
  t.strictSame(faults(['inspect', 'x', '--verfy']), [
    '"x": holdfast inspect takes options only',
    '--verfy: holdfast inspect has no such option; did you mean --verify?',
  ])
  for (const url of ['redis://u:hunter2@h', 'redis:u:hunter2@h', 'valkey://h', 'http://h', 'lmdb:./data']) {
    t.strictSame(faults(['backup', url]), ['<directory>: is a URL; the one of the store goes to --store'])
    for (const name of ['export', 'import']) t.strictSame(faults([name, url]), ['<file>: is a URL; the one of the store goes to --store'])
  }
  t.strictSame(faults(['salvage']), ['<file-or-directory>: is missing: the data file of an lmdb: store, a copy of it, or its directory'])
  t.strictSame(faults(['salvage', 'a', '']), ['<file>: is missing: a new file; - for standard output'])
  t.strictSame(faults(['salvage', 'a', 'b', 'c', '--store', 'lmdb:x']), ['"c": holdfast salvage takes two arguments only', '--store: holdfast salvage has no such option'])
  t.strictSame(faults(['salvage', 'valkey://h', 'http://h']), ['<file-or-directory>: is a URL; it has to be a path', '<file>: is a URL; it has to be a path'])
  t.strictSame(faults(['inspect', '--verify=yes']), ['--verify: takes no value'])
  t.strictSame(faults(['export', '--verify']), ['--verify: holdfast export has no such option'])
  for (const name of ['backup', 'export', 'import', 'inspect']) {
    const argv = name === 'inspect' ? [name] : [name, 'x']
    t.strictSame(faults([...argv, '--store', 'memory:']), ['--store: a memory: store has nothing outside of its process'], name)
    t.strictSame(faults(argv, { HOLDFAST_STORE: 'memory:' }), ['HOLDFAST_STORE: a memory: store has nothing outside of its process'], name)
    t.strictSame(faults(['--port', '1', name]), [`"${name}": a command comes before its options`])
  }
  t.match(readConfig(['import'], {}), { text: 'holdfast import: the configuration is wrong\n  <file>: is missing: what holdfast export wrote; - for standard input\n' })
})

t.test('a command that does not exist, and the one that is meant', async t => {
  t.strictSame(readConfig(['exprot', '--prot', 'x'], { HOLDFAST_PROT: '1' }), {
    kind: 'faults',
    faults: ['exprot: there is no such command; did you mean export?'],
    text: 'holdfast: the configuration is wrong\n  exprot: there is no such command; did you mean export?\nholdfast --help lists what there is.\n',
  })
  for (const name of ['restore', 'constructor', '__proto__', 'Export!!!', '']) t.strictSame(faults([name]), [`${name}: there is no such command`])
})

t.test('help of the commands', async t => {
  const main = readConfig(['--help'], {})
  for (const [name, { summary, isStoreless }] of Object.entries(SUBCOMMANDS)) {
    t.match(main, { text: `  ${name} ` })
    t.match(main, { text: summary })
    for (const argv of [['--help'], ['-h'], ['--port', 'x', '-h'], ['a', 'b', '-v', '--help']]) t.match(readConfig([name, ...argv], { HOLDFAST_X: '' }), { kind: 'help', text: `Usage: holdfast ${name} ` })
    if (isStoreless) t.notMatch(readConfig([name, '-h'], {}), { text: '--store' })
    else t.match(readConfig([name, '-h'], {}), { text: /--store <url> +HOLDFAST_STORE +the store, lmdb:<directory> or valkey:\/\/<host> \(default: lmdb:\.\/data\)/ })
    t.notMatch(readConfig([name, '-h'], {}), { text: '--port' })
    t.strictSame(readConfig([name, '-v', 'x', 'y'], {}), { kind: 'version' })
  }
  t.match(main, { text: 'export [<file>]' })
  t.match(main, { text: 'import <file>' })
  t.match(main, { text: 'salvage <file-or-directory> [<file>]' })
  t.match(readConfig(['export', '-h'], {}), { text: /<file> +a new file; - for standard output \(default: -\)/ })
  t.match(readConfig(['export', '-h'], {}), { text: /secret/ })
  t.match(readConfig(['inspect', '-h'], {}), { text: /--verify +check/ })
  for (const help of ['--help', '-h']) t.strictSame(readConfig(['exprot', help], {}), main)
})

t.test('keygen', async t => {
  const read = (...args: string[]) => readConfig(['keygen', ...args], {})
  for (const role of ROLES) t.strictSame(read('web', '--role', role), { kind: 'command', command: { name: 'keygen', key: 'web', role, prefix: undefined } })
  t.strictSame(read('--role=server', 'a/b', '--prefix', 'shop:#'), { kind: 'command', command: { name: 'keygen', key: 'a/b', role: 'server', prefix: 'shop:#' } })
  t.match(read('http://x', '--role', 'read'), { kind: 'command' }, 'a name and no path')
  const wrong: Array<readonly [string[], string[]]> = [
    [[], ['<name>: is missing: what the key is called in the file: one word', '--role: is missing: one of read, client, server, admin']],
    [['web', '--role', 'root'], ['--role: "root" is not one of read, client, server, admin']],
    [['a b', '--role', 'read'], ['<name>: has to be one word that does not begin with #']],
    [['#a', '--role', 'read'], ['<name>: has to be one word that does not begin with #']],
    [['web', '--role', 'read', '--prefix', 'a b'], ['--prefix: has to be one word']],
    [['web', '--role', 'read', '--prefix', ''], ['--prefix: is empty']],
    [['web', '--role'], ['--role: the value is missing; it must be one of read, client, server, admin', '--role: is missing: one of read, client, server, admin']],
    [['web', 'more', '--role', 'read'], ['"more": holdfast keygen takes one argument only']],
    [['web', '--role', 'read', '--store', 'memory:'], ['--store: holdfast keygen has no such option']],
  ]
  for (const [args, expected] of wrong) t.strictSame(faults(['keygen', ...args]), expected, args.join(' '))
  t.match(read('--help'), { text: /--role <role> +what the key may do: read \(.*, client \(.*, server \(.*, admin \(/ })
})

t.test('the version is the one in package.json', async t => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
  t.equal(VERSION, manifest.version)
  t.equal(readVersion(pathToFileURL('dist/src/')), manifest.version, 'from the built file')
  t.throws(() => readVersion(new URL('file:///some/where/else/')), { message: /no package.json of holdfast/ })
})
