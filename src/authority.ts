import { BlockList, isIP } from 'node:net'

/** A host and a port as they stand in a URL: an IPv6 address gets its brackets. */
export function authority (host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** 127.0.0.0/8 (RFC 1122, section 3.2.1.3) and ::1 (RFC 4291, section 2.5.3). */
const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8)
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether only this machine reaches what listens on a host: a loopback address, or the name localhost (RFC 6761, section 6.3). */
export function isLoopback (host: string): boolean {
  const version = isIP(host)
  return version === 0 ? /^localhost\.?$/i.test(host) : LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6')
}
