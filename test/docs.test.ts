// The pages: every example in them is run, and what they say of the code, of files and of each other is so.
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { cell } from '../openapi/markdown.js'
import { KEY_STATUSES } from '../openapi/reference-text.js'
import { REST, type RestRoute } from '../routes/rest.js'
import { COMMAND_NAMES, COMMANDS, type CommandName } from '../src/commands/index.js'
import { KeyStatuses } from '../src/commands/schemas.js'
import { executeOne } from '../src/envelope.js'
import { ADMIN } from './callers.js'
import { buildApp, createGateway, lmdbStore, memoryStore, openStore, type SessionStore } from '../src/index.js'
import { MAX_KEY_BYTES, MAX_VALUE_CHARACTERS } from '../src/limits.js'
import { statusName, type StatusName } from '../src/status.js'
import { MAIN, uncountedNode } from './crash/server.js'
import { needs, startServer } from './stores/valkey/servers.js'

const PAGES = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]
const README = read('README.md')

function read (page: string): string {
  return readFileSync(page, 'utf8')
}

// -- Examples

/** The token that the pages show for the one that is given. */
const SHOWN_TOKEN = 'p0Rt2zKqT1m3Zb7Xy9AeVw'
const MARK = '=== end of an example ==='

interface Example { readonly script: string, output: string }

/** What is pasted into the shell, and what the page says is printed then: nothing, where no output follows. */
function examplesOf (page: string): Example[] {
  const found: Example[] = []
  for (const [, language, content = ''] of read(page).matchAll(/^```(sh|json|text)\n(.*?)^```$/gms)) {
    const last = found.at(-1)
    if (language === 'sh') found.push({ script: content, output: '' })
    else if (last !== undefined) last.output += content
  }
  return found
}

/** Without what differs from machine to machine: the space on a disk. */
function comparable (output: string): string {
  return output.replaceAll(/(?<=\()[\d.,]+ KiB(?=\))|[\d,]+(?= on the disk)/g, '…').trim()
}

/** What the examples of a page need around them. */
interface World {
  readonly store: SessionStore
  /** The token that the examples know already. */
  readonly tkn?: string
  /** Shell functions that they call. */
  readonly shell?: string
  /** Makes an address of theirs one of this world. */
  readonly addresses?: ReadonlyArray<readonly [from: string, to: string]>
}

async function serve (t: Test, store: SessionStore): Promise<number> {
  const app = buildApp(await createGateway(store))
  t.teardown(async () => {
    await app.close()
    await store.close()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port // It listens on a TCP port.
}

/** Runs all examples of a page in one shell, as a person would who pastes them one after the other. */
async function play (t: Test, page: string, directory: string, { store, tkn = '', shell = '', addresses = [] }: World): Promise<void> {
  const port = await serve(t, store)
  const all = examplesOf(page)
  t.ok(all.length > 0, 'the page has examples')
  const lines = [`exec 2>&1\nunset NODE_OPTIONS\nTKN=${tkn}\nholdfast () { '${process.execPath}' '${MAIN}' "$@"; }`, shell, ...all.map(({ script }) => `${script}\necho; echo '${MARK}'`), 'echo "$TKN"']
  const script = [['127.0.0.1:1987', `127.0.0.1:${port}`] as const, ...addresses].reduce((text, [from, to]) => text.replaceAll(from, to), lines.join('\n'))
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: directory })
  const outputs = stdout.split(`${MARK}\n`)
  const token = outputs.pop()?.trim() ?? ''
  t.match(token, /^[\w-]{22}$/)
  for (const [index, { script, output }] of all.entries()) {
    t.equal(comparable(outputs[index]?.replaceAll(token, SHOWN_TOKEN) ?? ''), comparable(output), script)
  }
}

function emptyDirectory (t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  return directory
}

/** Makes the sessions that the pages for operators begin with. @returns the token of the first */
async function fill (store: SessionStore): Promise<string> {
  const app = buildApp(await createGateway(store))
  const post = async (url: string, payload: object) => (await app.inject({ method: 'POST', url, payload })).json<{ tkn: string }>().tkn
  const tkn = await post('/sessions', { name: 'basket' })
  await app.inject({ method: 'PUT', url: `/sessions/${tkn}/keys`, headers: { 'content-type': 'application/json' }, payload: '{"keys":{"user":{"id":9007199254740993,"rate":1.10},"visits":1}}' })
  await post(`/sessions/${await post('/sessions', { name: 'settings', shared: true })}/keys`, { keys: { theme: 'dark' } })
  await app.close()
  return tkn
}

for (const page of ['README.md', 'docs/nemesisdb.md']) {
  t.test(`every example of ${page} prints what it says`, async t => await play(t, page, emptyDirectory(t), { store: memoryStore() }))
}

t.test('every example of docs/operating.md prints what it says, while the store is served', async t => {
  const directory = emptyDirectory(t)
  const store = await lmdbStore(join(directory, 'data'))
  await play(t, 'docs/operating.md', directory, { store, tkn: await fill(store) })
})

t.test('every example of docs/valkey.md prints what it says', needs(), async t => {
  const directory = emptyDirectory(t)
  const before = await lmdbStore(join(directory, 'data'))
  const tkn = await fill(before)
  await before.close()
  const { binary, port } = await startServer(t)
  const shell = `redis-cli () { command ${binary.replace('server', 'cli')} -p ${port} "$@"; }`
  const url = `valkey://127.0.0.1:${port}`
  await play(t, 'docs/valkey.md', directory, { store: await openStore(url), tkn, shell, addresses: [['valkey://127.0.0.1', url]] })
})

t.test('the example of the library serves', async t => {
  const source = /^```ts\n(.*?)^```$/ms.exec(README)?.[1]?.replace('1987', '0') ?? ''
  const file = join(t.testdir(), 'example.mjs') // In the package, which is the one that it imports.
  writeFileSync(file, `${source}\nconsole.log((await fetch(\`http://localhost:\${app.server.address().port}/server\`)).status)\nawait app.close()\n`)
  const { stdout } = await promisify(execFile)(...uncountedNode(file))
  t.equal(stdout, '200\n')
})

// -- Tables

t.test('the table of commands in README says what the code says', async t => {
  for (const route of REST as readonly RestRoute[]) {
    const { method, url, command, minimal } = route
    for (const name of [command, minimal].filter((name): name is CommandName => name !== undefined)) {
      const row = README.split('\n').find(line => line.startsWith(`| ${name} |`))
      t.match(row, `| ${name} | ${method} ${url}`, `${name} with its route`)
      t.match(row, `| ${COMMANDS[name].summary} |`, `${name} with its summary`)
    }
  }
})

/** Keys of every kind that a command can meet, with values of every kind: what is there, what is not, and what cannot be a key. */
const MET = `{"list":[],"number":5,"gone":1,"long":"${'x'.repeat(MAX_VALUE_CHARACTERS - 2)}"}`
const GIVEN = `{"list":1,"number":"x","gone":null,"long":"y","new":1,"${'k'.repeat(MAX_KEY_BYTES + 1)}":1,"\\ud800":1}`

async function statusesOf (name: CommandName): Promise<StatusName[]> {
  const gateway = await createGateway(memoryStore(), { newToken: () => 'T' })
  const run = async (envelope: string) => (await executeOne(gateway, ADMIN, Buffer.from(envelope), error => { throw error })).text ?? '{}'
  await run('{"SH_NEW":{"name":"x"}}')
  await run(`{"KV_SETQ":{"tkn":"T","keys":${MET}}}`)
  const keys = name === 'KV_RMV' ? '["gone","new"]' : GIVEN
  const reply = JSON.parse(await run(`{"${name}":{"tkn":"T","keys":${keys}}}`)) as Record<string, { keys: Record<string, number> }>
  return [...new Set(Object.values(reply[`${name}_RSP`]?.keys ?? {}))].map(statusName)
}

t.test('the reference names the statuses that a command has for each key', async t => {
  for (const name of COMMAND_NAMES) {
    const hasStatuses = COMMANDS[name].reply.properties.keys === KeyStatuses
    t.strictSame(KEY_STATUSES[name]?.toSorted(), hasStatuses ? (await statusesOf(name)).sort() : undefined, name)
  }
})

t.test('no text of ours breaks a table', async t => {
  t.equal(cell('a | b `c | d`'), 'a \\| b `c \\| d`')
  t.equal(cell('lmdb:<directory>[/x] *or* \\ `lmdb:<directory>[x]`'), 'lmdb:\\<directory>\\[/x\\] \\*or\\* \\\\ `lmdb:<directory>[x]`')
  t.equal(cell('one\n  two'), 'one two')
  for (const page of PAGES) {
    for (const [table] of read(page).matchAll(/(?:^\|.*\n)+/gm)) {
      const widths = table.trimEnd().split('\n').map(line => line.replaceAll('\\|', '').split('|').length)
      t.equal(new Set(widths).size, 1, `${page}: ${table.slice(0, 60)}`)
    }
  }
})

// -- What the pages say of each other and of files

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf (page: string): Set<string> {
  return new Set(Array.from(read(page).matchAll(/^#+ (.*)$/gm), ([, heading = '']) => heading.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-')))
}

t.test('every link between the pages leads somewhere', async t => {
  for (const page of PAGES) {
    for (const [, link = ''] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (link.startsWith('https://')) continue
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : normalize(join(dirname(page), path))
      t.ok(existsSync(target), `${page}: ${link}`)
      if (anchor !== undefined) t.ok(anchorsOf(target).has(anchor), `${page}: ${link}`)
    }
  }
})

t.test('files and scripts that the pages name are there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const page of PAGES) {
    for (const [, path = ''] of read(page).matchAll(/`((?:src|routes|openapi|test|docs|\.github|\.ci)(?:\/[\w.-]+)*\/?)`/g)) t.ok(existsSync(path), `${page}: ${path}`)
    for (const [, name = ''] of read(page).matchAll(/npm run ([\w:-]+)/g)) t.ok(Object.hasOwn(scripts, name), `${page}: npm run ${name}`)
  }
})

t.test('pages that have to be short are', async t => {
  for (const [page, most] of [['README.md', 220], ['ARCHITECTURE.md', 150]] as const) t.ok(read(page).split('\n').length - 1 <= most, page)
})
