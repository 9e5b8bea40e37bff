import type { DamagedFile } from './damaged-file.js'
import { findDirectories, pagesOfTransaction, readDirectory } from './directory.js'
import { fieldsOf, isEmpty, isOfLmdb, latestOf, META_BYTES, metaOf, type Meta } from './meta.js'
import type { PageSet } from './page-set.js'
import { DataFileError, PAGE_BYTES } from './pages.js'

/** The file has nothing of LMDB's where it would have to be. */
export class ForeignFileError extends DataFileError {}

/** A state of a damaged file. */
export interface State {
  /** The last transaction. */
  readonly txnId: number
  /** The page with the table of tables; undefined when there are no tables. */
  readonly main: number | undefined
  /** What the state's meta page says; undefined when that page is lost. */
  readonly meta: Meta | undefined
  /** What the meta page before that says; undefined when it is lost, or there was none. */
  readonly previous: Meta | undefined
  /** Why a page cannot be one of this state's; undefined when it can. @param txnId of the page */
  refuse (number: number, txnId: number): string | undefined
}

/**
 * Which state of a damaged file is the current one. An older one is no answer: its records are whole too, and say what is not
 * true any more. So of the two meta pages one must be right, and it must be known whether the other one was after it.
 *
 * - Both are as LMDB writes them, and follow each other: the later one, as in a file that is whole.
 * - Else a meta page counts when the table of tables that it refers to is of the same transaction, T. If both count and follow
 *   each other, again the later one.
 * - If one counts, the other was of T - 1 or of T + 1. LMDB writes each transaction's pages, among them a new table of tables,
 *   before its meta page, and none of those that T has in use. So if no page in the file is of T + 1, T is the last. If some are, the
 *   one table of tables among them leads to all that was written; but pages that were to be written by a transaction that was cut
 *   off may have something older in their place, so a page is taken only if it is of T + 1 or T had it in use.
 * - Else nothing is known. (The newest table of tables may be one that was not committed, or older than the one that is damaged.)
 *
 * @param names of the tables
 * @param pagesOf which pages the tables of a state take
 * @param report told what is wrong with the meta pages
 * @throws {DataFileError} when it cannot be known
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

/** Of which transaction a state's table of tables is: the last, which always writes it, but of 1 in a compacting backup. */
export function directoryTxnId ({ txnId, lastPage, main, free }: Meta): number {
  return free.root === undefined && main.root === lastPage ? 1 : txnId
}

function hasDirectory (file: DamagedFile, names: readonly string[], meta: Meta): boolean {
  const { root } = meta.main
  return root !== undefined && attempt(() => readDirectory(file, root, names, directoryTxnId(meta), () => {}), () => {}) !== undefined
}

/** The state after that of a meta page, when its own is lost. */
function stateAfter (file: DamagedFile, names: readonly string[], known: Meta, pagesOf: (state: State) => PageSet): State {
  const txnId = known.txnId + 1
  // Before the first no page was written. (Those of a compacting backup are of 1, but for the pages of large values.)
  const before = isEmpty(known) ? undefined : pagesOf(stateOf(known))
  const [main, ...others] = findDirectories(file, names, txnId, number => before?.has(number) === true)
  if (main === undefined || others.length > 0) throw new DataFileError('pages 0 and 1: one of them is damaged, and it cannot be known what was written last')
  if (before === undefined) return { txnId: Infinity, main, meta: undefined, previous: undefined, refuse: () => undefined }
  const refuse = (number: number, of: number) => of === txnId || before.has(number) ? undefined : `is of transaction ${of}, but was not in use then`
  return { txnId, main, meta: undefined, previous: undefined, refuse }
}
