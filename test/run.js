// Runs built tests with tap: all, or those that are named as they are found below test/, a file or a folder.
//
//     node test/run.js                     everything
//     node test/run.js json/json stores    some of them, without counting lines
//     node test/run.js --quick             those that start no program
//
// Whatever else begins with a dash is for tap.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Folders and files whose tests start programs: servers, engines, linters, strace. Everything else is quick. */
const STARTERS = ['crash', 'data', 'docs', 'faults', 'linters', 'package', 'process', 'stores/lmdb', 'stores/processes', 'stores/valkey']

const SUFFIX = '.test.ts'

/** All tests, such as json/json. From their sources: of one that was removed, the built file may still be there. */
const all = readdirSync('test', { recursive: true }).filter(name => name.endsWith(SUFFIX))
  .map(name => name.slice(0, -SUFFIX.length).replaceAll('\\', '/'))
const isIn = (test, place) => test === place || test.startsWith(`${place}/`)

/** The tests that names stand for. @throws Error for a name that stands for none */
function named (names) {
  const places = names.map(name => name.replace(/^(\.\/)?(dist\/)?test\//, '').replace(/(\.test)?\.[jt]s$|\/$/, ''))
  const unknown = places.find(place => !all.some(test => isIn(test, place)))
  if (unknown !== undefined) throw new Error(`there is no test ${unknown}: ${all.join(', ')}`)
  return all.filter(test => places.some(place => isIn(test, place)))
}

const args = process.argv.slice(2)
const names = args.filter(arg => !arg.startsWith('-'))
const options = args.filter(arg => arg.startsWith('-') && arg !== '--quick')
const chosen = names.length > 0 ? named(names) : args.includes('--quick') ? all.filter(test => !STARTERS.some(place => isIn(test, place))) : all
if (chosen !== all) options.push('--disable-coverage')

const tap = join(dirname(fileURLToPath(import.meta.resolve('tap/package.json'))), 'dist/esm/run.mjs')
const lean = `--test-env=NODE_OPTIONS=--import=${import.meta.resolve('./lean.js')}`
const { status } = spawnSync(process.execPath, [tap, lean, ...options, ...chosen.map(test => `dist/test/${test}.test.js`)], { stdio: 'inherit' })
process.exitCode = status ?? 1
