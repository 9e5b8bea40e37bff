import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { andThen, type Awaitable } from './awaitable.js'
import type { Caller } from './caller.js'
import { COMMANDS, isCommand } from './commands/index.js'
import { dispatch, isFailure, type Report } from './dispatch.js'
import type { Gateway } from './protocol/gateway.js'
import { JsonError } from './json/lexer.js'
import { scan, type Document, type Node, type Opens } from './json/scanner.js'
import { MAX_BATCH_ENVELOPES, MAX_REPLY_CHARACTERS, TURN_MS } from './limits.js'
import { givenBy, opensForParams } from './protocol/request.js'
import { statusNumber, STATUSES, type StatusName } from './status.js'

/** What an envelope is answered with (PROTOCOL 2). */
export interface Answer {
  /** JSON text; undefined when the command has nothing to say. */
  readonly text: string | undefined
  /** HTTP status of an answer to one envelope: 400 for an `ERR` reply, 403 for what the caller may not do. */
  readonly http: number
}

const opensByCommand = new Map<string, Opens>(Object.entries(COMMANDS).map(([name, { params }]) => [name, opensForParams(params)]))
const envelopeOpens: Opens = name => opensByCommand.get(String(name)) ?? (() => undefined)
const batchOpens: Opens = () => envelopeOpens

function err (status: StatusName, m: string): Answer {
  return { text: `{"ERR":${JSON.stringify({ st: statusNumber(status), m })}}`, http: 400 }
}

/** The member of a reply, as JSON. */
const memberOf = (name: string): string => JSON.stringify(`${name}_RSP`)
const members = new Map(Object.keys(COMMANDS).map(name => [name, memberOf(name)]))

function answer (name: string, content: string, http = 200): Answer {
  return { text: `{${members.get(name) ?? memberOf(name)}:${content}}`, http }
}

function failure (name: string, tkn: unknown, status: StatusName, m: string): Answer {
  return answer(name, JSON.stringify({ tkn: typeof tkn === 'string' ? tkn : null, st: statusNumber(status), m }), status === 'Forbidden' ? STATUSES.Forbidden.http : 200)
}

/** A body as a document; or the `ERR` reply when it is not JSON. */
function scanned (body: Buffer, opens: Opens): Document | Answer {
  try {
    return scan(body, opens)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    return err('JsonInvalid', error.message)
  }
}

/** What the envelopes of a request have in common. */
interface Asked {
  readonly gateway: Gateway
  readonly caller: Caller
  readonly document: Document
  readonly report: Report
}

/** Carries out one envelope. */
export function executeOne (gateway: Gateway, caller: Caller, body: Buffer, report: Report): Awaitable<Answer> {
  const document = scanned(body, envelopeOpens)
  return 'http' in document ? document : execute({ gateway, caller, document, report }, document.root)
}

/** Writes of a batch that may be under way at once. */
const WRITES_TOGETHER = 100

/** Batches under way. Together they get half of the processor: the turns of all, and as long a rest. */
let batches = 0

/** Batches that have rested go on one after another, so that whatever else has arrived comes between them. */
let turns: Promise<unknown> = Promise.resolve()

/** What whoever sends a batch has to say to it while it is carried out. */
export interface Batch {
  /** Whether the client has left; then the rest is not carried out. */
  readonly isGone?: () => boolean
  /** Told how many envelopes there are, before any is carried out; what it throws stops the batch. */
  readonly admit?: (count: number) => Promise<void>
}

/**
 * Carries out an array of envelopes in order, each by itself. Heavy commands in it get no more than half of the processor,
 * all batches together, so that other requests go on.
 * @returns one text: an array of as many replies, null for a command that had nothing to say
 */
export async function executeAll (gateway: Gateway, caller: Caller, body: Buffer, report: Report, { isGone = () => false, admit }: Batch = {}): Promise<Answer> {
  const document = scanned(body, batchOpens)
  if ('http' in document) return document
  const { kind, items = [] } = document.root
  if (kind !== 'array') return err('CommandSyntax', 'an array of envelopes')
  if (items.length > MAX_BATCH_ENVELOPES) return err('ValueSize', `at most ${MAX_BATCH_ENVELOPES} envelopes`)
  await admit?.(items.length)
  batches++
  const answers = await executeItems({ gateway, caller, document, report }, items, isGone).finally(() => { batches-- })
  return { text: `[${answers.map(({ text = 'null' }) => text).join(',')}]`, http: 200 }
}

async function executeItems (asked: Asked, items: readonly Node[], isGone: () => boolean): Promise<Answer[]> {
  const answers: Array<Awaitable<Answer>> = []
  let room = MAX_REPLY_CHARACTERS
  /** When this turn began, and would have begun without the waiting for commits. */
  let turn = performance.now()
  /** Writes that were begun and not waited for yet. */
  let writes: Array<Promise<Answer>> = []
  const settle = async () => {
    const since = performance.now()
    await Promise.all(writes)
    writes = []
    turn += performance.now() - since
  }
  for (const item of items) {
    const busy = performance.now() - turn
    if (busy > TURN_MS) {
      await sleep(busy * (2 * batches - 1))
      await (turns = turns.then(async () => await setImmediate()))
      turn = performance.now()
      if (isGone()) break
    }
    // Writes are begun without waiting for each other, so that they share commits. Anything else waits for them, and sees what they wrote.
    if (overlaps(item)) {
      const answer = execute(asked, item)
      answers.push(answer)
      if (answer instanceof Promise && writes.push(answer) === WRITES_TOGETHER) await settle()
      continue
    }
    if (writes.length > 0) await settle()
    const answer = await execute(asked, item, room)
    room -= answer.text?.length ?? 0
    answers.push(answer)
  }
  return await Promise.all(answers)
}

/** Whether an envelope's command may be begun while writes before it are under way. */
function overlaps ({ names: [name, second] = [], items: [content] = [] }: Node): boolean {
  return name !== undefined && second === undefined && isCommand(name) && COMMANDS[name].overlaps(content?.names ?? [])
}

/** @param room characters that the reply may have */
function execute ({ gateway, caller, document, report }: Asked, node: Node, room = Infinity): Awaitable<Answer> {
  const [name, second] = node.names ?? []
  const [content] = node.items ?? []
  if (name === undefined || content === undefined || node.kind !== 'object') return err('CommandSyntax', 'an object with one member: the command')
  if (second !== undefined) return failure(name, null, 'CommandMultiple', '')
  if (!isCommand(name)) return err('CommandNotExist', name)
  const given = givenBy(COMMANDS[name].params, document, content)
  if (given === undefined) return failure(name, null, 'CommandType', '')
  return andThen(dispatch(gateway, { command: name, caller, given, room, report }), result => {
    if (isFailure(result)) return failure(name, given.get('tkn'), result.status, result.param)
    return result.text === undefined ? NOTHING : answer(name, result.text)
  })
}

/** The answer of a command that has nothing to say. */
const NOTHING: Answer = { text: undefined, http: 204 }
