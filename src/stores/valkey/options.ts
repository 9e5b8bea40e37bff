/** What can be set of a store on Valkey or Redis. */
export interface ValkeyOptions {
  /** Seconds that opening it may take; for ever with Infinity. 60 unless given. */
  readonly openTimeoutS?: number
  /** Milliseconds in which it has to answer, or else a request fails with StoreUnavailable. 2,000 unless given. */
  readonly answerDeadlineMs?: number
  /** How many replicas have to have a change before it counts as made. None unless given. */
  readonly waitReplicas?: number
}
