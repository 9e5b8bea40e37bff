/** A JSON value as the exact text that it arrived in: valid JSON (RFC 8259), well-formed Unicode, never the empty string. */
export type JsonText = string & { readonly JsonText: unique symbol }

/** The same text in memory of its own: V8 keeps the whole text that a slice was cut from, such as a request's body, for as long as the slice lives. */
export function ownCopy<T extends string> (text: T): T {
  return (' ' + text).slice(1) as T // The same text.
}
