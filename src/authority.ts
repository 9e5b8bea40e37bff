/** A host and a port as they stand in a URL: an IPv6 address gets its brackets. */
export function authority (host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
