import { Type } from '@sinclair/typebox'
import { parseJsonPath, select, selectsAny, type Selected } from '../json/jsonpath.js'
import { limited, SearchLimitError } from '../json/limited.js'
import { parsePointer } from '../json/pointer.js'
import type { JsonText } from '../json/text.js'
import { required } from '../protocol/param.js'
import { StatusError, type StatusName } from '../status.js'

/** A parsed path of KV_UPDATE or KV_FIND. */
export type Path =
  | { readonly kind: 'pointer', readonly tokens: readonly string[] }
  | { readonly kind: 'jsonpath', select (value: JsonText): Selected[], selectsAny (value: JsonText): boolean }

const DESCRIPTION = 'A JSON Pointer (RFC 6901: empty, or starting with "/") or a JSONPath (RFC 9535: starting with "$").'

/** The parameter `path`. @param missing the status when it is missing */
export function pathParamOf (missing: StatusName) {
  return required(Type.String({ description: DESCRIPTION }), { missing })
}

export const pathParam = pathParamOf('ParamMissing')

/** @throws {StatusError} PathInvalid */
export function parsePath (text: string): Path {
  if (text.startsWith('$')) {
    const query = parseJsonPath(text)
    if (query !== undefined) return { kind: 'jsonpath', select: value => select(query, value), selectsAny: value => selectsAny(query, value) }
  } else {
    const tokens = parsePointer(text)
    if (tokens !== undefined) return { kind: 'pointer', tokens }
  }
  throw new StatusError('PathInvalid', 'path', DESCRIPTION)
}

/** Runs a search along a path. @throws {StatusError} ValueSize when it takes too long or too much memory */
export function searching<T> (task: () => T): T {
  try {
    return limited(task)
  } catch (error) {
    if (error instanceof SearchLimitError) throw new StatusError('ValueSize', 'path', `Following the path was given up: ${error.message}.`)
    throw error
  }
}
