import type { Caller } from '../src/caller.js'

/** Whoever may do everything. */
export const ADMIN: Caller = { role: 'admin', name: undefined, prefix: undefined }
