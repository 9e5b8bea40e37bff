// Linters of OpenAPI accept the documents.
import { execFile } from 'node:child_process'
import { basename, resolve as resolvePath } from 'node:path'
import t from 'tap'
import { DOCUMENTS } from '../openapi/generate.js'
import { uncountedNode } from './crash/server.js'

interface Run { readonly code: unknown, readonly stdout: string }

/** Runs the program of a package in an empty environment; nothing here may ask the network. */
async function run (bin: string, args: readonly string[], cwd: string): Promise<Run> {
  const [program, rest] = uncountedNode(resolvePath('node_modules', bin), ...args)
  const env = { PATH: process.env.PATH, HOME: cwd, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  return await new Promise(resolve => {
    execFile(program, rest, { cwd, env, maxBuffer: 2 ** 24 }, (error, stdout) => { resolve({ code: error?.code ?? 0, stdout }) })
  })
}

t.test('the linters find nothing, not even a warning', async t => {
  const cwd = t.testdir({ ...DOCUMENTS, 'wrong.json': DOCUMENTS['openapi.json'].replace('"operationId"', '"x-id"'), 'ruleset.yaml': 'extends: ["spectral:oas"]\n' })
  // With one that is wrong among them: linters take longer to start than to lint.
  const files = [...Object.keys(DOCUMENTS), 'wrong.json']
  const [redocly, spectral] = await Promise.all([
    run('@redocly/cli/bin/cli.js', ['lint', ...files, '--extends=recommended-strict', '--format=json'], cwd),
    run('@stoplight/spectral-cli/dist/index.js', ['lint', ...files, '--ruleset=ruleset.yaml', '--format=json', '--fail-severity=hint'], cwd),
  ])
  for (const [name, { code, stdout }] of Object.entries({ redocly, spectral })) {
    const faulty = Array.from(stdout.matchAll(/"(?:ref|source)": "([^"]+)"/g), ([, file = '']) => basename(file))
    t.strictSame(new Set(faulty), new Set(['wrong.json']), `${name} says: ${stdout}`)
    t.match({ code, stdout }, { code: 1, stdout: /operationId/ }, `${name} finds what is wrong`)
  }
  t.equal(redocly.stdout.match(/"totals": /g)?.length, files.length, 'it has a word on each')
})
