// Linters of OpenAPI accept the documents.
import { execFile } from 'node:child_process'
import { resolve as resolvePath } from 'node:path'
import t from 'tap'
import { DOCUMENTS } from '../openapi/generate.js'
import { UNCOUNTED } from './crash/server.js'

interface Run { readonly code: unknown, readonly stdout: string }

/** Runs the program of a package in an empty environment; nothing here may ask the network. */
async function run (bin: string, args: readonly string[], cwd: string): Promise<Run> {
  const [program, ...rest] = [...UNCOUNTED, process.execPath, resolvePath('node_modules', bin), ...args]
  const env = { PATH: process.env.PATH, HOME: cwd, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  return await new Promise(resolve => {
    execFile(program!, rest, { cwd, env, maxBuffer: 2 ** 24 }, (error, stdout) => { resolve({ code: error?.code ?? 0, stdout }) })
  })
}

t.test('the linters find nothing, not even a warning', async t => {
  const cwd = t.testdir({ ...DOCUMENTS, 'wrong.json': DOCUMENTS['openapi.json'].replace('"operationId"', '"x-id"'), 'ruleset.yaml': 'extends: ["spectral:oas"]\n' })
  const lint = {
    redocly: async (files: string[]) => await run('@redocly/cli/bin/cli.js', ['lint', ...files, '--extends=recommended-strict', '--format=json'], cwd),
    spectral: async (files: string[]) => await run('@stoplight/spectral-cli/dist/index.js', ['lint', ...files, '--ruleset=ruleset.yaml', '--format=json', '--fail-severity=hint'], cwd),
  }
  for (const [name, one] of Object.entries(lint)) {
    const [right, wrong] = await Promise.all([one(Object.keys(DOCUMENTS)), one(['wrong.json'])])
    t.strictSame(right.code, 0, `${name} says: ${right.stdout}`)
    t.match(wrong, { code: 1, stdout: /operationId/ }, `${name} finds what is wrong`)
  }
})
