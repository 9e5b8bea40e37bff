/** Numbers that look random, and are the same again for the same seed. */
export interface Random {
  /** A whole number from 0 up to, but not, `limit`. */
  below (limit: number): number
  /** True in this share of all calls. */
  chance (share: number): boolean
  pick<T> (items: readonly T[]): T
  /** Some of the items, at least one and at most `most`, none of them twice. */
  some<T> (items: readonly T[], most: number): T[]
}

/** A generator of its own: mulberry32, which is good enough to choose by. */
export function randomOf (seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    below,
    chance: share => next() < share,
    pick<T> (items: readonly T[]) {
      if (items.length === 0) throw new Error('There is nothing to pick from')
      return items[below(items.length)]!
    },
    some<T> (items: readonly T[], most: number) {
      const left = [...items]
      return Array.from({ length: Math.min(1 + below(most), left.length) }, () => left.splice(below(left.length), 1)[0]!)
    },
  }
}

/** The seed that CRASH_SEED names, or a new one. It belongs into what a test prints, so that a failure can be had again. */
export function seedOf (): number {
  return process.env['CRASH_SEED'] === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(process.env['CRASH_SEED'])
}

/** A whole number of at least 1 from the environment. @throws Error when it is something else */
export function amount (name: string, fallback: number): number {
  const given = Number(process.env[name] ?? fallback)
  if (!Number.isSafeInteger(given) || given < 1) throw new Error(`${name} has to be a whole number from 1`)
  return given
}

// Escapes, characters of two, three and four bytes, and a lone surrogate: a value has to come back in these very letters.
const PHRASES = ['plain', 'Gr\u00fc\u00dfe \ud83d\ude00', '\\"quoted\\" \\\\ \\/', '\\u0000\\ud800', '\u65e5\u672c']

/** The inside of a JSON string that repeats `mark`, so that a part of another value in its middle shows. */
export function filler (random: Random, mark: string): string {
  const least = random.pick([0, 0, 8, 8, 20, 20, 60, 60, 200, 1_000, 3_900])
  const size = random.chance(0.01) ? 100_000 : random.chance(0.05) ? 4_000 + random.below(26_000) : least
  return `${random.pick(PHRASES)} ${`${mark}.`.repeat(size / (mark.length + 1))}`
}
