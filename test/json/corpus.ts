// Texts a strict JSON scanner must accept or reject, grouped as the well-known
// JSONTestSuite groups its own. The rules here: RFC 8259, well-formed UTF-8, at
// most one leading byte order mark, at most 128 levels of nesting.

export interface Case {
  readonly name: string
  readonly bytes: Buffer
}

export interface Rejected extends Case {
  /** byte offset where the fault is noticed */
  readonly offset: number
}

// A row's text is UTF-8 when written as a string.
type Good = readonly [name: string, text: string | Buffer]
type Bad = readonly [name: string, text: string | Buffer, offset: number]

const MAX_DEPTH = 128
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex')
const join = (...parts: Array<string | Buffer>): Buffer => Buffer.concat(parts.map(part => typeof part === 'string' ? Buffer.from(part) : part))
const quoted = (digits: string): Buffer => join('"', hex(digits), '"')
const utf16be = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
const utf16le = (text: string): Buffer => Buffer.from(text, 'utf16le')
const nest = (open: string, inner: string, close: string, times: number): string => open.repeat(times) + inner + close.repeat(times)
const BOM = hex('ef bb bf')

const good: Record<string, readonly Good[]> = {
  array: [
    ['empty', '[]'], ['empty_with_space', '[ ]'], ['one_number', '[1]'], ['empty_string', '[""]'],
    ['several_types', '[null,true,false,1,"1",[],{}]'],
    ['spaces_around', ' [ 1 , 2 ] '], ['every_whitespace', '\t\n\r [\t\n\r 1\t\n\r ,\t\n\r 2\t\n\r ]\t\n\r '],
    ['nested', '[[],[[]],[[],[]]]'], ['ends_with_newline', '["a"]\n'],
    ['brackets_in_string', '["[[{{]}"]'],
    ['wide_1000', '[' + '[],'.repeat(999) + '[]]'],
    ['long_10000', '[' + '0,'.repeat(9999) + '0]'],
  ],
  number: [
    ['zero', '0'], ['minus_zero', '-0'], ['digit', '7'], ['negative', '-12'], ['ten', '10'],
    ['fraction', '1.5'], ['fraction_trailing_zero', '1.10'], ['fraction_leading_zeros', '0.001'], ['minus_zero_fraction', '-0.0'],
    ['exponent', '1e5'], ['exponent_capital', '1E5'], ['exponent_plus', '1e+5'], ['exponent_minus', '1e-5'],
    ['exponent_capital_plus', '1E+5'], ['exponent_leading_zero', '1e05'], ['exponent_of_zero', '0e+5'],
    ['fraction_exponent', '-123.456E-78'], ['huge_exponent', '1e400'], ['huge_negative_exponent', '-1e-400'],
    ['exponent_beyond_int64', '1e99999999999999999999'],
    ['thirty_digits', '123456789012345678901234567890'], ['beyond_safe_integer', '9007199254740993'],
    ['int64_min', '-9223372036854775808'], ['many_fraction_digits', '3.14159265358979323846264338327950288'],
    ['10000_digits', '9'.repeat(10000)], ['10000_fraction_digits', '0.' + '3'.repeat(10000)],
    ['before_space', '1 '], ['before_newline', '-1\n'], ['before_bracket', '[1.0e0]'], ['before_brace', '{"a":0}'],
  ],
  object: [
    ['empty', '{}'], ['empty_with_space', '{ \n}'], ['one_member', '{"a":1}'], ['two_members', '{"a":1,"b":[2]}'],
    ['spaces_around', ' { "a" : 1 , "b" : 2 } '], ['every_whitespace', '{\t\n\r "a"\t\n\r :\t\n\r 1\t\n\r ,\t\n\r "b":2\t\n\r }'],
    ['empty_name', '{"":0}'], ['empty_name_twice', '{"":0,"":1}'],
    ['duplicate_name', '{"a":1,"a":2}'],
    ['duplicate_name_escaped', '{"a":1,"\\u0061":2}'], ['duplicate_name_nested', '{"a":{"a":{"a":[]}}}'],
    ['proto', '{"__proto__":{"x":1}}'], ['proto_twice', '{"__proto__":null,"__proto__":[]}'],
    ['inherited_names', '{"constructor":1,"toString":2,"hasOwnProperty":3}'],
    ['name_escapes', '{"\\"\\\\\\/\\n":1}'], ['name_nul', '{"a\\u0000b":1}'], ['name_lone_surrogate', '{"\\udfff":1}'],
    ['name_non_ascii', '{"\u00e9\u20ac\u{1f600}":1}'], ['name_like_number', '{"1":1,"01":2,"-":3}'],
    ['name_of_10000', '{"' + 'n'.repeat(10000) + '":1}'],
    ['1000_members', '{' + Array.from({ length: 1000 }, (_, i) => `"k${i}":${i}`).join() + '}'],
  ],
  string: [
    ['empty', '""'], ['space', '" "'], ['ascii', '"abc"'], ['simple_escapes', '"\\"\\\\\\/\\b\\f\\n\\r\\t"'],
    ['escape_both_cases', '"\\u00aF\\u00Af"'], ['escape_nul', '"\\u0000"'],
    ['escape_every_control', '"' + Array.from({ length: 32 }, (_, i) => '\\u' + i.toString(16).padStart(4, '0')).join('') + '"'],
    ['escape_quote', '"\\u0022"'], ['escape_backslash', '"\\u005C"'], ['escaped_backslash_last', '"a\\\\"'],
    ['escaped_backslash_then_u', '"\\\\u12G4"'], ['escape_then_digits', '"\\u00411234"'],
    ['escape_pair', '"\\ud83d\\ude00"'], ['escape_lone_high', '"\\ud800"'], ['escape_lone_low', '"\\uDC00"'],
    ['escape_high_high', '"\\ud800\\ud800"'], ['escape_low_high', '"\\udc00\\ud800"'], ['escape_high_then_text', '"\\ud800abc"'],
    ['escape_high_then_newline', '"\\ud800\\n"'], ['escape_high_then_raw', '"\\ud83d\u{1f600}"'],
    ['escape_noncharacter', '"\\uffff\\ufffe"'], ['escape_bom', '"\\ufeff"'],
    ['del', quoted('7f')], ['single_quotes', '"it\'s"'], ['comment_inside', '"/* x */ // y"'], ['slash', '"/"'],
    ['long_100000', '"' + 'x'.repeat(100000) + '"'], ['long_escapes', '"' + '\\u00e9\\n'.repeat(5000) + '"'],
    ['brackets_200', '"' + '['.repeat(200) + '"'],
  ],
  structure: [
    ['whitespace_around_value', '\r\n\t 1 \t\r\n'], ['10000_spaces', ' '.repeat(10000) + '1' + ' '.repeat(10000)],
    ['deep_arrays_128', nest('[', '', ']', MAX_DEPTH)], ['deep_objects_128', nest('{"a":', '{}', '}', MAX_DEPTH - 1)],
    ['deep_objects_128_scalar', nest('{"a":', '1', '}', MAX_DEPTH)], ['deep_mixed_128', nest('[{"a":', '1', '}]', MAX_DEPTH / 2)],
    ['deep_spaced_128', nest(' [ ', '', ' ] ', MAX_DEPTH)], ['deep_twice', `[${nest('[', '', ']', MAX_DEPTH - 1)},${nest('{"":', '1', '}', MAX_DEPTH - 1)}]`],
  ],
  literal: [['true', 'true'], ['false', 'false'], ['null', 'null'], ['spaced', ' null\n']],
  encoding: [
    ['bom', join(BOM, '{}')], ['bom_then_space', join(BOM, ' \n1 ')], ['bom_then_string', join(BOM, '"', BOM, '"')],
    ['bom_in_string', quoted('ef bb bf')], ['bom_in_name', join('{"', BOM, '":1}')], ['replacement_character', quoted('ef bf bd')],
    ['first_and_last_of_2', quoted('c2 80 df bf')], ['first_and_last_of_3', quoted('e0 a0 80 ef bf bf')],
    ['around_surrogates', quoted('ed 9f bf ee 80 80')], ['first_and_last_of_4', quoted('f0 90 80 80 f4 8f bf bf')],
    ['noncharacters', quoted('ef bf be ef bf bf ef b7 90 f0 9f bf bf')], ['c1_controls', quoted('c2 85 c2 9f')],
    ['nbsp_in_string', quoted('c2 a0')], ['line_separators_in_string', quoted('e2 80 a8 e2 80 a9')],
    ['combining', quoted('65 cc 81')], ['all_lengths_repeated', '"' + 'a\u00e9\u20ac\u{1f600}'.repeat(3000) + '"'],
  ],
}

const bad: Record<string, readonly Bad[]> = {
  array: [
    ['trailing_comma', '[1,]', 3], ['double_comma', '[1,,2]', 3], ['leading_comma', '[,1]', 1], ['missing_comma', '[1 2]', 3],
    ['colon', '["a":1]', 4], ['closed_by_brace', '[1}', 2], ['closed_twice', '[1]]', 3], ['unclosed', '[', 1], ['unclosed_value', '[1', 2],
    ['unclosed_comma', '[1,', 3], ['unclosed_string', '["a]', 4],
  ],
  number: [
    ['leading_zero', '01', 1], ['minus_leading_zero', '-01', 2], ['leading_plus', '+1', 0], ['bare_minus', '-', 1], ['minus_letter', '-x', 1],
    ['double_minus', '--1', 1], ['lone_dot', '.', 0], ['leading_dot', '.5', 0], ['minus_dot', '-.5', 1], ['trailing_dot', '1.', 2],
    ['dot_exponent', '1.e3', 2], ['two_dots', '1.2.3', 3], ['exponent_empty', '1e', 2], ['exponent_sign_only', '1e+', 3],
    ['exponent_two_signs', '1e+-2', 3], ['exponent_double', '1ee2', 2], ['exponent_fraction', '1e5.5', 3], ['hex', '0x1F', 1],
    ['underscore', '1_000', 1], ['full_width', '\uff11', 0], ['full_width_fraction', '1.\uff12', 2], ['minus_sign_u2212', '\u22121', 0],
    ['nan', 'NaN', 0], ['infinity', 'Infinity', 0], ['minus_infinity', '[-Infinity]', 2],
    ['10000_digits_letter', '9'.repeat(10000) + 'x', 10000],
  ],
  object: [
    ['trailing_comma', '{"a":1,}', 7], ['double_comma', '{"a":1,,"b":2}', 7], ['leading_comma', '{,"a":1}', 1],
    ['missing_comma', '{"a":1 "b":2}', 7], ['missing_colon', '{"a" 1}', 5], ['double_colon', '{"a"::1}', 5],
    ['comma_for_colon', '{"a","b"}', 4], ['name_only', '{"a"}', 4], ['missing_value', '{"a":}', 5], ['name_number', '{1:2}', 1],
    ['name_unquoted', '{a:1}', 1], ['name_unquoted_second', '{"a":1,b:2}', 7], ['name_single_quoted', "{'a':1}", 1],
    ['name_bad_escape', '{"\\x":1}', 3], ['closed_by_bracket', '{"a":1]', 6], ['closed_twice', '{}}', 2], ['unclosed', '{', 1],
    ['unclosed_name', '{"a', 3], ['unclosed_after_name', '{"a"', 4], ['unclosed_after_colon', '{"a":', 5],
    ['unclosed_after_value', '{"a":1', 6], ['unclosed_after_comma', '{"a":1,', 7],
  ],
  string: [
    ['unclosed', '"', 1], ['unclosed_long', '"' + 'x'.repeat(10000), 10001], ['unclosed_after_backslash', '"\\', 2],
    ['unclosed_escaped_quote', '"\\"', 3], ['escape_x', '"\\x41"', 2], ['escape_single_quote', '"\\\'"', 2],
    ['escape_capital_u', '"\\U0041"', 2], ['escape_newline', '"\\\n"', 2], ['escape_non_ascii', '"\\\u00e9"', 2],
    ['escape_u_unclosed_digits', '"\\u00e', 6], ['escape_u_none', '"\\u"', 3], ['escape_u_three', '"\\u00e"', 6],
    ['escape_u_bad_first', '"\\ug000"', 3], ['escape_u_bad_third', '"\\u12G4"', 5], ['escape_u_bad_last', '"\\u123`"', 6],
    ['escape_u_plus', '"\\u+041"', 3], ['escape_u_full_width', '"\\u004\uff11"', 6], ['escape_second_surrogate_short', '"\\ud800\\u"', 9],
    ['single_quoted', "'a'", 0], ['unquoted', 'abc', 0], ['two', '"a""b"', 3], ['raw_newline_long', '"' + 'x'.repeat(9999) + '\n"', 10000],
    ...Array.from({ length: 32 }, (_, code): Bad => [`raw_control_${code.toString(16).padStart(2, '0')}`, join('"a', Buffer.of(code), '"'), 2]),
  ],
  structure: [
    ['empty_body', '', 0], ['only_spaces', ' \t\r\n', 4], ['trailing_garbage', '1 x', 2], ['two_values', '{} []', 3],
    ['lone_close_bracket', ']', 0], ['comment_block', '/* x */1', 0], ['comment_block_inner', '[1/* x */]', 2], ['comment_line', '1 // x', 2],
    ['form_feed', '\f1', 0], ['vertical_tab', '[\v1]', 1], ['nul_before', hex('00 31'), 0], ['nul_after', hex('7b 7d 00'), 2],
    ['del_after', hex('31 7f'), 1], ['nbsp', '1\u00a0', 1], ['line_separator', '[1,\u20282]', 3],
    ['deep_arrays_129', nest('[', '', ']', MAX_DEPTH + 1), 128], ['deep_objects_129', nest('{"a":', '1', '}', MAX_DEPTH + 1), 640],
    ['deep_mixed_129', nest('[{"a":', '[]', '}]', MAX_DEPTH / 2), 384], ['deep_spaced_129', nest(' [ ', '', ' ] ', MAX_DEPTH + 1), 385],
    ['deep_second_129', `[1,${nest('[', '', ']', MAX_DEPTH)}]`, 130], ['deep_bom_129', join(BOM, nest('[', '', ']', MAX_DEPTH + 1)), 131],
    ['open_brackets_128', '['.repeat(MAX_DEPTH), 128], ['open_brackets_100000', '['.repeat(100000), 128],
    ['open_objects_100000', '{"a":'.repeat(100000), 640],
  ],
  literal: [
    ['true_cut', 'tru', 3], ['false_cut', 'fals', 4], ['true_bracket', 'tru]', 3], ['null_last_capital', 'nulL', 3],
    ['true_capital', 'True', 0], ['null_second_capital', 'nUll', 1], ['true_longer', 'truex', 4], ['undefined', '[undefined]', 1],
  ],
  encoding: [
    ['bom_only', BOM, 3], ['bom_twice', join(BOM, BOM, '1'), 3], ['bom_after_space', join(' ', BOM, '1'), 1],
    ['bom_then_garbage', join(BOM, '1 x'), 5], ['bom_cut_then_value', hex('ef bb 31'), 0], ['utf16be', utf16be('[1]'), 0],
    ['utf16le', utf16le('[1]'), 1], ['utf16be_bom', utf16be('\ufeff[1]'), 0], ['utf16le_bom', utf16le('\ufeff[1]'), 0],
    ['latin1', quoted('63 61 66 e9'), 4], ['lead_then_ascii', hex('22 c3 28 22'), 1], ['stray_continuation', quoted('61 80'), 2],
    ['stray_after_sequence', quoted('c3 a9 a9'), 3], ['overlong_2_nul', quoted('c0 80'), 1], ['overlong_2_last', quoted('c1 bf'), 1],
    ['overlong_3', quoted('e0 9f bf'), 1], ['overlong_4', quoted('f0 8f bf bf'), 1], ['overlong_quote', hex('c0 a2 61 c0 a2'), 0],
    ['surrogate_first', quoted('ed a0 80'), 1], ['surrogate_last', quoted('ed bf bf'), 1], ['above_10ffff', quoted('f4 90 80 80'), 1],
    ['lead_f5', quoted('f5 80 80 80'), 1], ['five_bytes', quoted('f8 88 80 80 80'), 1], ['six_bytes', quoted('fc 84 80 80 80 80'), 1],
    ['ff', quoted('ff'), 1], ['ff_outside', hex('31 20 ff'), 2], ['cut_2_at_end', hex('22 61 c3'), 2], ['cut_3_at_end', hex('22 e2 82'), 1],
    ['cut_4_at_end', hex('22 f0 9f 98'), 1], ['cut_outside', hex('5b 31 2c e2 80'), 3], ['cut_3_before_quote', quoted('61 e2 82'), 2],
    ['cut_4_before_quote', quoted('f0 9f 98'), 1], ['in_name', join('{"', hex('ff'), '":1}'), 2],
    ['after_10000_letters', join('"', 'x'.repeat(10000), hex('e2 28 a1'), '"'), 10001], ['after_earlier_fault', hex('5b 31 2c 5d ff'), 3],
  ],
}

export const accepted: readonly Case[] = Object.entries(good).flatMap(([group, rows]) =>
  rows.map(([name, text]) => ({ name: `${group}_${name}`, bytes: join(text) })))

export const rejected: readonly Rejected[] = Object.entries(bad).flatMap(([group, rows]) =>
  rows.map(([name, text, offset]) => ({ name: `${group}_${name}`, bytes: join(text), offset })))
