import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { VERSION } from '../src/version.js'
import { UNCOUNTED, uncountedNode } from './crash/server.js'

const run = promisify(execFile)

const EXAMPLES = ['map-store.ts', 'map-store.test.ts']

// Its directory lies in that of the repository, whose packages it finds; but Holdfast it has from the tarball alone.
t.test('a store that somebody writes outside of this repository, with the packed tarball', async t => {
  const directory = t.testdir({
    'package.json': JSON.stringify({ type: 'module' }),
    'tsconfig.json': JSON.stringify({
      compilerOptions: { target: 'ES2022', lib: ['ES2023'], module: 'NodeNext', types: ['node'], strict: true, exactOptionalPropertyTypes: true, outDir: 'built' },
      files: EXAMPLES,
    }),
  })
  await run('env', [...UNCOUNTED.slice(1), 'npm', 'pack', '--ignore-scripts', '--pack-destination', directory])
  const home = join(directory, 'node_modules', 'holdfast')
  mkdirSync(home, { recursive: true })
  const tarball = join(directory, `holdfast-${VERSION}.tgz`)
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', home])
  for (const name of EXAMPLES) copyFileSync(join('docs', 'examples', name), join(directory, name))
  // The declarations of Holdfast are checked with it. So are those of tap, which have faults of their own.
  const { stdout } = await run(...uncountedNode(join('node_modules', 'typescript', 'bin', 'tsc'), '-p', directory)).catch(error => error as { stdout: string })
  t.strictSame(stdout.split('\n').filter(line => /: error TS/.test(line) && !line.startsWith('node_modules')), [])
  await testIt(t, directory)
})

async function testIt (t: Test, directory: string): Promise<void> {
  writeFileSync(join(directory, 'built', 'package.json'), JSON.stringify({ type: 'module' }))
  const env = { ...process.env, TAP: '1' }
  const { stdout } = await run(...uncountedNode(join(directory, 'built', 'map-store.test.js')), { env, maxBuffer: 2 ** 26 }).catch(error => error as { stdout: string })
  t.match(stdout, /^ok \d+ - a server on it/m)
  t.notMatch(stdout, /^\s*not ok/m)
}
