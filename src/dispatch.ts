import type { Awaitable } from './awaitable.js'
import { rankOf, type Caller } from './caller.js'
import { COMMANDS, type CommandName } from './commands/index.js'
import type { Command } from './protocol/command.js'
import type { Gateway } from './protocol/gateway.js'
import type { Given } from './protocol/param.js'
import type { Precondition } from './protocol/precondition.js'
import { failureOf, StatusError, type Failure } from './status.js'

/** One command as somebody asks for it. */
export interface Call {
  readonly command: CommandName
  readonly caller: Caller
  /** Parameters by name, as they were sent. */
  readonly given: Given
  /** Of a single-key route: it is decided in the same atomic step. Key commands only. */
  readonly precondition?: Precondition | undefined
  /**
   * Characters that the reply may have as JSON text, Infinity for as many as it takes. Without it the reply is not written as
   * text: the caller looks into it.
   */
  readonly room?: number
  readonly report: Report
}

/** Takes what the server did not expect, to be logged. */
export type Report = (error: unknown) => void

/** What came of a command that succeeded as a whole. */
export interface Reply {
  /** As the command's row describes it; undefined when the command has nothing to say. */
  readonly reply: unknown
  /** The same as JSON text; undefined without `room`, and when the command has nothing to say. */
  readonly text: string | undefined
}

/**
 * Carries out one command: the one place where that is done, whichever way the command was sent. Nothing else runs a row of the
 * table, and nothing else catches what one throws.
 *
 * @returns the reply, at once when the store answers at once, or why the command failed as a whole; then it changed nothing, unless the failure says otherwise
 */
export function dispatch (gateway: Gateway, call: Call): Awaitable<Reply | Failure> {
  const command: Command = COMMANDS[call.command]
  const refusal = forbidden(command, call)
  if (refusal !== undefined) return refusal
  try {
    const reply = command.run(gateway, call.given, call.precondition)
    return reply instanceof Promise ? later(command, reply, call) : replied(command, reply, call.room)
  } catch (error) {
    return failed(error, call)
  }
}

/** Why a caller may not do this; undefined when it may. */
function forbidden (command: Command, { command: name, caller: { role, prefix }, given }: Call): Failure | undefined {
  if (role !== command.role && rankOf(role) < rankOf(command.role)) return failureOf('Forbidden', '', `${name} needs an API key of the role ${command.role}.`)
  if (prefix === undefined) return undefined
  if (command.reachesAll) return failureOf('Forbidden', '', `${name} needs an API key that is not limited to some names.`)
  const sharedName = command.sharedName(given)
  if (typeof sharedName !== 'string' || sharedName.startsWith(prefix)) return undefined
  return failureOf('Forbidden', '', `This API key is limited to shared sessions whose names begin with ${JSON.stringify(prefix)}.`)
}

async function later (command: Command, reply: Promise<unknown>, call: Call): Promise<Reply | Failure> {
  try {
    return replied(command, await reply, call.room)
  } catch (error) {
    return failed(error, call)
  }
}

function replied (command: Command, reply: unknown, room: number | undefined): Reply | Failure {
  if (reply === undefined || room === undefined) return { reply, text: undefined }
  const text = command.write(reply)
  // Only commands that read have replies so long that they do not fit, and they are as if they had failed.
  return text.length <= room ? { reply, text } : failureOf('ValueSize')
}

function failed (error: unknown, { report }: Call): Failure {
  if (error instanceof StatusError) return failureOf(error.status, error.param, error.message)
  report(error)
  return failureOf('Unknown')
}

/** Whether a command failed. */
export function isFailure (result: Reply | Failure): result is Failure {
  return 'status' in result
}
