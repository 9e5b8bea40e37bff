import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Only the user who runs Holdfast may read what it keeps. */
export const PRIVATE_DIRECTORY = 0o700
export const PRIVATE_FILE = 0o600

/** Makes durable which files are in a directory. */
export function syncDirectory (directory: string): void {
  // Windows cannot open directories, and has no need to.
  if (process.platform !== 'win32') sync(directory, 'r')
}

/** Makes the content of a file durable, and that it is there. */
export function syncFile (file: string): void {
  sync(file, 'r+')
  syncDirectory(dirname(file))
}

function sync (path: string, flags: string): void {
  const fd = openSync(path, flags)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes a file that is there as a whole or not at all, durably. It takes the place of one that is there. */
export function writeWhole (file: string, content: string): void {
  writeThen(file, content, temporary => renameSync(temporary, file))
}

/** The same for a file that must not be there yet: false, and nothing is changed, when it is. */
export function writeNew (file: string, content: string): boolean {
  try {
    writeThen(file, content, temporary => linkSync(temporary, file))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false // Only read: undefined on every other error.
    throw error
  }
}

/** @param name gives what is written under another name its own */
function writeThen (file: string, content: string, name: (temporary: string) => void): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, content, { mode: PRIVATE_FILE, flush: true })
    name(temporary)
    syncDirectory(dirname(file))
  } finally {
    rmSync(temporary, { force: true })
  }
}
