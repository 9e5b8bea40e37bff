/** The machine's two clocks. */
export interface TimeSources {
  /** Milliseconds since the Unix epoch by the machine's wall clock, which can jump. */
  wall (): number
  /** Milliseconds since a moment that is the same for all processes of the machine: this never jumps and never goes back. */
  elapsed (): number
}

/** Both clocks, read at one moment. Processes that count from the same moment agree on the time to the millisecond. */
export interface Moment {
  readonly wall: number
  readonly elapsed: number
}

/** How far the wall clock may drift before a warning says that it has jumped, and how often that is checked. */
const TOLERANCE_MS = 5_000
const LOOK_EVERY_MS = 10_000

const MACHINE: TimeSources = {
  wall: Date.now,
  elapsed () {
    // Unlike performance.now(), which counts from the start of its process. Measured: 73 ns, where Date.now() takes 60.
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1e3 + nanoseconds / 1e6
  },
}

export function thisMoment (sources = MACHINE): Moment {
  return { wall: sources.wall(), elapsed: sources.elapsed() }
}

/** Reads the moment that a server counts its time from, and warns from now on of jumps of the wall clock. */
export function startOfTime (warn: (message: string) => void): Moment {
  const since = thisMoment()
  setInterval(watchForJumps(clockFrom(since), warn), LOOK_EVERY_MS).unref()
  return since
}

/**
 * The clock that deadlines go by: whole milliseconds since the Unix epoch, by the wall clock at that moment and by the
 * time elapsed since. So a wall clock that is set while the server runs ends no session early and keeps none too long.
 */
export function clockFrom (since: Moment, sources = MACHINE): () => number {
  return () => Math.floor(since.wall + (sources.elapsed() - since.elapsed))
}

/**
 * Compares a clock with the wall clock whenever it is called, and warns once of each jump.
 * @param warn is called with a sentence
 */
export function watchForJumps (now: () => number, warn: (message: string) => void, wall = Date.now): () => void {
  let known = 0
  return () => {
    const difference = wall() - now()
    if (Math.abs(difference - known) <= TOLERANCE_MS) return
    known = difference
    const seconds = Math.round(Math.abs(difference) / 1e3)
    const place = difference < 0 ? 'behind' : 'ahead of'
    warn(`the wall clock is ${seconds} s ${place} the time that deadlines go by, which is the time elapsed since the start; a restart takes on the new wall time`)
  }
}
