export interface ValkeyOptions {
  /** Seconds that opening the store may take; for ever with Infinity. 60 unless given. */
  readonly openTimeoutS?: number
  /** Milliseconds in which the engine has to answer, or else a request fails with StoreUnavailable. 2,000 unless given. */
  readonly answerDeadlineMs?: number
  /** How many replicas have to have a change before it counts as made. None unless given. */
  readonly waitReplicas?: number
}
