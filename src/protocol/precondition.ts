import { hash } from 'node:crypto'
import type { JsonText } from '../json/text.js'
import { outcomeWith, type Access, type View } from '../session.js'
import { StatusError } from '../status.js'

/** Entity tags as they were sent, such as `"abc"` or `W/"abc"`; or `*`. */
export type EntityTags = readonly string[] | '*'

/** If-Match and If-None-Match of one key (RFC 9110, section 13.1). */
export interface Precondition {
  readonly key: string
  readonly ifMatch: EntityTags | undefined
  readonly ifNoneMatch: EntityTags | undefined
  /** Whether the key must exist for the request to be more than a 404: then a precondition is not evaluated without it. */
  readonly needsKey: boolean
}

/** The strong entity tag of a value: the same text has the same tag, on every gateway. */
export function entityTag (value: JsonText): string {
  return `"${hash('sha256', value, 'base64url').slice(0, 22)}"`
}

/** Whether If-None-Match names this value, by the weak comparison that RFC 9110, section 13.1.2, asks for. */
export function matchesWeakly (tags: EntityTags, value: JsonText): boolean {
  if (tags === '*') return true
  const tag = entityTag(value)
  return tags.some(candidate => candidate === tag || candidate === `W/${tag}`)
}

/** @throws {StatusError} PreconditionFailed; KeyExists when `If-None-Match: *` met a key */
function hold ({ key, ifMatch, ifNoneMatch, needsKey }: Precondition, view: View): void {
  const value = view.get(key)
  if (value === undefined) {
    if (ifMatch !== undefined && !needsKey) throw new StatusError('PreconditionFailed', 'If-Match', 'The key does not exist.')
    return
  }
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(entityTag(value))) {
    throw new StatusError('PreconditionFailed', 'If-Match', 'The key has another value by now.')
  }
  if (ifNoneMatch === '*') throw new StatusError('KeyExists', 'If-None-Match')
  if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, value)) {
    throw new StatusError('PreconditionFailed', 'If-None-Match', 'The key has this value.')
  }
}

/** The same access, decided only if a precondition holds: in the same atomic step. */
export function conditional<T> (step: Access<T>, precondition: Precondition | undefined): Access<T> {
  if (precondition === undefined) return step
  const { reads, mayWrite, touch, change } = step
  return {
    reads: { ...reads, get: [...reads.get ?? [], precondition.key] },
    mayWrite,
    touch,
    // Without `change`: what is changed depends on what is read now.
    decide: view => {
      hold(precondition, view)
      const outcome = step.decide(view)
      return change === undefined ? outcome : outcomeWith(outcome.reply, change)
    },
  }
}
