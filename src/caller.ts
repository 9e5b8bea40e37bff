/** What a caller may do, from least to most: each may do what those before it may, too. */
export const ROLES = ['read', 'client', 'server', 'admin'] as const

export type Role = (typeof ROLES)[number]

/** Each role in a few words, for help and documents. */
export const ROLE_WORDS: Readonly<Record<Role, string>> = {
  read: 'commands that change nothing',
  client: 'sessions by their token or name',
  server: 'what client may, and what concerns all sessions without ending them',
  admin: 'everything',
}

/** Who sends a request. */
export interface Caller {
  readonly role: Role
  /** The name of the API key; undefined for somebody without one. */
  readonly name: string | undefined
  /** Shared sessions are reached by their name only if it begins with this; undefined when any are. */
  readonly prefix: string | undefined
}

/** Says who has an API key, or who has none; undefined for nobody that may do anything. */
export type CallerOf = (key: string | undefined) => Caller | undefined

/** Whoever reaches a server that asks for no API keys. */
export function anybody (role: Role): CallerOf {
  const caller: Caller = { role, name: undefined, prefix: undefined }
  return () => caller
}

const RANKS = new Map(ROLES.map((role, rank) => [role, rank]))

/** A number for each role, greater for one that may do more. */
export function rankOf (role: Role): number {
  return RANKS.get(role) ?? 0
}
