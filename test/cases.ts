import type { CommandName } from '../src/commands/index.js'
import type { StatusName } from '../src/status.js'

/** A command that fails as a whole: its status and the parameter to blame. */
export interface Failure { readonly fails: StatusName, readonly m: string }

/**
 * A command, its parameters and the content of its reply, both as JSON text; undefined: it has nothing to say.
 * `$T` stands for the token of the scenario's session; new sessions have the tokens T2, T3 and so on, and `$S` is the
 * token of the shared session named `shop`.
 */
export type Step = readonly [command: CommandName, params: string, reply: string | Failure | undefined] | Wait

/** Lets so many milliseconds pass. */
export interface Wait { readonly wait: number }

export interface Scenario {
  readonly name: string
  /** Parameters of the SH_NEW that begins it, beside the name. */
  readonly session?: string
  readonly steps: readonly Step[]
}

/** When every scenario begins: Unix time in milliseconds. */
export const START = 1_700_000_000_000

const fails = (status: StatusName, m = ''): Failure => ({ fails: status, m })
const wait = (ms: number): Wait => ({ wait: ms })

const LONG = 'k'.repeat(1024)
const NEVER = '{"expires":false,"duration":0,"time":0,"deleteSession":false}'
const WEIRD = '{"1":1,"0":0,"__proto__":"p","constructor":[],"toString":{},"tkn":"t","keys":"k","":"empty","a\\nb":"newline","\\u0041":"escaped"}'
const WEIRD_NAMES = '["1","0","__proto__","constructor","toString","tkn","keys","","a\\nb","A"]'

const sessions: Scenario[] = [
  {
    name: 'SH_NEW',
    steps: [
      ['SH_NEW', '{"name":"x"}', '{"st":1,"name":"x","tkn":"T2"}'],
      ['SH_NEW', '{"name":"x"}', '{"st":1,"name":"x","tkn":"T3"}'],
      ['SH_NEW', '{"name":"é\\n","shared":false,"expiry":{"duration":1,"deleteSession":true,"idle":1}}', '{"st":1,"name":"é\\n","tkn":"T4"}'],
      ['SH_NEW', `{"name":"${'n'.repeat(256)}"}`, `{"st":1,"name":"${'n'.repeat(256)}","tkn":"T5"}`],
      ['SH_NEW', `{"name":"${'é'.repeat(129)}"}`, fails('ValueSize', 'name')],
      ['SH_NEW', '{}', fails('ValueMissing', 'name')],
      ['SH_NEW', '{"name":""}', fails('ValueSize', 'name')],
      ['SH_NEW', '{"name":5}', fails('ValueTypeInvalid', 'name')],
      ['SH_NEW', '{"name":"\\ud800"}', fails('ValueTypeInvalid', 'name')],
      ['SH_NEW', '{"name":"x","shared":"true"}', fails('ValueTypeInvalid', 'shared')],
      ['SH_NEW', '{"name":"x","expriy":{"duration":1,"deleteSession":true}}', fails('CommandSyntax', 'expriy')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":1}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"deleteSession":true}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":-1,"deleteSession":true}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":1.5,"deleteSession":true}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":"1","deleteSession":true}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":10000000001,"deleteSession":true}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":{"duration":1,"deleteSession":true,"ilde":1}}', fails('CommandSyntax', 'expiry')],
      ['SH_NEW', '{"name":"x","expiry":60}', fails('CommandSyntax', 'expiry')],
      ['SH_INFO_ALL', '{}', '{"totalSessions":5,"totalKeys":0}'],
    ],
  },
  {
    name: 'shared sessions',
    steps: [
      ['SH_OPEN', '{"name":"shop"}', fails('SessionOpenFail')],
      ['SH_NEW', '{"name":"shop","shared":true}', '{"st":1,"name":"shop","tkn":"$S"}'],
      ['KV_SET', '{"tkn":"$S","keys":{"a":1}}', '{"tkn":"$S","keys":{"a":20}}'],
      ['SH_NEW', '{"name":"shop","shared":true,"expiry":{"duration":5,"deleteSession":true}}', '{"st":1,"name":"shop","tkn":"$S"}'],
      ['SH_INFO', '{"tkn":"$S"}', `{"st":1,"tkn":"$S","name":"shop","shared":true,"keyCnt":1,"expiry":${NEVER}}`],
      ['SH_OPEN', '{"name":"shop"}', '{"st":1,"name":"shop","tkn":"$S"}'],
      ['SH_NEW', '{"name":"shop"}', '{"st":1,"name":"shop","tkn":"T2"}'],
      ['SH_OPEN', '{}', fails('ValueMissing', 'name')],
      ['SH_OPEN', '{"name":[]}', fails('ValueTypeInvalid', 'name')],
      ['SH_OPEN', '{"name":"shop","tkn":"x"}', fails('CommandSyntax', 'tkn')],
      ['SH_END', '{"tkn":"$S"}', '{"st":1,"tkn":"$S"}'],
      ['SH_OPEN', '{"name":"shop"}', fails('SessionOpenFail')],
    ],
  },
  {
    name: 'SH_INFO, SH_EXISTS, SH_END, SH_END_ALL',
    steps: [
      ['SH_INFO', '{"tkn":"$T"}', `{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":${NEVER}}`],
      ['SH_INFO', '{"tkn":"nobody"}', fails('SessionNotExist')],
      ['SH_INFO', '{"tkn":""}', fails('SessionTokenInvalid', 'tkn')],
      ['SH_INFO', '{"tkn":17}', fails('SessionTokenInvalid', 'tkn')],
      ['SH_INFO', '{}', fails('SessionTokenInvalid', 'tkn')],
      ['SH_EXISTS', '{"tkns":["nobody","$T","","$T"]}', '{"st":1,"exist":["$T","$T"]}'],
      ['SH_EXISTS', '{"tkns":[]}', '{"st":1,"exist":[]}'],
      ['SH_EXISTS', '{}', fails('ParamMissing', 'tkns')],
      ['SH_EXISTS', '{"tkns":"$T"}', fails('ValueTypeInvalid', 'tkns')],
      ['SH_EXISTS', '{"tkns":["$T",5]}', fails('ValueTypeInvalid', 'tkns')],
      ['SH_END', '{"tkn":"$T"}', '{"st":1,"tkn":"$T"}'],
      ['SH_END', '{"tkn":"$T"}', fails('SessionNotExist')],
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', fails('SessionNotExist')],
      ['SH_NEW', '{"name":"x"}', '{"st":1,"name":"x","tkn":"T2"}'],
      ['SH_END_ALL', '{}', fails('ParamMissing', 'all')],
      ['SH_END_ALL', '{"all":false}', fails('ParamMissing', 'all')],
      ['SH_END_ALL', '{"all":"all"}', fails('ValueTypeInvalid', 'all')],
      ['SH_END_ALL', '{"all":true}', '{"st":1,"cnt":1}'],
      ['SH_END_ALL', '{"all":true}', '{"st":1,"cnt":0}'],
      ['SH_INFO', '{"tkn":"T2"}', fails('SessionNotExist')],
    ],
  },
  {
    name: 'expiry that ends the session, to the millisecond',
    session: '"expiry":{"duration":60,"deleteSession":true}',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"a":1}}', '{"tkn":"$T","keys":{"a":20}}'],
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":1,"expiry":{"expires":true,"duration":60,"time":1700000060,"deleteSession":true}}'],
      wait(59_999),
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', '{"tkn":"$T","keys":{"a":1}}'],
      wait(1),
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', fails('SessionNotExist')],
      ['SH_INFO', '{"tkn":"$T"}', fails('SessionNotExist')],
      ['SH_EXISTS', '{"tkns":["$T"]}', '{"st":1,"exist":[]}'],
      ['SH_INFO_ALL', '{}', '{"totalSessions":0,"totalKeys":0}'],
      ['SH_TOUCH', '{"tkn":"$T"}', fails('SessionNotExist')],
      ['SH_END', '{"tkn":"$T"}', fails('SessionNotExist')],
    ],
  },
  {
    name: 'expiry that empties the session, again and again',
    session: '"expiry":{"duration":10,"deleteSession":false}',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"a":1}}', '{"tkn":"$T","keys":{"a":20}}'],
      wait(10_000),
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":{"expires":true,"duration":10,"time":1700000020,"deleteSession":false}}'],
      ['KV_ADD', '{"tkn":"$T","keys":{"a":2}}', '{"tkn":"$T","keys":{"a":20}}'],
      wait(35_000),
      ['SH_INFO_ALL', '{}', '{"totalSessions":1,"totalKeys":0}'],
      ['KV_COUNT', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":0}'],
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":{"expires":true,"duration":10,"time":1700000050,"deleteSession":false}}'],
    ],
  },
  {
    name: 'idle: key commands keep a session alive, SH_INFO does not, and duration caps it',
    session: '"expiry":{"duration":25,"deleteSession":true,"idle":10}',
    steps: [
      wait(9_000),
      ['KV_COUNT', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":0}'],
      wait(9_000),
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":{"expires":true,"duration":25,"time":1700000019,"deleteSession":true,"idle":10}}'],
      ['KV_SET', '{"tkn":"$T","keys":{"a":1}}', '{"tkn":"$T","keys":{"a":20}}'],
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":1,"expiry":{"expires":true,"duration":25,"time":1700000025,"deleteSession":true,"idle":10}}'],
      wait(6_999),
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', '{"tkn":"$T","keys":{"a":1}}'],
      wait(1),
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', fails('SessionNotExist')],
    ],
  },
  {
    name: 'idle alone',
    session: '"expiry":{"duration":0,"deleteSession":true,"idle":10}',
    steps: [
      wait(9_999),
      ['KV_GET', '{"tkn":"$T","keys":["a"]}', '{"tkn":"$T","keys":{"a":null}}'],
      wait(5_000),
      ['SH_INFO', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":{"expires":true,"duration":0,"time":1700000020,"deleteSession":true,"idle":10}}'],
      wait(5_000),
      ['SH_INFO', '{"tkn":"$T"}', fails('SessionNotExist')],
    ],
  },
  {
    name: 'SH_TOUCH',
    session: '"expiry":{"duration":10,"deleteSession":true}',
    steps: [
      wait(9_000),
      ['SH_TOUCH', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","expiry":{"expires":true,"duration":10,"time":1700000019,"deleteSession":true}}'],
      wait(9_000),
      ['SH_TOUCH', '{"tkn":"$T","duration":100}', '{"st":1,"tkn":"$T","expiry":{"expires":true,"duration":100,"time":1700000118,"deleteSession":true}}'],
      wait(50_000),
      ['SH_TOUCH', '{"tkn":"$T","duration":0}', `{"st":1,"tkn":"$T","expiry":${NEVER}}`],
      wait(1_000_000_000),
      ['SH_TOUCH', '{"tkn":"$T"}', `{"st":1,"tkn":"$T","expiry":${NEVER}}`],
      ['SH_TOUCH', '{"tkn":"$T","duration":"1"}', fails('ValueTypeInvalid', 'duration')],
      ['SH_TOUCH', '{"tkn":"$T","duraton":1}', fails('CommandSyntax', 'duraton')],
      ['SH_TOUCH', '{"tkn":"nobody"}', fails('SessionNotExist')],
    ],
  },
]

const keys: Scenario[] = [
  {
    name: 'KV_SET and KV_GET: exact values and any key',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"n":9007199254740993,"m":18446744073709551615,"d":1.10,"e":1e400,"o":{"b":1,"a":-0.0,"b":2},"s":"\\u00e9\\ud800\\/","z":[null,{ "x" : 1 }]}}', '{"tkn":"$T","keys":{"n":20,"m":20,"d":20,"e":20,"o":20,"s":20,"z":20}}'],
      ['KV_GET', '{"tkn":"$T","keys":["z","s","o","e","d","m","n","none"]}', '{"tkn":"$T","keys":{"z":[null,{ "x" : 1 }],"s":"\\u00e9\\ud800\\/","o":{"b":1,"a":-0.0,"b":2},"e":1e400,"d":1.10,"m":18446744073709551615,"n":9007199254740993,"none":null}}'],
      ['KV_CLEAR_SET', `{"tkn":"$T","keys":${WEIRD}}`, '{"st":1,"tkn":"$T","cnt":7,"keys":{"1":20,"0":20,"__proto__":20,"constructor":20,"toString":20,"tkn":20,"keys":20,"":20,"a\\nb":20,"A":20}}'],
      ['KV_GET', `{"tkn":"$T","keys":${WEIRD_NAMES}}`, `{"tkn":"$T","keys":${WEIRD.replace('\\u0041', 'A')}}`],
      ['KV_SET', '{"tkn":"$T","keys":{"a":1,"a":2,"0":3}}', '{"tkn":"$T","keys":{"a":20,"0":21}}'],
      ['KV_GET', '{"tkn":"$T","keys":["a","a"]}', '{"tkn":"$T","keys":{"a":2}}'],
      ['KV_SET', `{"tkn":"$T","keys":{"null":null,"${LONG}x":1,"\\ud800":1,"${LONG}":1}}`, `{"tkn":"$T","keys":{"null":41,"${LONG}x":42,"\\ud800":27,"${LONG}":20}}`],
      ['KV_GET', `{"tkn":"$T","keys":["null","${LONG}","${LONG}x"]}`, `{"tkn":"$T","keys":{"null":null,"${LONG}":1,"${LONG}x":null}}`],
      ['KV_SET', '{"tkn":"$T","keys":{}}', '{"tkn":"$T","keys":{}}'],
      ['KV_GET', '{"tkn":"$T","keys":["\\ud800"]}', fails('KeyTypeInvalid', 'keys')],
    ],
  },
  {
    name: 'wrong parameters, in the order of PROTOCOL 2',
    steps: [
      ['KV_SET', '{"x":1,"tkn":5}', fails('ParamMissing', 'keys')],
      ['KV_SET', '{"x":1,"tkn":5,"keys":[]}', fails('ValueTypeInvalid', 'keys')],
      ['KV_SET', '{"x":1,"tkn":5,"keys":{}}', fails('CommandSyntax', 'x')],
      ['KV_SET', '{"tkn":5,"keys":{}}', fails('SessionTokenInvalid', 'tkn')],
      ['KV_SET', '{"tkn":"","keys":{}}', fails('SessionTokenInvalid', 'tkn')],
      ['KV_SET', '{"keys":{}}', fails('SessionTokenInvalid', 'tkn')],
      ['KV_SET', '{"tkn":"nobody","keys":{}}', fails('SessionNotExist')],
      ['KV_SET', '{"tkn":"nobody","keys":{},"__proto__":1}', fails('CommandSyntax', '__proto__')],
      ['KV_SET', '{"tkn":"nobody","keys":{},"constructor":1}', fails('CommandSyntax', 'constructor')],
      ['KV_SET', '{"tkn":"__proto__","keys":{"polluted":1}}', fails('SessionNotExist')],
      ['KV_SET', '{"tkn":"$T","keys":"a"}', fails('ValueTypeInvalid', 'keys')],
      ['KV_SET', '{"tkn":"$T","keys":null}', fails('ValueTypeInvalid', 'keys')],
      ['KV_GET', '{"tkn":"$T"}', fails('ParamMissing', 'keys')],
      ['KV_GET', '{"tkn":"$T","keys":{}}', fails('ValueTypeInvalid', 'keys')],
      ['KV_GET', '{"tkn":"$T","keys":["a",1]}', fails('KeyTypeInvalid', 'keys')],
      ['KV_RMV', '{"tkn":"$T","keys":[null]}', fails('KeyTypeInvalid', 'keys')],
      ['KV_CONTAINS', '{"tkn":"$T","keys":[["a"]]}', fails('KeyTypeInvalid', 'keys')],
      ['KV_COUNT', '{"tkn":"$T","keys":[]}', fails('CommandSyntax', 'keys')],
      ['KV_COUNT', '{"tkn":{"a":1}}', fails('SessionTokenInvalid', 'tkn')],
    ],
  },
  {
    name: 'KV_ADD, KV_SETQ, KV_ADDQ',
    steps: [
      ['KV_ADD', '{"tkn":"$T","keys":{"a":1,"n":null}}', '{"tkn":"$T","keys":{"a":20,"n":41}}'],
      ['KV_ADD', '{"tkn":"$T","keys":{"a":2,"b":2}}', '{"tkn":"$T","keys":{"a":23,"b":20}}'],
      ['KV_SETQ', '{"tkn":"$T","keys":{"a":3,"c":3}}', undefined],
      ['KV_SETQ', '{"tkn":"$T","keys":{"a":4,"n":null}}', '{"tkn":"$T","keys":{"n":41}}'],
      ['KV_ADDQ', '{"tkn":"$T","keys":{"d":5}}', undefined],
      ['KV_ADDQ', '{"tkn":"$T","keys":{"d":6,"e":6}}', '{"tkn":"$T","keys":{"d":23}}'],
      ['KV_SETQ', '{"tkn":"$T"}', fails('ParamMissing', 'keys')],
      ['KV_ADDQ', '{"tkn":"nobody","keys":{}}', fails('SessionNotExist')],
      ['KV_GET', '{"tkn":"$T","keys":["a","b","c","d","e"]}', '{"tkn":"$T","keys":{"a":4,"b":2,"c":3,"d":5,"e":6}}'],
    ],
  },
  {
    name: 'KV_RMV, KV_CONTAINS, KV_COUNT, KV_CLEAR',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"a":1,"b":2,"tkn":3}}', '{"tkn":"$T","keys":{"a":20,"b":20,"tkn":20}}'],
      ['KV_CONTAINS', '{"tkn":"$T","keys":["a","x","__proto__"]}', '{"st":1,"tkn":"$T","keys":{"a":true,"x":false,"__proto__":false}}'],
      ['KV_COUNT', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":3}'],
      ['KV_RMV', '{"tkn":"$T","keys":["a","x","tkn","a"]}', '{"tkn":"$T","keys":{"a":24,"x":22,"tkn":24}}'],
      ['KV_COUNT', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":1}'],
      ['SH_INFO_ALL', '{}', '{"totalSessions":1,"totalKeys":1}'],
      ['KV_CLEAR', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":1}'],
      ['KV_CLEAR', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":0}'],
      ['KV_CLEAR_SET', '{"tkn":"$T","keys":{"n":null,"z":1}}', '{"st":1,"tkn":"$T","cnt":0,"keys":{"n":41,"z":20}}'],
      ['KV_CLEAR_SET', '{"tkn":"$T","keys":{}}', '{"st":1,"tkn":"$T","cnt":1,"keys":{}}'],
      ['SH_INFO', '{"tkn":"$T"}', `{"st":1,"tkn":"$T","name":"case","shared":false,"keyCnt":0,"expiry":${NEVER}}`],
    ],
  },
  {
    name: 'KV_KEYS: code point order, prefix, pages',
    steps: [
      ['KV_KEYS', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","keys":[]}'],
      ['KV_SET', '{"tkn":"$T","keys":{"b":1,"a":1,"":1,"10":1,"9":1,"😀":1,"～":1,"ab":1}}', '{"tkn":"$T","keys":{"b":20,"a":20,"":20,"10":20,"9":20,"😀":20,"～":20,"ab":20}}'],
      ['KV_KEYS', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","keys":["","10","9","a","ab","b","～","😀"]}'],
      ['KV_KEYS', '{"tkn":"$T","prefix":"a"}', '{"st":1,"tkn":"$T","keys":["a","ab"]}'],
      ['KV_KEYS', '{"tkn":"$T","limit":1}', '{"st":1,"tkn":"$T","keys":[""],"cursor":"a"}'],
      ['KV_KEYS', '{"tkn":"$T","limit":3,"cursor":"a"}', '{"st":1,"tkn":"$T","keys":["10","9","a"],"cursor":"aYQ"}'],
      ['KV_RMV', '{"tkn":"$T","keys":["a"]}', '{"tkn":"$T","keys":{"a":24}}'],
      ['KV_KEYS', '{"tkn":"$T","limit":4,"cursor":"aYQ"}', '{"st":1,"tkn":"$T","keys":["ab","b","～","😀"]}'],
      ['KV_KEYS', '{"tkn":"$T","limit":1,"prefix":"a"}', '{"st":1,"tkn":"$T","keys":["ab"]}'],
      ['KV_KEYS', '{"tkn":"$T","cursor":"a!"}', fails('CommandSyntax', 'cursor')],
      ['KV_KEYS', '{"tkn":"$T","cursor":""}', fails('CommandSyntax', 'cursor')],
      ['KV_KEYS', '{"tkn":"$T","limit":0}', fails('ValueTypeInvalid', 'limit')],
      ['KV_KEYS', '{"tkn":"$T","limit":1.5}', fails('ValueTypeInvalid', 'limit')],
      ['KV_KEYS', '{"tkn":"$T","prefix":5}', fails('ValueTypeInvalid', 'prefix')],
      ['KV_KEYS', '{"tkn":"$T","prefix":"\\ud83d"}', fails('ValueTypeInvalid', 'prefix')],
      ['KV_KEYS', '{"tkn":"$T","prefx":"a"}', fails('CommandSyntax', 'prefx')],
      ['KV_KEYS', '{"tkn":"nobody"}', fails('SessionNotExist')],
    ],
  },
]

const values: Scenario[] = [
  {
    name: 'KV_APPEND',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"a":[1.10],"s":"x","o":{"a":1e400},"n":1}}', '{"tkn":"$T","keys":{"a":20,"s":20,"o":20,"n":20}}'],
      ['KV_APPEND', '{"tkn":"$T","keys":{"a":[9007199254740993],"s":"y","o":{"b":1.0},"n":2,"none":1,"nul":null}}', '{"tkn":"$T","keys":{"a":1,"s":1,"o":1,"n":41,"none":22,"nul":41}}'],
      ['KV_APPEND', '{"tkn":"$T","keys":{"a":"z","s":1,"o":[]}}', '{"tkn":"$T","keys":{"a":1,"s":41,"o":41}}'],
      ['KV_GET', '{"tkn":"$T","keys":["a","s","o","n","none"]}', '{"tkn":"$T","keys":{"a":[1.10,9007199254740993,"z"],"s":"xy","o":{"a":1e400,"b":1.0},"n":1,"none":null}}'],
      ['KV_APPEND', `{"tkn":"$T","keys":{"${LONG}x":1}}`, `{"tkn":"$T","keys":{"${LONG}x":42}}`],
      ['KV_APPEND', '{"tkn":"$T"}', fails('ParamMissing', 'keys')],
    ],
  },
  {
    name: 'KV_UPDATE',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"o":{"list":[{"p":1.10},{"p":2.20},{"q":1e400}],"a/b":1}}}', '{"tkn":"$T","keys":{"o":20}}'],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"/a~1b","value":[ 1 ]}', '{"st":1,"tkn":"$T","key":"o","cnt":1}'],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"$.list[*].p","value":18446744073709551615}', '{"st":1,"tkn":"$T","key":"o","cnt":2}'],
      ['KV_GET', '{"tkn":"$T","keys":["o"]}', '{"tkn":"$T","keys":{"o":{"list":[{"p":18446744073709551615},{"p":18446744073709551615},{"q":1e400}],"a/b":[ 1 ]}}}'],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"/list/2/q","value":null}', '{"st":1,"tkn":"$T","key":"o","cnt":1}'],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"/list/9","value":1}', fails('PathNotExist', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"$.nope","value":1}', fails('PathNotExist', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"list","value":1}', fails('PathInvalid', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"$[","value":1}', fails('PathInvalid', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"/~2","value":1}', fails('PathInvalid', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"none","path":"","value":1}', fails('KeyNotExist', 'key')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"","value":null}', fails('ValueTypeInvalid', 'value')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":""}', fails('ParamMissing', 'value')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","value":1}', fails('ParamMissing', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","path":"","value":1}', fails('ParamMissing', 'key')],
      ['KV_UPDATE', '{"tkn":"$T","key":5,"path":"","value":1}', fails('KeyTypeInvalid', 'key')],
      ['KV_UPDATE', '{"tkn":"$T","key":"\\ud800","path":"","value":1}', fails('KeyTypeInvalid', 'key')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":[],"value":1}', fails('ValueTypeInvalid', 'path')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"","value":1,"o":1}', fails('CommandSyntax', 'o')],
      ['KV_UPDATE', '{"tkn":"$T","key":"o","path":"","value":"whole"}', '{"st":1,"tkn":"$T","key":"o","cnt":1}'],
      ['KV_GET', '{"tkn":"$T","keys":["o"]}', '{"tkn":"$T","keys":{"o":"whole"}}'],
      ['KV_SET', `{"tkn":"$T","keys":{"deep":${'['.repeat(120)}1${']'.repeat(120)}}}`, '{"tkn":"$T","keys":{"deep":21}}'.replace('21', '20')],
      ['KV_UPDATE', `{"tkn":"$T","key":"deep","path":"$..[?@ == 1]","value":${'['.repeat(9)}${']'.repeat(9)}}`, fails('ValueSize', 'value')],
      ['KV_UPDATE', `{"tkn":"$T","key":"deep","path":"$..[?@ == 1]","value":${'['.repeat(8)}${']'.repeat(8)}}`, '{"st":1,"tkn":"$T","key":"deep","cnt":1}'],
      ['KV_GET', '{"tkn":"$T","keys":["deep"]}', `{"tkn":"$T","keys":{"deep":${'['.repeat(128)}${']'.repeat(128)}}}`],
    ],
  },
  {
    name: 'KV_MERGE',
    steps: [
      ['KV_MERGE', '{"tkn":"$T","keys":{"u":{"n":1.10,"x":null,"d":{"y":null}}}}', '{"tkn":"$T","keys":{"u":20}}'],
      ['KV_MERGE', '{"tkn":"$T","keys":{"u":{"d":{"z":1e400},"m":[null]},"none":null}}', '{"tkn":"$T","keys":{"u":21,"none":24}}'],
      ['KV_GET', '{"tkn":"$T","keys":["u"]}', '{"tkn":"$T","keys":{"u":{"n":1.10,"d":{"z":1e400},"m":[null]}}}'],
      ['KV_MERGE', '{"tkn":"$T","keys":{"u":{"n":null}}}', '{"tkn":"$T","keys":{"u":21}}'],
      ['KV_MERGE', `{"tkn":"$T","keys":{"u":5,"${LONG}x":1,"\\ud800":1}}`, `{"tkn":"$T","keys":{"u":21,"${LONG}x":42,"\\ud800":27}}`],
      ['KV_MERGE', '{"tkn":"$T","keys":{"u":null}}', '{"tkn":"$T","keys":{"u":24}}'],
      ['KV_COUNT', '{"tkn":"$T"}', '{"st":1,"tkn":"$T","cnt":0}'],
      ['KV_MERGE', '{"tkn":"$T","keys":[]}', fails('ValueTypeInvalid', 'keys')],
    ],
  },
  {
    name: 'KV_FIND',
    steps: [
      ['KV_SET', '{"tkn":"$T","keys":{"c":{"p":10.0,"s":"b"},"b":{"p":9007199254740993,"s":"a","ok":true},"a":{"p":"10","l":[{"p":1}]},"n":7}}', '{"tkn":"$T","keys":{"c":20,"b":20,"a":20,"n":20}}'],
      ['KV_FIND', '{"tkn":"$T","path":"/p","==":1e1}', '{"tkn":"$T","keys":["c"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/p",">":9007199254740992}', '{"tkn":"$T","keys":["b"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/p",">=":10}', '{"tkn":"$T","keys":["b","c"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/p","<":11}', '{"tkn":"$T","keys":["c"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/s","<=":"a"}', '{"tkn":"$T","keys":["b"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/l/0","==":{"p":1.0}}', '{"tkn":"$T","keys":["a"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/ok","==":null}', '{"tkn":"$T","keys":[]}'],
      ['KV_FIND', '{"tkn":"$T","path":"",">":5}', '{"tkn":"$T","keys":["n"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"/p",">=":10,"keys":["c","none"]}', '{"tkn":"$T","keys":["c"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"$..p","rsp":"keys"}', '{"tkn":"$T","keys":["a","b","c"]}'],
      ['KV_FIND', '{"tkn":"$T","path":"$..p","rsp":"paths"}', '{"tkn":"$T","paths":{"a":["$[\'p\']","$[\'l\'][0][\'p\']"],"b":["$[\'p\']"],"c":["$[\'p\']"]}}'],
      ['KV_FIND', '{"tkn":"$T","path":"$[?@ == \'b\']","rsp":"kv"}', '{"tkn":"$T","keys":{"c":{"p":10.0,"s":"b"}}}'],
      ['KV_FIND', '{"tkn":"$T","path":"$.s","rsp":"kv","keys":["b","a","b","none"]}', '{"tkn":"$T","keys":{"b":{"p":9007199254740993,"s":"a","ok":true}}}'],
      ['KV_FIND', '{"tkn":"$T","path":"$.none","rsp":"paths"}', '{"tkn":"$T","paths":{}}'],
      ['KV_FIND', '{"tkn":"$T","==":1}', fails('FindNoPath', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":"/p"}', fails('FindNoOperator')],
      ['KV_FIND', '{"tkn":"$T","path":"$.p"}', fails('FindNoOperator')],
      ['KV_FIND', '{"tkn":"$T","path":"/p","!=":1}', fails('FindInvalidOperator', '!=')],
      ['KV_FIND', '{"tkn":"$T","path":"/p","==":1,"limit":1}', fails('CommandSyntax', 'limit')],
      ['KV_FIND', '{"tkn":"$T","path":"/p","==":1,">":1}', fails('CommandSyntax', '>')],
      ['KV_FIND', '{"tkn":"$T","path":"$.p","rsp":"keys","==":1}', fails('CommandSyntax', '==')],
      ['KV_FIND', '{"tkn":"$T","path":"$.p","rsp":"all"}', fails('CommandSyntax', 'rsp')],
      ['KV_FIND', '{"tkn":"$T","path":"$.p","rsp":1}', fails('ValueTypeInvalid', 'rsp')],
      ['KV_FIND', '{"tkn":"$T","path":"$.p","==":1}', fails('PathInvalid', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":"/p","rsp":"keys"}', fails('PathInvalid', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":"p","==":1}', fails('PathInvalid', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":"$..[","rsp":"keys"}', fails('PathInvalid', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":7,"==":1}', fails('ValueTypeInvalid', 'path')],
      ['KV_FIND', '{"tkn":"$T","path":"/p","==":1,"keys":[1]}', fails('KeyTypeInvalid', 'keys')],
      ['KV_FIND', '{"tkn":"nobody","path":"/p","==":1}', fails('SessionNotExist')],
      ['KV_SET', `{"tkn":"$T","keys":{"r":["${'a'.repeat(64)}"]}}`, '{"tkn":"$T","keys":{"r":20}}'],
      ['KV_FIND', '{"tkn":"$T","path":"$[?match(@, \'(a+)+b\')]","rsp":"keys","keys":["r"]}', fails('ValueSize', 'path')],
    ],
  },
  {
    name: 'SV_INFO',
    steps: [
      ['SV_INFO', '{}', '{"st":1,"serverVersion":"$V","protocolVersion":"0.3","store":"$K"}'],
      ['SV_INFO', '{"x":1}', fails('CommandSyntax', 'x')],
      ['SH_INFO_ALL', '{"x":1}', fails('CommandSyntax', 'x')],
    ],
  },
]

export const SCENARIOS: readonly Scenario[] = [...sessions, ...keys, ...values]

/** Bodies of POST /command that no command can be blamed for, and what is answered. */
export const ENVELOPES: ReadonlyArray<readonly [body: string, http: number, reply: string]> = [
  ['', 400, '{"ERR":{"st":3,"m":"byte 0: expected a value"}}'],
  ['{"KV_GET":', 400, '{"ERR":{"st":3,"m":"byte 10: expected a value"}}'],
  ['{"SV_INFO":{}} x', 400, '{"ERR":{"st":3,"m":"byte 15: expected the end"}}'],
  ['[]', 400, '{"ERR":{"st":13,"m":"an object with one member: the command"}}'],
  ['"KV_GET"', 400, '{"ERR":{"st":13,"m":"an object with one member: the command"}}'],
  ['{}', 400, '{"ERR":{"st":13,"m":"an object with one member: the command"}}'],
  ['null', 400, '{"ERR":{"st":13,"m":"an object with one member: the command"}}'],
  ['{"KV_NOPE":{}}', 400, '{"ERR":{"st":10,"m":"KV_NOPE"}}'],
  ['{"kv_get":{}}', 400, '{"ERR":{"st":10,"m":"kv_get"}}'],
  ['{"__proto__":{}}', 400, '{"ERR":{"st":10,"m":"__proto__"}}'],
  ['{"toString":{}}', 400, '{"ERR":{"st":10,"m":"toString"}}'],
  ['{"KV_GET":[]}', 200, '{"KV_GET_RSP":{"tkn":null,"st":12,"m":""}}'],
  ['{"KV_GET":null}', 200, '{"KV_GET_RSP":{"tkn":null,"st":12,"m":""}}'],
  ['{"KV_GET":{},"KV_SET":{}}', 200, '{"KV_GET_RSP":{"tkn":null,"st":11,"m":""}}'],
  ['{"SH_END_ALL":{},"SH_END_ALL":{}}', 200, '{"SH_END_ALL_RSP":{"tkn":null,"st":11,"m":""}}'],
  ['{"NOPE":{},"KV_SET":{}}', 200, '{"NOPE_RSP":{"tkn":null,"st":11,"m":""}}'],
  ['{"a\\"b\\u0001":{},"KV_SET":{}}', 200, '{"a\\"b\\u0001_RSP":{"tkn":null,"st":11,"m":""}}'],
  ['\uFEFF {"SH_INFO_ALL":{}}', 200, '{"SH_INFO_ALL_RSP":{"totalSessions":0,"totalKeys":0}}'],
  ['{"KV_\\u0053ET":{"tkn":1,"tkn":"last","keys":{}}}', 200, '{"KV_SET_RSP":{"tkn":"last","st":100,"m":""}}'],
]
