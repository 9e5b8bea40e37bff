import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { comparison, type Operator } from '../../src/json/compare.js'
import { compareDecimals } from '../../src/json/decimal.js'
import { append, mergePatch, replace } from '../../src/json/edit.js'
import { parseJsonPath, select } from '../../src/json/jsonpath.js'
import { limited, SearchLimitError } from '../../src/json/limited.js'
import { along, descend, parsePointer } from '../../src/json/pointer.js'
import { JsonError } from '../../src/json/lexer.js'
import { openAll, scan, scanText, type Document, type Node } from '../../src/json/scanner.js'
import type { JsonText } from '../../src/json/text.js'
import { accepted, rejected } from './corpus.js'

const text = (source: string): JsonText => source as JsonText // The tests write valid JSON.
const stringify = (value: unknown): JsonText => text(JSON.stringify(value))

/** What the scanner found, put together again as JSON.parse would. */
function rebuild (document: Document, node: Node): unknown {
  const { items = [] } = node
  if (node.kind === 'array') return items.map(item => rebuild(document, item))
  if (node.kind === 'object') return Object.fromEntries((node.names ?? []).map((name, index) => [name, rebuild(document, items[index] as Node)]))
  return JSON.parse(document.text(node))
}

function fault (bytes: Buffer, opens = openAll): JsonError | undefined {
  try {
    scan(bytes, opens)
    return undefined
  } catch (error) {
    if (error instanceof JsonError) return error
    throw error
  }
}

t.test('accepts what RFC 8259 has, and keeps its text', async t => {
  for (const { name, bytes } of accepted) {
    const document = scan(bytes, openAll)
    const source = bytes.toString().replace(/^\uFEFF/, '')
    t.strictSame(rebuild(document, document.root), JSON.parse(source), name)
    t.equal(document.text(document.root), source.replace(/^[ \t\n\r]+|[ \t\n\r]+$/g, ''), `${name}: text`)
    t.equal(fault(bytes, undefined), undefined, `${name}: closed`)
  }
})

t.test('rejects everything else, and says where', async t => {
  for (const { name, bytes, offset } of rejected) {
    for (const opens of [openAll, undefined]) {
      const error = fault(bytes, opens)
      t.equal(error?.offset, offset, `${name}: ${error?.message}`)
    }
  }
  t.equal(fault(Buffer.from('[1,]'))?.message, 'byte 3: expected a value')
  t.equal(fault(Buffer.from('{"a":1 "b":2}'))?.message, "byte 7: expected ',' or '}'")
  t.equal(fault(Buffer.from('{"a":1,}'))?.message, 'byte 7: expected a name in double quotes')
  t.equal(fault(Buffer.from([0x22, 0xc3, 0x28, 0x22]))?.message, 'byte 1: expected well-formed UTF-8')
  const late = Buffer.concat([Buffer.from(`"${'é'.repeat(10_000)}`), Buffer.from([0xff, 0x22])])
  t.equal(fault(late)?.offset, 20_001, 'beyond the first block')
})

t.test('agrees with JSON.parse on random texts', async () => {
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), source => {
    const document = scanText(text(source), openAll)
    assert.deepEqual(rebuild(document, document.root), JSON.parse(source))
  }), { numRuns: 300 })
  fc.assert(fc.property(fc.json({ maxDepth: 3 }), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 3 }), (source, at, noise) => {
    const bytes = Buffer.from(source)
    const position = at % (bytes.length + 1)
    const broken = Buffer.concat([bytes.subarray(0, position), noise, bytes.subarray(position + noise.length)])
    let expected = true
    try {
      JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(broken))
    } catch {
      expected = false
    }
    assert.equal(fault(broken) === undefined, expected)
  }), { numRuns: 1000 })
})

t.test('opens only what is asked for', async t => {
  const document = scanText(text('{"a":{"x":[1,2]},"b":[{"y":1}],"a":3}'), name => name === 'b' ? () => undefined : undefined)
  t.strictSame(document.root.names, ['a', 'b', 'a'])
  const [a, b] = document.root.items ?? []
  t.equal(a?.items, undefined)
  t.equal(a?.names, undefined)
  t.strictSame(b?.items?.map(item => document.text(item)), ['{"y":1}'])
  t.equal(document.slice(b?.from ?? 0, b?.end ?? 0), '"b":[{"y":1}]')
})

t.test('JSON Pointer: the examples of RFC 6901, and what does not parse', async t => {
  const source = text('{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8,"dup":1,"dup":2}')
  const at = (pointer: string): string | undefined => {
    const tokens = parsePointer(pointer) ?? []
    const document = scanText(source, along(tokens, undefined))
    const node = descend(document, tokens)
    return node && document.text(node)
  }
  const rows: Array<[string, string | undefined]> = [
    ['', source], ['/foo', '["bar","baz"]'], ['/foo/0', '"bar"'], ['/', '0'], ['/a~1b', '1'], ['/c%d', '2'], ['/e^f', '3'],
    ['/g|h', '4'], ['/i\\j', '5'], ['/k"l', '6'], ['/ ', '7'], ['/m~0n', '8'], ['/dup', '2'],
    ['/foo/2', undefined], ['/foo/-', undefined], ['/foo/00', undefined], ['/foo/0/x', undefined], ['/nope', undefined], ['/foo/length', undefined],
  ]
  for (const [pointer, expected] of rows) t.equal(at(pointer), expected, pointer)
  for (const wrong of ['foo', '/~', '/~2', '#/foo', '/a~']) t.equal(parsePointer(wrong), undefined, wrong)
})

t.test('JSONPath selects places that the scanner finds', async t => {
  const query = parseJsonPath('$..price')
  t.ok(query)
  if (query === undefined) return
  const value = text('{"a":{"price":1.10},"b":[{"price":9007199254740993}]}')
  t.strictSame(select(query, value).map(({ path }) => path), ["$['a']['price']", "$['b'][0]['price']"])
  const twice = parseJsonPath("$['a','a']")
  t.equal(twice && select(twice, value).length, 1, 'each place once')
  const wide = parseJsonPath('$[*]')
  t.equal(wide && select(wide, stringify(Array(200_000).fill(0))).length, 200_000, 'more places than fit on the stack')
  t.equal(parseJsonPath('$['), undefined)
  t.equal(parseJsonPath('$[?nope(@)]'), undefined)
})

t.test('a search that takes too long is ended; an error of its own is passed on', async t => {
  const query = parseJsonPath('$[?match(@, "(a+)+b")]')
  t.throws(() => limited(() => query && select(query, stringify(['a'.repeat(64)]))), SearchLimitError)
  const nested = text(`${'['.repeat(120)}1${']'.repeat(120)}`)
  const descendants = parseJsonPath('$..*..*..*..*..*')
  t.throws(() => limited(() => descendants && select(descendants, nested)), SearchLimitError)
  t.throws(() => limited(() => { throw new RangeError('the stack is used up') }), SearchLimitError)
  t.throws(() => limited(() => { throw new TypeError('own') }), { message: 'own' })
  t.equal(limited(() => 7), 7)
  let runs = 0
  t.equal(limited(() => ++runs === 1 ? Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) : runs), 2, 'no processor is no fault of the task')
})

t.test('replace keeps the rest', async t => {
  const put = (source: string, pointers: string[], value: string) => {
    const document = scanText(text(source), openAll)
    const nodes = pointers.map(pointer => descend(document, parsePointer(pointer) ?? []) as Node)
    return replace(document, nodes, text(value))
  }
  t.strictSame(put('{ "a" : 1.10 , "b":[1e400, "\\u0041é"] }', ['/b/0'], '7'), { text: '{ "a" : 1.10 , "b":[7, "\\u0041é"] }', count: 1 })
  t.strictSame(put('[1,2,3]', ['/2', '/0', '/0'], '"x"'), { text: '["x",2,"x"]', count: 2 }, 'any order, each once')
  t.strictSame(put('[[1,2],3]', ['/0/1', '/0'], '0'), { text: '[0,3]', count: 1 }, 'the outer one takes the inner one with it')
  t.strictSame(put('[1]', [''], '{}'), { text: '{}', count: 1 })
})

t.test('append', async t => {
  const rows: Array<[string, string, string | undefined]> = [
    ['[1.10]', '[2]', '[1.10,2]'], ['[]', '[]', '[]'], ['[ ]', '[ 1 ]', '[1 ]'], ['[1]', '[]', '[1]'], ['[]', '2', '[2]'],
    ['[1]', '{"a":[]}', '[1,{"a":[]}]'], ['[1]', '"x"', '[1,"x"]'], ['"a\\u0062"', '"\\n"', '"a\\u0062\\n"'], ['""', '""', '""'],
    ['{"a":1.0,"b":2}', '{"b":3,"c":4}', '{"a":1.0,"b":3,"c":4}'], ['{}', '{"a":1,"a":2}', '{"a":2}'], ['{"a": 1}', '{}', '{"a": 1}'],
    ['1', '2', undefined], ['"a"', '1', undefined], ['{"a":1}', '[1]', undefined], ['true', 'true', undefined], ['{}', '"a"', undefined],
  ]
  for (const [target, addition, expected] of rows) t.equal(append(text(target), text(addition)), expected, `${target} + ${addition}`)
})

t.test('merge patch: the examples of RFC 7396, appendix A, as text', async t => {
  const rows: Array<[string | undefined, string, string]> = [
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'], ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'], ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'], ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'], ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'], ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'], ['{"a":"b"}', '["c"]', '["c"]'], ['{"a":"foo"}', 'null', 'null'], ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'], ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'], ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
    [undefined, '{"a":null,"b":{"c":null,"d":1}}', '{"b":{"d":1}}'], [undefined, '[null]', '[null]'],
    ['{"a":1,"a":2,"b":3}', '{"c":1}', '{"a":1,"a":2,"b":3,"c":1}'],
    ['{ "n" : 1.10, "d":1,"d":2 , "deep":{"x" : 1e400,"y":0}}', '{"d":3,"deep":{"y":null}}', '{"n" : 1.10,"d":3,"deep":{"x" : 1e400}}'],
  ]
  for (const [target, patch, expected] of rows) {
    t.equal(mergePatch(target === undefined ? undefined : text(target), text(patch)), expected, `${target} + ${patch}`)
  }
})

t.test('merge patch agrees with the pseudocode of RFC 7396 on random values', async () => {
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
  const model = (target: unknown, patch: unknown): unknown => {
    if (!isObject(patch)) return patch
    const result = new Map(isObject(target) ? Object.entries(target) : [])
    for (const [name, value] of Object.entries(patch)) {
      if (value === null) result.delete(name)
      else result.set(name, model(result.get(name), value))
    }
    return Object.fromEntries(result)
  }
  const value = fc.letrec(tie => ({
    node: fc.oneof({ maxDepth: 4 }, fc.constantFrom(null, 1, 'a', true), fc.dictionary(fc.constantFrom('a', 'b', '__proto__', '1', '0'), tie('node'), { noNullPrototype: true }), fc.array(tie('node'), { maxLength: 2 })),
  })).node
  fc.assert(fc.property(value, value, (target, patch) => {
    assert.deepEqual(JSON.parse(mergePatch(stringify(target), stringify(patch))), model(target, patch))
  }), { numRuns: 500 })
})

t.test('decimals compare by value', async t => {
  const ascending = ['-1e400', '-1e399', '-18446744073709551616', '-18446744073709551615', '-1.5', '-1', '-1e-400', '0', '1e-400', '0.1', '0.100000000000000000001',
    '1', '1.10000000000000000001', '9007199254740992', '9007199254740993', '18446744073709551615', '1e20', '123e18', '1e400', '10.1e400', '1e99999999999999999999', '2e99999999999999999999']
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) t.equal(Math.sign(compareDecimals(a, b)), Math.sign(i - j), `${a} ~ ${b}`)
  }
  for (const [a, b] of [['1.10', '1.1'], ['11e-1', '1.1'], ['0', '-0'], ['0e5', '-0.000'], ['100', '1E+2'], ['-0.5', '-5e-1'], ['1e400', '10e399'], ['0.001', '1e-3'], ['1000000000000000000000', '1e21']]) {
    t.equal(compareDecimals(a as string, b as string), 0, `${a} = ${b}`)
  }
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.double({ noNaN: true, noDefaultInfinity: true }), (a, b) => {
    assert.equal(Math.sign(compareDecimals(JSON.stringify(a), JSON.stringify(b))) + 0, Math.sign(a - b) + 0)
  }))
})

t.test('comparison: types, order, and deep equality', async t => {
  const holds = (a: string, operator: Operator, b: string): boolean => {
    const document = scanText(text(a), openAll)
    return comparison(operator, text(b))(document, document.root)
  }
  const rows: Array<[string, Operator, string, boolean]> = [
    ['1.10', '==', '1.1', true], ['9007199254740993', '==', '9007199254740992', false], ['2', '>', '10', false], ['2', '>=', '2.0', true],
    ['1', '<', '2', true], ['1', '<=', '0', false], ['"a"', '<', '"b"', true], ['"\\u0061"', '==', '"a"', true], ['"\uFF5E"', '<', '"\u{1F600}"', true],
    ['"10"', '<', '"9"', true], ['false', '<', 'true', true], ['true', '>', 'true', false], ['"1"', '==', '1', false], ['"1"', '<', '2', false],
    ['null', '==', 'null', true], ['null', '<=', 'null', false], ['null', '>=', 'null', false], ['[1]', '<=', '[1]', false], ['{}', '>=', '{}', false],
    ['[1,{"a":1.0}]', '==', '[1.0,{"a":1}]', true], ['[1,2]', '==', '[2,1]', false], ['[1]', '==', '[1,2]', false], ['{"a":1,"b":2}', '==', '{"b":2,"a":1}', true],
    ['{"a":1}', '==', '{"b":1}', false], ['{"a":1}', '==', '{"a":1,"b":2}', false], ['{"a":9,"a":1}', '==', '{"a":1}', true], ['[]', '==', '{}', false], ['{"0":1}', '==', '[1]', false],
    ['[true]', '==', '[false]', false], ['{"a":null}', '==', '{"a":null}', true],
  ]
  for (const [a, operator, b, expected] of rows) t.equal(holds(a, operator, b), expected, `${a} ${operator} ${b}`)
})
