/** A JSON value as the exact text it arrived in: valid RFC 8259, well-formed Unicode, never the empty string. */
export type JsonText = string & { readonly JsonText: unique symbol }
