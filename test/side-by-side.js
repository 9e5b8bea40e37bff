// Runs scripts of package.json at the same time, and prints what each has said once it ends: `node test/side-by-side.js lint build:test`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

async function run (script) {
  const child = spawn('npm', ['run', script], { stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' })
  const said = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => said.push(chunk))
  const [code] = await once(child, 'close')
  process.stdout.write(Buffer.concat(said))
  if (code !== 0) process.exitCode = 1
}

await Promise.all(process.argv.slice(2).map(run))
