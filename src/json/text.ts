/** A JSON value as the exact text that it arrived in: valid JSON (RFC 8259), well-formed Unicode, never the empty string. */
export type JsonText = string & { readonly JsonText: unique symbol }
