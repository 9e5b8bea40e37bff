/**
 * Orders two strings by Unicode code point, which is also the byte order of their UTF-8: negative when `a` comes first,
 * 0 when they are equal, positive when `b` does. JavaScript's own `<` orders by UTF-16 unit and puts U+10000 before U+FFFD.
 */
export function compareCodePoints (a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

/** Where a UTF-16 unit stands among first differing units: a surrogate means a code point above every other unit. */
function rank (unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}
