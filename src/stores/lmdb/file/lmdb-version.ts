/**
 * The only version of the package lmdb that this store works with, and the one in package.json. The code relies on details that
 * lmdb does not document, so a minor release can make it refuse good data. Before you change this number, check each of these
 * in the source of the new version:
 *
 * - The bytes of the data file, which lmdb changed from those of LMDB 0.9: headers of pages, nodes and meta pages, the largest
 *   node and the largest key (pages.ts), the flags and the order of the two meta pages, and what a failed write leaves there
 *   (meta.ts), the lists of free pages (free-list.ts), what a compacting backup makes of all of them (check.ts, meta.ts,
 *   page-reader.ts, state.ts), how deep a tree can be (damaged-tree.ts).
 * - The size of the lock file: LOCK_FILE_BYTES (../check.ts).
 * - The texts of errors, and the size of the buffer that one is written to: MDB_PANIC, MDB_BAD_TXN, MDB_CORRUPTED, MDB_PAGE_NOTFOUND,
 *   MDB_INVALID, "Attempting to write page", "no space left" (../faults.ts), and that an error has a `code` (../guard.ts).
 * - How many pages a change takes, and the names of the statistics; that putSync returns whether a key was new (../writer.ts).
 * - That `overlappingSync: false` has transactionSync return only once its data is on the disk, and that `permissionsMode` and
 *   `noSubdir` mean what they do (../root.ts).
 * - That lmdb keeps a read transaction until it is reset, and ends it when a table is opened (../guard.ts, ../inspect.ts).
 * - When LMDB refuses to compact a backup (../data.ts), and that it takes no lock on a file system that is read-only (../reader.ts).
 */
export const LMDB_VERSION = '3.5.6'
