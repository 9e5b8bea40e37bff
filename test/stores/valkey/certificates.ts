// Certificates for servers that speak TLS, and for their clients, from an authority of their own.
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const run = promisify(execFile)

/** Paths of files. */
export interface Pair { readonly certificate: string, readonly key: string }

export interface Certificates { readonly authority: string, readonly server: Pair, readonly client: Pair }

/** What openssl is to put into certificates; the configuration of the system would add to it. */
const CONFIG = `[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[server]
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
extendedKeyUsage = clientAuth
`

/** Makes them with openssl, in a directory next to that of the test. The server may be called 127.0.0.1 or localhost. */
export async function makeCertificates (t: Test): Promise<Certificates> {
  const directory = `${t.testdirName}-certificates`
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'config'), CONFIG)

  async function make (name: string, issuer?: Pair): Promise<Pair> {
    const made = { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) }
    await run('openssl', ['req', '-x509', '-config', join(directory, 'config'), '-extensions', name, '-subj', `/CN=holdfast test ${name}`, '-days', '2',
      '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-keyout', made.key, '-out', made.certificate,
      ...issuer === undefined ? [] : ['-CA', issuer.certificate, '-CAkey', issuer.key]])
    return made
  }

  const authority = await make('authority')
  return { authority: authority.certificate, server: await make('server', authority), client: await make('client', authority) }
}
