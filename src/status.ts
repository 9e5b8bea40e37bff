/** PROTOCOL 3: every status, its number `st` in an envelope, its HTTP status on REST, and its meaning. The one table. */
export const STATUSES = {
  Ok: { st: 1, http: 200, meaning: 'Done.' },
  JsonInvalid: { st: 3, http: 400, meaning: 'The body is not JSON.' },
  PathInvalid: { st: 4, http: 400, meaning: 'A path does not parse.' },
  PathNotExist: { st: 5, http: 404, meaning: 'A path parses but leads nowhere.' },
  CommandNotExist: { st: 10, http: 400, meaning: 'There is no such command.' },
  CommandMultiple: { st: 11, http: 400, meaning: 'An envelope holds more than one command; none was executed.' },
  CommandType: { st: 12, http: 400, meaning: 'The value of a command is not an object.' },
  CommandSyntax: { st: 13, http: 400, meaning: 'A parameter is unknown or malformed.' },
  KeySet: { st: 20, http: 200, meaning: 'The key is new.' },
  KeyUpdated: { st: 21, http: 200, meaning: 'The key existed, its value is replaced.' },
  KeyNotExist: { st: 22, http: 404, meaning: 'There is no such key.' },
  KeyExists: { st: 23, http: 412, meaning: 'The key exists and was left as it was.' },
  KeyRemoved: { st: 24, http: 200, meaning: 'The key is removed.' },
  ParamMissing: { st: 26, http: 400, meaning: 'A required parameter is not there.' },
  KeyTypeInvalid: { st: 27, http: 400, meaning: 'A key is not a string, or not well-formed Unicode.' },
  ValueMissing: { st: 40, http: 400, meaning: 'A required value is not there.' },
  ValueTypeInvalid: { st: 41, http: 400, meaning: 'A value or parameter has the wrong type.' },
  ValueSize: { st: 42, http: 400, meaning: 'A value or parameter is too long, or empty.' },
  FindNoPath: { st: 60, http: 400, meaning: 'KV_FIND without a path.' },
  FindNoOperator: { st: 61, http: 400, meaning: 'KV_FIND without an operator.' },
  FindInvalidOperator: { st: 62, http: 400, meaning: 'KV_FIND with an operator that does not exist.' },
  SessionNotExist: { st: 100, http: 404, meaning: 'The session never existed, has ended or has expired.' },
  SessionTokenInvalid: { st: 101, http: 400, meaning: 'The token is missing, not a string, or empty.' },
  SessionOpenFail: { st: 102, http: 404, meaning: 'There is no shared session of that name.' },
  LimitExceeded: { st: 200, http: 507, meaning: 'A configured limit is reached, or the disk or the memory of the store is full.' },
  StoreUnavailable: { st: 201, http: 503, meaning: 'The store did not answer in time, or cannot write.' },
  PreconditionFailed: { st: 202, http: 412, meaning: 'If-Match or If-None-Match did not hold.' },
  Unauthorized: { st: 203, http: 401, meaning: 'An API key is required.' },
  Forbidden: { st: 204, http: 403, meaning: 'The API key may not do this.' },
  DataDamaged: { st: 205, http: 500, meaning: 'What is stored there is damaged.' },
  Unknown: { st: 1000, http: 500, meaning: 'A fault of the server.' },
} as const satisfies Record<string, { st: number, http: number, meaning: string }>

export type StatusName = keyof typeof STATUSES

/** The number of a status as envelopes carry it. */
export function statusNumber (name: StatusName): number {
  return STATUSES[name].st
}

/** Why a command failed as a whole. Surfaces match on `status`, never on the detail. */
export interface Failure {
  readonly status: StatusName
  /** What is to blame, as `m` in an envelope and `param` in problem details; '' for nothing in particular. */
  readonly param: string
  /** What a person needs to mend it; never a token or a value. */
  readonly detail: string
}

/** A failure as a value. @param detail the meaning of the status unless given */
export function failureOf (status: StatusName, param = '', detail: string = STATUSES[status].meaning): Failure {
  return { status, param, detail }
}

/** A command that fails as a whole, thrown by rules and stores. */
export class StatusError extends Error {
  /**
   * @param param what is to blame, as `m` in an envelope and `param` in problem details; '' for nothing in particular
   * @param detail what a person needs to mend it; never a token or a value
   * @param options `cause`: what happened, which no client is told
   */
  constructor (readonly status: StatusName, readonly param = '', readonly detail: string = STATUSES[status].meaning, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'StatusError'
  }
}

const NAMES = new Map<number, StatusName>(Object.entries(STATUSES).map(([name, { st }]) => [st, name as StatusName])) // The table's own keys.

/** The name of a status number that this server answered. */
export function statusName (st: number): StatusName {
  return NAMES.get(st) ?? 'Unknown'
}
