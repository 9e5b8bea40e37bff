// Exit codes of every command, beside 0: it was done, or Holdfast was asked to stop.

/** It failed, or found damage. */
export const FAILED = 1
/** What it was given is wrong: the configuration, or a file. */
export const BAD_INPUT = 2
