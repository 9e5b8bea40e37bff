// Writes what a run of the benchmark measured (docs/performance.json) into docs/performance.md, and a few of the figures into README.md.
import { readFileSync, writeFileSync } from 'node:fs'

// `apart`: what was measured by a run of its own, since the first one was crowded then.
const { machine, rows, apart } = JSON.parse(readFileSync('docs/performance.json', 'utf8'))

/** Servers that have both cores, together with the load, are a group of their own. */
const isFree = ({ request }) => request.endsWith('both cores')
const isWebdis = server => server.startsWith('Webdis')

/** The rows of each request with each number of connections. */
const groups = new Map()
for (const row of rows) {
  const key = `${row.request}\t${row.connections}`
  groups.set(key, [...groups.get(key) ?? [], row])
}

const pinned = rows.filter(row => !isFree(row))
const holdfasts = [...new Set(pinned.map(({ server }) => server))].filter(server => server !== 'bare' && !isWebdis(server))
const webdises = [...new Set(pinned.map(({ server }) => server))].filter(isWebdis)

const short = number => number < 100 ? `${number}` : Math.round(number).toLocaleString('en')
const microseconds = row => row === undefined ? '' : `${short(row['CPU µs'])} µs`
const costOf = row => row === undefined ? '' : `${row['of bare'].toFixed(2)} (${row.from.toFixed(2)}–${row.to.toFixed(2)})`
const rateOf = row => row === undefined ? '' : `${row['requests/s'].toLocaleString('en')} (${short(row['p50 ms'])}, ${short(row['p99 ms'])})`
const line = cells => `| ${cells.join(' | ')} |`
const serverIn = (group, name) => group.find(({ server }) => server === name)

/** A table of the groups that pass, with a column for each server. */
function table (servers, head, cellOf, passes = group => !isFree(group[0])) {
  const lines = [...groups.values()].filter(passes).map(group => line([group[0].request, group[0].connections, ...servers.map(name => cellOf(serverIn(group, name), name))]))
  return [line(['Request', 'Connections', ...servers.map(head)]), line(['---', '---', ...servers.map(() => '---')]), ...lines].join('\n')
}

const costs = table(['bare', ...holdfasts], name => name === 'bare' ? name : `${name}, of bare`, (row, name) => name === 'bare' ? microseconds(row) : costOf(row))
const beside = table([...holdfasts, ...webdises], name => name, microseconds, group => !isFree(group[0]) && group.some(({ server }) => isWebdis(server)))
const free = rows.filter(isFree)
const workers = [line(['With the load on the same two cores', 'requests/s (p50, p99 in ms)']), line(['---', '---']), ...free.map(row => line([row.server, rateOf(row)]))].join('\n')
const rates = table(['bare', ...holdfasts], name => `${name} requests/s (p50, p99 in ms)`, rateOf)

const where = `Node ${machine.node}, ${machine.cores} cores of ${machine.cpu}`
const text = `${where}, ${machine.rounds} rounds of ${machine.seconds} s each, load by ${machine.load}. Processor time of a request:

${costs}
${webdises.length === 0
? ''
: `
Processor time of a request beside Webdis, an HTTP server in C in front of Redis, whose hashes stand for sessions; of it and of "Redis" that of
both processes. Webdis checks no expiry of its own, no preconditions, no limits and no shape of values:

${beside}
`}
90 % reads of 10,000 sessions${apart === undefined ? '' : `, by a run of its own, ${apart.rounds} rounds of ${apart.seconds} s`}:

${workers}

Requests per second, and how long one takes:

${rates}
`

const AT = 64
const fewOf = (request, server) => {
  const row = serverIn(groups.get(`${request}\t${AT}`), server)
  return `${request} ${row['of bare'].toFixed(2)} times, ${row['requests/s'].toLocaleString('en')}/s`
}
const readme = holdfasts.map(server => `- \`${server}\`: ${fewOf('KV_SET', server)}; ${fewOf('KV_GET', server)}\n`).join('')

function fill (page, content) {
  const figures = /(<!-- figures: [^\n]*-->\n)[^]*?(<!-- \/figures -->)/
  const old = readFileSync(page, 'utf8')
  if (!figures.test(old)) throw new Error(`${page} has no place for figures`)
  writeFileSync(page, old.replace(figures, (_whole, begin, end) => `${begin}${content}${end}`))
}

fill('docs/performance.md', text)
fill('README.md', readme)
