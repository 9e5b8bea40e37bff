// Fails when a command takes more instructions than it did: a spread or a closure per key on the hot path shows here before anybody
// measures. What is counted is the command layer in one process, from the bytes of a body to the text of the reply, by valgrind's
// cachegrind, which sees every instruction; between two lengths of a run, so that the start and the compiler are not in it.
//
//     npm run bench:guard               compares with test/bench/guard.json, which has figures by major version of Node
//     npm run bench:guard -- --accept   writes what it counts there: say in the commit's message why it is more
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const MARGIN = 0.15
const [SHORT, LONG] = [10_000, 20_000]
const COMMANDS = ['KV_SET', 'KV_GET']

const FIGURES = fileURLToPath(new URL('guard.json', import.meta.url))
const WORK = fileURLToPath(new URL('guard-work.js', import.meta.url))
const VALGRIND = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null', '--smc-check=all-non-file']
/** One thread and no chance: the same count each time, within a few per cent. */
const NODE = ['--single-threaded', '--predictable', '--predictable-gc-schedule', '--random-seed=1', '--hash-seed=1']

/** Instructions of a whole run. */
async function count (command, times) {
  const args = [...VALGRIND, process.execPath, ...NODE, WORK, command, `${times}`]
  const { stderr } = await promisify(execFile)('valgrind', args).catch(error => {
    throw error.code === 'ENOENT' ? new Error('valgrind is not installed: apt-get install valgrind') : error
  })
  const [, refs] = /I +refs: +([\d,]+)/.exec(stderr) ?? []
  if (refs === undefined) throw new Error(`valgrind counted nothing: ${stderr}`)
  return Number(refs.replaceAll(',', ''))
}

/** Instructions of one command. */
async function perCommand (command) {
  const [short, long] = await Promise.all([SHORT, LONG].map(async times => await count(command, times)))
  return Math.round((long - short) / (LONG - SHORT))
}

const major = process.versions.node.split('.')[0]
const kept = JSON.parse(readFileSync(FIGURES, 'utf8'))
const counted = {}
for (const command of COMMANDS) counted[command] = await perCommand(command)

if (process.argv.includes('--accept')) {
  writeFileSync(FIGURES, `${JSON.stringify({ ...kept, [major]: counted }, undefined, 2)}\n`)
  console.log(`Node ${major}: ${JSON.stringify(counted)} is what is compared with from now on.`)
} else if (kept[major] === undefined) {
  console.log(`Node ${major}: ${JSON.stringify(counted)} instructions. There are no figures of this version: npm run bench:guard -- --accept keeps these.`)
} else {
  for (const command of COMMANDS) {
    const [now, before] = [counted[command], kept[major][command]]
    console.log(`${command} takes ${now} instructions; ${before} are kept for Node ${major}.`)
    if (now <= before * (1 + MARGIN)) continue
    console.error(`${command} takes ${now} instructions, which is more than ${before} and ${MARGIN * 100} % (test/bench/guard.json): see "The hot path" in docs/performance.md. If it has to be so: npm run bench:guard -- --accept`)
    process.exitCode = 1
  }
}
