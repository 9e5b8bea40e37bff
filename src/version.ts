import { readFileSync } from 'node:fs'

/** What this module needs to know of a package.json. */
interface Manifest { readonly name?: string, readonly version?: string }

/**
 * The version in Holdfast's package.json, which stands one directory higher above `dist/src` than above `src`.
 *
 * @param directory where to start looking; it ends in a slash
 * @throws Error when neither it nor a directory above holds the package.json of holdfast
 */
export function readVersion (directory: URL): string {
  const manifest = readManifest(new URL('package.json', directory))
  if (manifest?.name === 'holdfast' && manifest.version !== undefined) return manifest.version
  const above = new URL('..', directory)
  if (above.href === directory.href) throw new Error('there is no package.json of holdfast in any directory above')
  return readVersion(above)
}

function readManifest (file: URL): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest // What npm has installed is a manifest.
  } catch {
    return undefined
  }
}

/** Holdfast's version, such as `0.1.0`. */
export const VERSION = readVersion(new URL('.', import.meta.url))
