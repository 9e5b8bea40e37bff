/**
 * Compares two strings by Unicode code point, which is also the byte order of their UTF-8. JavaScript's own `<` compares
 * UTF-16 units and puts U+10000 before U+FFFD.
 * @returns less than 0 when `a` comes first, 0 when they are equal, more than 0 when `b` comes first
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

/** The rank of the first UTF-16 unit that differs: a surrogate stands for a code point above every other unit. */
function rank (unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}
