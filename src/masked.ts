/**
 * What somebody wrote, as it may be shown to anybody: of a URL the scheme alone, since a password in it that is not encoded can
 * hold any character, and of `user:password@host` the host alone.
 */
export function masked (text: string): string {
  return text.replace(/:\/\/.*$/s, '://***').replace(/^.*:.*@/s, '***@')
}
