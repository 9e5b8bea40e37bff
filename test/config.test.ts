import { readFileSync } from 'node:fs'
import t from 'tap'
import { readConfig, SETTINGS, type Config } from '../src/config.js'
import { readVersion, VERSION } from '../src/version.js'

const DEFAULTS: Config = { store: 'lmdb:./data', host: '127.0.0.1', port: 1987, bodyLimit: 1048576, logLevel: 'warn' }

/** The faults that a command line and an environment have. */
function faults (argv: string[], env: NodeJS.ProcessEnv = {}): readonly string[] {
  const reading = readConfig(argv, env)
  return reading.kind === 'faults' ? reading.faults : []
}

t.test('nothing given: the defaults', async t => {
  t.strictSame(readConfig([], {}), { kind: 'config', config: DEFAULTS })
})

t.test('every setting can be an option or a variable, and the option wins', async t => {
  const values = { store: 'memory:', host: '::1', port: '0', bodyLimit: '4096', logLevel: 'silent' }
  const config = { ...values, port: 0, bodyLimit: 4096 }
  const options = SETTINGS.flatMap(({ name, option }) => [option, values[name]])
  const inlineOptions = SETTINGS.map(({ name, option }) => `${option}=${values[name]}`)
  const variables = Object.fromEntries(SETTINGS.map(({ name, variable }) => [variable, values[name]]))
  const wrongVariables = Object.fromEntries(SETTINGS.map(({ variable }) => [variable, '']))
  t.strictSame(readConfig(options, {}), { kind: 'config', config })
  t.strictSame(readConfig(inlineOptions, {}), { kind: 'config', config })
  t.strictSame(readConfig([], { ...variables, PATH: '/bin' }), { kind: 'config', config })
  t.strictSame(readConfig(options, wrongVariables), { kind: 'config', config })
})

t.test('the names are derived from the schema', async t => {
  const names = SETTINGS.map(({ name, option, variable }) => [name, option, variable])
  t.strictSame(names, [
    ['store', '--store', 'HOLDFAST_STORE'],
    ['host', '--host', 'HOLDFAST_HOST'],
    ['port', '--port', 'HOLDFAST_PORT'],
    ['bodyLimit', '--body-limit', 'HOLDFAST_BODY_LIMIT'],
    ['logLevel', '--log-level', 'HOLDFAST_LOG_LEVEL']
  ])
})

t.test('numbers are whole numbers within their limits', async t => {
  for (const port of ['0', '1', '65535', '0080']) t.strictSame(faults(['--port', port]), [], port)
  for (const port of ['65536', '99999999999999999999', '1e3', '80.0', '0x50', '', ' 80', 'http', '1_000']) {
    t.strictSame(faults(['--port', port]), [`--port: ${JSON.stringify(port)} is not a whole number from 0 to 65535`], port)
  }
  for (const limit of ['1024', '67108864']) t.strictSame(faults(['--body-limit', limit]), [], limit)
  for (const limit of ['1023', '67108865', '1MiB']) {
    const expected = `HOLDFAST_BODY_LIMIT: "${limit}" is not a whole number from 1024 to 67108864`
    t.strictSame(faults([], { HOLDFAST_BODY_LIMIT: limit }), [expected], limit)
  }
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
    'HOLDFAST_BODY_LIMIT: "1" is not a whole number from 1024 to 67108864',
    '--log-level: "loud" is not one of fatal, error, warn, info, debug, trace, silent'
  ])
})

t.test('an option does not take the next option for its value', async t => {
  t.strictSame(faults(['--port', '--host=::']), ['--port: the value is missing; it must be a whole number from 0 to 65535'])
})

t.test('hosts', async t => {
  for (const host of ['localhost', '0.0.0.0', '::', 'fe80::1%eth0', 'my_host.example.com']) t.strictSame(faults(['--host', host]), [], host)
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
      for (const part of [option, variable, description, value]) t.match(reading, { text: part })
    }
  }
  for (const argv of [['--version'], ['-v'], ['-v', 'x']]) t.strictSame(readConfig(argv, {}), { kind: 'version' })
})

t.test('the version is the one in package.json', async t => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  t.equal(VERSION, manifest.version)
  t.equal(readVersion(new URL('../dist/src/', import.meta.url)), manifest.version, 'from the built file')
  t.throws(() => readVersion(new URL('file:///some/where/else/')), { message: /no package.json of holdfast/ })
})
