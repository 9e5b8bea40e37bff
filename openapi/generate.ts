import { existsSync, realpathSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openApi } from './document.js'
import { reference } from './reference.js'

/** The files of openapi/ that are written, and what stands in them. */
export const DOCUMENTS = {
  'openapi.json': fileText(openApi('3.1')),
  'openapi-3.0.json': fileText(openApi('3.0')),
}

/** The same of docs/. */
export const PAGES = {
  'reference.md': reference(),
}

function fileText (document: object): string {
  return `${JSON.stringify(document, undefined, 2)}\n`
}

/** The folder of the package, which stands one directory higher above `dist/openapi` than above `openapi`. */
function packageFolder (directory: URL): URL {
  return existsSync(new URL('package.json', directory)) ? directory : packageFolder(new URL('..', directory))
}

const PACKAGE = packageFolder(new URL('.', import.meta.url))

/** The repository's own folders, whichever copy of this module runs. */
export const FOLDER = new URL('openapi/', PACKAGE)
export const PAGES_FOLDER = new URL('docs/', PACKAGE)

/** @param folder it ends in a slash */
export function writeFiles (folder: URL, files: Readonly<Record<string, string>> = DOCUMENTS): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(new URL(name, folder), text)
}

const isProgram = realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)
for (const [folder, files] of isProgram ? [[FOLDER, DOCUMENTS], [PAGES_FOLDER, PAGES]] as const : []) writeFiles(folder, files)
