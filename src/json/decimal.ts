interface Decimal {
  readonly negative: boolean
  /** Without leading or trailing zeros; empty for zero. */
  readonly digits: string
  /** The value is 0.digits times ten to this power. A bigint, because JSON sets no limit to an exponent. */
  readonly exponent: bigint
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]\+?(-?\d+))?$/

/** A JavaScript number holds every whole number of at most this many characters exactly. */
const EXACT_DIGITS = 15
const WHOLE = /^-?\d+$/

function trimZeros (digits: string): string {
  let start = 0
  let end = digits.length
  while (digits[start] === '0') start++
  while (end > start && digits[end - 1] === '0') end--
  return digits.slice(start, end)
}

function parse (text: string): Decimal {
  const [, sign, whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? []
  const significant = trimZeros(whole + fraction)
  const leadingZeros = (whole + fraction).indexOf(significant)
  return {
    negative: sign === '-' && significant !== '',
    digits: significant,
    exponent: BigInt(exponent) + BigInt(whole.length - leadingZeros),
  }
}

function compareMagnitudes (a: Decimal, b: Decimal): number {
  if (a.digits === '' || b.digits === '') return a.digits.length - b.digits.length
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1
  if (a.digits === b.digits) return 0
  return a.digits < b.digits ? -1 : 1
}

/**
 * Compares two JSON numbers by their exact values, however they are written: 1.10 equals 11e-1, and
 * 9007199254740993 is greater than 9007199254740992.
 * @returns less than, equal to or greater than 0
 */
export function compareDecimals (a: string, b: string): number {
  if (a.length <= EXACT_DIGITS && b.length <= EXACT_DIGITS && WHOLE.test(a) && WHOLE.test(b)) return Number(a) - Number(b)
  const [left, right] = [parse(a), parse(b)]
  if (left.negative !== right.negative) return left.negative ? -1 : 1
  return left.negative ? compareMagnitudes(right, left) : compareMagnitudes(left, right)
}
