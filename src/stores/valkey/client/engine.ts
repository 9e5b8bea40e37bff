import { setTimeout as sleep } from 'node:timers/promises'
import { inTimeOf } from './deadlines.js'
import type { Call } from './connection.js'
import { EngineError, isTransient, LostError, NotSentError, redirectionOf } from './faults.js'
import type { Node } from './node.js'
import { LIMIT, SCRIPT, SCRIPT_SHA } from '../script.js'
import type { Topology } from './topology.js'

/** Milliseconds before what could not be done at the moment is tried again. */
const PAUSE = 20

/** Redirections that are followed without a pause: servers that do not agree may send a call from one to the other for long. */
const REDIRECTIONS = 4

/** The engine as a whole: whatever the servers do, each call is answered, or rejected, within the deadline. */
export interface Engine {
  /**
   * Has a command carried out by the server that has `key`.
   * @param changes whether the command may change something: then it is never sent again once it might have been done
   * @throws {NotSentError | LostError | EngineError | StatusError}
   */
  command (key: string, call: Call, changes: boolean): Promise<unknown>
  /**
   * The same with our script, which the server is given when it does not know it.
   * @param keys as keysOf() gives them @param args after the key @param until nothing is sent from then on, as performance.now()
   */
  script (keys: readonly [string, string], args: ReadonlyArray<string | number>, changes: boolean, until?: number): Promise<unknown>
  /** To be called whenever the topology changes. */
  changed (): void
}

/** A call on its way. */
interface Errand {
  readonly key: string
  /** One that the script may use besides, and that has to be where the key is. */
  readonly companion: string | undefined
  readonly changes: boolean
  /** Nothing is sent from then on, as performance.now(), and what is delivered later changes nothing. */
  readonly until: number
  /** Where its call says so to the engine. */
  readonly limitAt: number | undefined
  call: Call
  /** Asked in place of the server that has the key, once. */
  instead: Node | undefined
  redirections: number
  isSent: boolean
  /** What a server last said to it: not now. */
  refusal: EngineError | undefined
}

/** What stands before the key and its arguments. */
const HEAD = [SCRIPT_SHA, 1] as const

/** @param deadline milliseconds */
export function engineOf (topology: Topology, deadline: number): Engine {
  const inTime = inTimeOf(deadline)
  let change = pending()
  /** Since when nothing at all can be done. */
  let downSince = performance.now()

  /** Who comes when all has been lost for long, or the server that he needs, is told so at once: there would be more and more who wait. */
  function isHopeless (node: Node | undefined): boolean {
    const since = topology.fault === undefined ? node?.lostSince ?? Infinity : downSince
    return performance.now() - since > deadline
  }

  function faultOf (node: Node | undefined): string {
    return node?.fault ?? topology.fault ?? 'no server has this part of the data'
  }

  /** Sees to it that an errand that failed can be tried again. @throws the same error when it cannot be */
  async function mend (errand: Errand, error: unknown, node: Node | undefined): Promise<void> {
    const redirection = redirectionOf(error)
    errand.instead = undefined
    if (redirection !== undefined && node !== undefined) {
      const next = topology.follow(redirection, node)
      if (next === undefined || ++errand.redirections > REDIRECTIONS) await sleep(PAUSE)
      if (!redirection.isAsk) return
      if (errand.companion !== undefined && await isStillAt(node, errand.companion)) await sleep(PAUSE)
      else errand.instead = next
    } else if (error instanceof EngineError && error.code === 'NOSCRIPT' && errand.call.args[0] === SCRIPT_SHA) {
      errand.instead = node
      errand.call = { name: 'eval', args: [SCRIPT, ...errand.call.args.slice(1)] }
    } else if (error instanceof NotSentError && !isHopeless(node)) {
      await change.promise
    } else if (error instanceof EngineError && error.code === 'LATE' && node !== undefined) {
      errand.refusal = error
      // It was not late here: the engine's clock has been put right, or was asked too long ago.
      await Promise.all([node.setClock(), sleep(PAUSE)])
    } else if (error instanceof EngineError && isTransient(error)) {
      errand.refusal = error
      // Who says so may be the only one that still believes to have this part of the data.
      if (error.code === 'READONLY' || error.code === 'CLUSTERDOWN') topology.refresh('it is a replica, which takes no changes')
      await sleep(PAUSE)
    } else if (!(error instanceof LostError) || errand.changes) {
      throw error
    }
  }

  async function carryOut (errand: Errand): Promise<unknown> {
    const { key, changes, until } = errand
    for (;;) {
      const node = errand.instead ?? topology.nodeOf(key)
      try {
        if (node === undefined || performance.now() >= until) throw errand.refusal ?? new NotSentError(faultOf(node))
        if (errand.limitAt !== undefined) errand.call.args[errand.limitAt] = node.clock(until)
        errand.isSent = true
        return await (changes ? node.change(errand.call, errand.instead !== undefined) : node.read(errand.call, errand.instead !== undefined))
      } catch (error) {
        if (performance.now() >= until) throw error
        // What was answered with an error, or not sent, was not done.
        errand.isSent = error instanceof LostError
        await mend(errand, error, node)
      }
    }
  }

  async function run (key: string, call: Call, changes: boolean, until = performance.now() + deadline, companion?: string, limitAt?: number): Promise<unknown> {
    const errand: Errand = { key, companion, changes, until, limitAt, call, instead: undefined, redirections: 0, isSent: false, refusal: undefined }
    return await inTime(carryOut(errand), () => errand.isSent ? new LostError('no answer in time') : errand.refusal ?? new NotSentError(faultOf(topology.nodeOf(key))))
  }

  return {
    command: async (key, call, changes) => await run(key, call, changes),
    script: async ([key, companion], args, changes, until) =>
      await run(key, { name: 'evalsha', args: [...HEAD, key, ...args] }, changes, until, companion, changes ? HEAD.length + 1 + LIMIT : undefined),
    changed () {
      downSince = topology.fault === undefined ? Infinity : Math.min(downSince, performance.now())
      change.resolve()
      change = pending()
    },
  }
}

/** Whether a key has not moved yet from a server whose slot is moving. */
async function isStillAt (node: Node, key: string): Promise<boolean> {
  return await node.read({ name: 'exists', args: [key] }).then(count => count === 1, () => false)
}

function pending (): { readonly promise: Promise<void>, resolve (): void } {
  let resolve = (): void => {}
  const promise = new Promise<void>(_resolve => { resolve = _resolve })
  return { promise, resolve: () => resolve() }
}
