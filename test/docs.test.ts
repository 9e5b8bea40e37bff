import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { COMMANDS, type CommandName } from '../src/commands/index.js'
import { SETTINGS } from '../src/cli/settings.js'
import { buildApp, createGateway, memoryStore } from '../src/index.js'
import { STATUSES } from '../src/status.js'
import { REST, type RestRoute } from '../routes/rest.js'

const README = readFileSync('README.md', 'utf8')
/** The token that the README shows for the one that its first example gets. */
const SHOWN_TOKEN = 'p0Rt2zKqT1m3Zb7Xy9AeVw'
const MARK = '=== end of an example ==='

/** What is pasted into the shell, and what the README says is printed then: nothing, where no output follows. */
function examples (): Array<{ script: string, output: string }> {
  const found: Array<{ script: string, output: string }> = []
  for (const [, language, content = ''] of README.matchAll(/^```(sh|json|text)\n(.*?)^```$/gms)) {
    const last = found.at(-1)
    if (language === 'sh') found.push({ script: content, output: '' })
    else if (last !== undefined) last.output += content
  }
  return found
}

t.test('every example prints what the README says', async t => {
  const app = buildApp(await createGateway(memoryStore()))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo // It listens on a TCP port.
  const all = examples()
  // One shell for all, as for a person who pastes them one after the other.
  const script = all.map(({ script }) => `${script}\necho; echo '${MARK}'`).join('\n').replaceAll('127.0.0.1:1987', `127.0.0.1:${port}`)
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', `${script}\necho "$TKN"`])
  const outputs = stdout.split(`${MARK}\n`)
  const token = outputs.pop()?.trim() ?? ''
  t.match(token, /^[\w-]{22}$/)
  t.equal(stderr, '')
  for (const [index, { script, output }] of all.entries()) {
    t.equal(outputs[index]?.replaceAll(token, SHOWN_TOKEN).trim(), output.trim(), script)
  }
  t.ok(all.length > 10)
  await app.close()
})

t.test('its tables say what the code says', async t => {
  for (const [name, { st, http, meaning }] of Object.entries(STATUSES)) t.match(README, `| ${name} | ${st} | ${http} | ${meaning} |`)
  for (const { option, hint, variable, default: value, description } of SETTINGS) {
    t.match(README, `| \`${option} <${hint}>\` | \`${variable}\` | \`${value}\` | ${description} |`)
  }
  for (const route of REST as readonly RestRoute[]) {
    const { method, url, command, minimal } = route
    for (const name of [command, minimal].filter((name): name is CommandName => name !== undefined)) {
      const row = README.split('\n').find(line => line.startsWith(`| ${name} |`))
      t.match(row, `| ${name} | ${method} ${url}`)
      t.match(row, `| ${COMMANDS[name].summary} |`)
    }
  }
})
