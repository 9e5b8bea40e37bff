// Numbers and names as a person reads them.

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB']

/** Such as `1,204 sessions` and `1 session`. */
export function counted (number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`
}

/** Such as `812 bytes` and `3.2 MiB`. */
export function size (bytes: number): string {
  let unit = 0
  let number = bytes / 1024
  if (number < 1) return counted(bytes, 'byte')
  // What would be rounded to 1,024.0 is one of the next unit.
  for (; number >= 1023.95 && unit < UNITS.length - 1; unit++) number /= 1024
  return `${number.toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ${UNITS[unit]}`
}

/** Characters of a name that are shown. */
const SHOWN_CHARACTERS = 60

/** A name out of a file, cut, in quotes, and with nothing in it that a terminal obeys. */
export function quoted (name: string): string {
  const shown = name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}…` : name
  return JSON.stringify(shown).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, character => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
