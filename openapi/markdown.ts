/** A part of a page: code spans, and the text between them. */
const CODE_SPANS = /(`[^`]*`)/

/** Characters that would begin something else in text: a tag, an emphasis, a link, an escape. */
const SPECIAL = /[\\<*[\]]/g

/** Text of ours, which may hold code spans, as Markdown has it in the cell of a table: one line, without a bar that would end the cell. */
export function cell (text: string): string {
  const parts = text.replaceAll(/\s*\n\s*/g, ' ').split(CODE_SPANS)
  return parts.map((part, index) => index % 2 === 1 ? part : part.replaceAll(SPECIAL, '\\$&')).join('').replaceAll('|', '\\|')
}

/** Text as code. It must not hold a backtick. */
export function code (text: string): string {
  return `\`${text}\``
}

/**
 * A table.
 * @param columns headings; one that ends in a colon has its cells set to the right
 * @param rows as many cells each, as text of ours
 */
export function table (columns: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(columns.map(column => column.replace(/:$/, ''))),
    `|${columns.map(column => column.endsWith(':') ? '---:' : '---').join('|')}|`,
    ...rows.map(cells => line(cells.map(cell))),
  ].join('\n')
}

/** What a page gives to read as it stands, such as the output of a program. */
export function verbatim (text: string): string {
  return `\`\`\`\n${text.trimEnd()}\n\`\`\``
}
