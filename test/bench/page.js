// Writes what a run of the benchmark measured (docs/performance.json) into docs/performance.md.
import { readFileSync, writeFileSync } from 'node:fs'

const PAGE = 'docs/performance.md'
const { machine, rows } = JSON.parse(readFileSync('docs/performance.json', 'utf8'))

/** The rows of each request with each number of connections. */
const groups = new Map()
for (const row of rows) {
  const key = `${row.request}\t${row.connections}`
  groups.set(key, [...groups.get(key) ?? [], row])
}

const round = number => number < 100 ? number : Math.round(number)
const servers = [...new Set(rows.map(({ server }) => server))]
const bareOf = row => `${round(row['CPU µs'])} µs`
const costOf = row => row === undefined ? '' : `${row['of bare'].toFixed(2)} (${row.from.toFixed(2)}–${row.to.toFixed(2)})`
const line = cells => `| ${cells.join(' | ')} |`

function table (head, cellsOf) {
  return [line(head), line(head.map(() => '---')), ...[...groups.values()].map(row => line([row[0].request, row[0].connections, ...cellsOf(row)]))].join('\n')
}

const serverIn = (row, name) => row.find(({ server }) => server === name)
const costs = table(['Request', 'Connections', 'bare', ...servers.slice(1).map(name => `${name}, of bare`)], row =>
  [bareOf(row[0]), ...servers.slice(1).map(name => costOf(serverIn(row, name)))])
const rates = table(['Request', 'Connections', ...servers.map(name => `${name} requests/s (p50, p99 in ms)`)], row =>
  servers.map(name => serverIn(row, name)).map(one => one === undefined ? '' : `${one['requests/s'].toLocaleString('en')} (${one['p50 ms']}, ${one['p99 ms']})`))

const text = `Node ${machine.node}, ${machine.cores} cores of ${machine.cpu}, ${machine.rounds} rounds of ${machine.seconds} s each. Processor time of a request:

${costs}

Requests per second, and how long one takes:

${rates}
`
const page = readFileSync(PAGE, 'utf8')
const figures = /(<!-- figures: [^\n]*-->\n)[^]*?(<!-- \/figures -->)/
if (!figures.test(page)) throw new Error(`${PAGE} has no place for figures`)
writeFileSync(PAGE, page.replace(figures, (_whole, begin, end) => `${begin}${text}${end}`))
