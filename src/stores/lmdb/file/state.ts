import type { DamagedFile } from './damaged-file.js'
import { findDirectories, pagesOfTransaction, readDirectory } from './directory.js'
import { fieldsOf, isEmpty, isOfLmdb, latestOf, META_BYTES, metaOf, type Meta } from './meta.js'
import type { PageSet } from './page-set.js'
import { DataFileError, PAGE_BYTES } from './pages.js'

/** Neither meta page of the file is LMDB's. */
export class ForeignFileError extends DataFileError {}

/** A state of a damaged file. */
export interface State {
  /** The last transaction. */
  readonly txnId: number
  /** The page with the table of tables; undefined when there are no tables. */
  readonly main: number | undefined
  /** What the state's meta page says; undefined when that page is lost. */
  readonly meta: Meta | undefined
  /** What the meta page of the transaction before says; undefined when it is lost, or there was none. */
  readonly previous: Meta | undefined
  /** Why a page cannot belong to this state; undefined when it can. @param txnId of the page */
  refuse (number: number, txnId: number): string | undefined
}

/**
 * Finds the current state of a damaged file. An older state will not do: its records are intact too, but no longer true. So one of
 * the two meta pages must be right, and it must be known whether the other one was newer.
 *
 * - When both are as LMDB writes them and follow each other, the later one is current, as in an intact file.
 * - Otherwise a meta page is trusted when the table of tables that it refers to is of the same transaction, T. When both are
 *   trusted and follow each other, the later one is current.
 * - When one is trusted, the other was of T - 1 or T + 1. LMDB writes each transaction's pages, a new table of tables among them,
 *   before its meta page, and overwrites none that T uses. So when no page in the file is of T + 1, T is current. When some are,
 *   the only table of tables among them leads to all that T + 1 wrote. But T + 1 may have been cut off before it wrote all its
 *   pages, and then these hold something older; so a page is accepted only when it is of T + 1, or T used it.
 * - Otherwise the current state is unknown. (The newest table of tables may be uncommitted, or older than the damaged one.)
 *
 * @param names of the known tables, in byte order
 * @param pagesOf returns the pages that the tables of a state use
 * @param report receives what is wrong with the meta pages
 * @throws {ForeignFileError} when the file is not LMDB's @throws {DataFileError} when the current state is unknown
 */
export function currentState (file: DamagedFile, names: readonly string[], pagesOf: (state: State) => PageSet, report: (fault: string) => void): State {
  const metas = [0, 1].map(number => readMeta(file, number, report))
  const [a, b] = metas.map((bytes, number) => attempt(() => metaOf(bytes, number), report))
  const latest = a && b && attempt(() => latestOf(a, b), report)
  if (latest !== undefined) return stateOf(latest, latest.txnId === a?.txnId ? b : a)
  const proven = metas.map(fieldsOf).filter((meta, number) => meta.txnId % 2 === number && (isEmpty(meta) || hasDirectory(file, names, meta)))
  const [known, other] = proven.sort((a, b) => b.txnId - a.txnId)
  if (!metas.some(isOfLmdb)) throw new ForeignFileError('it is no file of LMDB\'s, or has lost pages 0 and 1')
  if (known === undefined) throw new DataFileError('pages 0 and 1: are damaged, and only they say where in the file its current data is')
  const isLast = other?.txnId === known.txnId - 1 || pagesOfTransaction(file, known.txnId + 1).next().done === true
  return isLast ? stateOf(known, other) : stateAfter(file, names, known, pagesOf)
}

function readMeta (file: DamagedFile, number: number, report: (fault: string) => void): Buffer {
  const bytes = Buffer.alloc(META_BYTES)
  attempt(() => { file.part(number * PAGE_BYTES, META_BYTES, bytes, 0) }, report)
  return bytes
}

function attempt<T> (read: () => T, report: (fault: string) => void): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof DataFileError)) throw error
    report(error.message)
    return undefined
  }
}

function stateOf (meta: Meta, other?: Meta): State {
  return { txnId: meta.txnId, main: meta.main.root, meta, previous: other?.txnId === meta.txnId - 1 ? other : undefined, refuse: () => undefined }
}

/** The transaction of a state's table of tables: the last one, which always writes it; in a compacting backup it is 1. */
export function directoryTxnId ({ txnId, lastPage, main, free }: Meta): number {
  return free.root === undefined && main.root === lastPage ? 1 : txnId
}

function hasDirectory (file: DamagedFile, names: readonly string[], meta: Meta): boolean {
  const { root } = meta.main
  return root !== undefined && attempt(() => readDirectory(file, root, names, directoryTxnId(meta), () => {}), () => {}) !== undefined
}

/** The state after `known`, when its own meta page is lost. @throws {DataFileError} when it cannot be found */
function stateAfter (file: DamagedFile, names: readonly string[], known: Meta, pagesOf: (state: State) => PageSet): State {
  const txnId = known.txnId + 1
  // Before the first transaction no page was in use. (In a compacting backup all pages but those of large values are of 1.)
  const before = isEmpty(known) ? undefined : pagesOf(stateOf(known))
  const [main, ...others] = findDirectories(file, names, txnId, number => before?.has(number) === true)
  if (main === undefined || others.length > 0) throw new DataFileError('pages 0 and 1: one of them is damaged, and it cannot be known what was written last')
  if (before === undefined) return { txnId: Infinity, main, meta: undefined, previous: undefined, refuse: () => undefined }
  const refuse = (number: number, of: number) => of === txnId || before.has(number) ? undefined : `is of transaction ${of}, but was not in use then`
  return { txnId, main, meta: undefined, previous: undefined, refuse }
}
