// Directories to break: in the file system, and on small disks of their own.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAIN } from '../crash/server.js'
import type { Test } from 'tap'
import { killAll } from '../crash/server.js'

const mounted = new Set<string>()

function unmount (directory: string): void {
  // Lazily: whatever still uses it must not keep it there.
  spawnSync('umount', ['-l', directory])
  mounted.delete(directory)
}

process.once('exit', () => { for (const directory of mounted) unmount(directory) })

/** An empty directory that goes with the test, after all servers. */
export function placeOf (t: Test): string {
  const place = mkdtempSync(join(tmpdir(), 'holdfast-faults-'))
  t.teardown(async () => {
    await killAll()
    for (const directory of mounted) if (directory.startsWith(place)) unmount(directory)
    rmSync(place, { recursive: true, force: true })
  })
  return place
}

/** Mounts a disk of its own. @param args of mount, but for the directory @throws Error with what mount says */
export function mount (place: string, name: string, args: readonly string[]): string {
  const directory = join(place, name)
  mkdirSync(directory, { recursive: true })
  const { error, status, stderr } = spawnSync('mount', [...args, directory], { encoding: 'utf8' })
  if (error !== undefined || status !== 0) throw new Error(error?.message ?? stderr.split('\n', 1)[0])
  mounted.add(directory)
  return directory
}

export function mountTmpfs (place: string, name: string, options: string): string {
  return mount(place, name, ['-t', 'tmpfs', '-o', options, 'holdfast-faults'])
}

/** Why no disk can be mounted here; undefined when one can. */
export function notMountable (): string | undefined {
  const place = mkdtempSync(join(tmpdir(), 'holdfast-faults-'))
  try {
    unmount(mountTmpfs(place, 'try', 'size=64k'))
    return undefined
  } catch (error) {
    return `a small disk is needed, and root to mount it: ${String(error)}`
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

/** Takes all space that is left on a disk. */
export function takeSpace (file: string): void {
  const fd = openSync(file, 'a')
  try {
    for (const chunk = Buffer.alloc(4096, 1); ;) writeSync(fd, chunk)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error // Only read: undefined on every other error.
  } finally {
    closeSync(fd)
  }
}

/** How to start a program as a user who is not root and owns nothing, for the `through` of launch(). @returns or why that cannot be done */
export function otherUser (): { readonly through: readonly string[], readonly reason?: string } {
  if (process.getuid?.() !== 0) return { through: [] }
  const through = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const { error, status, stderr } = spawnSync('setpriv', [...through.slice(1), 'test', '-r', MAIN], { encoding: 'utf8' })
  if (error !== undefined) return { through, reason: `setpriv is needed to become another user: ${error.message}` }
  return status === 0 ? { through } : { through, reason: `another user cannot start the server: ${stderr.trim()}` }
}
