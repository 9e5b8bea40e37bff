import { open, type RootDatabase } from 'lmdb'
import { PRIVATE_FILE } from '../../durable.js'
import { FORMAT, FORMAT_KEY } from './records.js'
import { openTable, openTables } from './tables.js'

/** Address space, not memory or disk, set apart for the file at first: 64 GiB. lmdb doubles it when the data outgrows it. */
const MAP_BYTES = 2 ** 36

/** The same everywhere, whatever the pages of the machine, so that a directory can be moved between machines. */
const PAGE_BYTES = 4_096

/** Opens LMDB's files in a directory that is there. */
export function openRoot (directory: string, readOnly = false): RootDatabase {
  const options = {
    path: directory,
    readOnly,
    // lmdb takes a directory with a dot in its name for a file unless it is told.
    noSubdir: false,
    // With it, a transaction returns before it is on the disk.
    overlappingSync: false,
    mapSize: MAP_BYTES,
    pageSize: PAGE_BYTES,
    // lmdb makes its files with this mode, although its types do not declare it. By default everybody can read them.
    permissionsMode: PRIVATE_FILE,
  }
  return open(options)
}

/** Makes the data file of an empty store, durably, in a directory that has none. */
export async function makeData (directory: string): Promise<void> {
  const root = openRoot(directory)
  openTables(root)
  const meta = openTable(root, 'meta')
  root.transactionSync(() => { meta.putSync(FORMAT_KEY, Buffer.from(FORMAT)) })
  await root.close()
}
