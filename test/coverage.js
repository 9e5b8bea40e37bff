// Run after tap: fails, naming files and lines, when a line of src/, routes/ or openapi/ was run by no test.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import typescript from 'typescript'

const ROOTS = ['src', 'routes', 'openapi']

/** Whether anything is left of a source file once its types are gone: what is all types is never loaded. */
function hasCode (file) {
  const compilerOptions = { module: 'ESNext', target: 'ES2022', removeComments: true, verbatimModuleSyntax: true }
  const { outputText } = typescript.transpileModule(readFileSync(file, 'utf8'), { compilerOptions })
  return outputText.replace('export {};', '').trim() !== ''
}

/** Ascending line numbers as ranges: [3, 4, 5, 9] is 3-5, 9. */
function ranges (lines) {
  const found = []
  for (const line of lines) {
    const last = found.at(-1)
    if (last?.end === line - 1) last.end = line
    else found.push({ start: line, end: line })
  }
  return found.map(({ start, end }) => start === end ? `${start}` : `${start}-${end}`).join(', ')
}

/** What is wrong with the coverage of a file, or undefined. In c8's reports a statement is a line. */
function fault (file, coverage) {
  if (coverage === undefined) return hasCode(file) ? `${file}: no test loads it` : undefined
  const missed = Object.keys(coverage.s).filter(id => coverage.s[id] === 0).map(id => coverage.statementMap[id].start.line)
  return missed.length === 0 ? undefined : `${file}: no test runs line ${ranges(missed)}`
}

const report = Object.values(JSON.parse(readFileSync('.tap/report/coverage-final.json', 'utf8')))
const covered = new Map(report.map(coverage => [relative('.', coverage.path), coverage]))
const sources = ROOTS.flatMap(root => readdirSync(root, { recursive: true }).map(name => join(root, name)))
  .filter(name => name.endsWith('.ts')).sort()
const faults = sources.flatMap(file => fault(file, covered.get(file)) ?? [])

if (faults.length > 0) {
  console.error(['Lines without a test (in servers that tests start only those that startCounted() starts count):', ...faults].join('\n  '))
  process.exitCode = 1
} else {
  console.log(`Every line of ${sources.length} files is run by a test.`)
}
