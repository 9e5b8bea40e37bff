// Saving what is whole of a damaged store, and whether that is right.
import type { Session } from '../../../src/session.js'
import { openSalvage } from '../../../src/stores/lmdb/salvage.js'
import type { Losses } from '../../../src/stores/salvage.js'

/** What a session is and has, as far as it is known. */
export interface Content { readonly session: Partial<Session>, readonly keys: ReadonlyMap<string, string> }

/** By the ids of the sessions. */
export type Contents = ReadonlyMap<string, Content>

export interface Salvaged { readonly found: Contents, readonly losses: Losses }

/** @param path of a directory, or of a data file */
export async function salvage (path: string, now: number): Promise<Salvaged> {
  const opened = await openSalvage(path)
  try {
    const found = new Map<string, Content>()
    for await (const { id, session, keys } of opened.sessions(now)) {
      if (found.has(id)) throw new Error(`session ${id} comes twice`)
      found.set(id, { session, keys: new Map(keys) })
    }
    return { found, losses: opened.losses() }
  } finally {
    opened.close()
  }
}

/** What is missing of a store. */
export interface Missing {
  readonly sessions: readonly string[]
  /** Of sessions that are there. */
  readonly keys: readonly string[]
}

/** @param contents what the store held @throws {Error} for what it did not */
export function missing (contents: Contents, found: Contents): Missing {
  for (const [id, { session, keys }] of found) {
    const original = contents.get(id)
    if (original === undefined) throw new Error(`there was no session ${id}`)
    for (const name of Object.keys(original.session) as Array<keyof Session>) {
      if (session[name] !== original.session[name]) throw new Error(`session ${id} has another ${name}`)
    }
    for (const [key, value] of keys) {
      if (original.keys.get(key) !== value) throw new Error(`key ${key} of session ${id} ${original.keys.has(key) ? 'has another value' : 'was not there'}`)
    }
  }
  const sessions = [...contents.keys()].filter(id => !found.has(id))
  const keys = [...contents].flatMap(([id, { keys }]) => found.has(id) ? [...keys.keys()].filter(key => !found.get(id)!.keys.has(key)) : [])
  return { sessions, keys }
}
