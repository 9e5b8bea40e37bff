/** What a command was given is wrong: the operator's to mend, and exit code 2. Its message says all. */
export class InputError extends Error {
  /** @param details a line each, without a line end */
  constructor (message: string, readonly details: readonly string[] = []) {
    super(message)
    this.name = 'InputError'
  }
}
