// `npm run dev -- --store memory:`: the server, started again whenever a file of the sources changes, with a log for people.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'

const LEVELS = { 10: ['gray', 'trace'], 20: ['gray', 'debug'], 30: ['green', 'info'], 40: ['yellow', 'warn'], 50: ['red', 'error'], 60: ['red', 'fatal'] }

/** Milliseconds that the others have to end by themselves after a Ctrl-C. */
const PATIENCE_MS = 1_000

/** A line of the log as one reads it; what is none stays as it is. */
function pretty (line) {
  if (!line.startsWith('{')) return line
  const { level, time, pid, hostname, msg, err, ...rest } = JSON.parse(line)
  const [colour, name] = LEVELS[level] ?? ['white', level]
  const more = Object.keys(rest).length === 0 ? '' : ` ${styleText('gray', JSON.stringify(rest))}`
  return `${new Date(time).toLocaleTimeString()} ${styleText(colour, name)} ${msg}${more}${err === undefined ? '' : `\n${err.stack ?? err.message}`}`
}

const compiler = spawn(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--watch', '--preserveWatchOutput'], { stdio: 'inherit' })
const server = spawn(process.execPath, ['--watch', '--watch-preserve-output', 'dist/src/main.js', ...process.argv.slice(2)], {
  env: { HOLDFAST_LOG_LEVEL: 'info', ...process.env },
  stdio: ['inherit', 'inherit', 'pipe'],
})
createInterface(server.stderr).on('line', line => console.error(pretty(line)))

function end () {
  compiler.kill()
  server.kill()
}

// A terminal sends Ctrl-C to all of them, and they end by themselves; who sends it to this process alone means all of them.
process.on('SIGINT', () => { setTimeout(end, PATIENCE_MS) })
process.on('SIGTERM', end)
process.on('SIGHUP', end)
server.on('close', () => compiler.kill())
