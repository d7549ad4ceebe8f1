/** The clock of isolates, which have only the wall clock by themselves: the time of a monotonic clock, in memory that they read. */
import { CLOCK } from '../inside/protocol.ts'

/** What `performance.now()` and `Date.now()` are. */
export interface TimeSource {
  readonly monotonic: () => number
  readonly wall: () => number
}

const CLOCK_BYTES = Object.keys(CLOCK).length * Float64Array.BYTES_PER_ELEMENT

export class SlotClock {
  readonly #source: TimeSource
  #isHeld = false
  readonly #places = new Float64Array(new SharedArrayBuffer(CLOCK_BYTES))

  constructor(source: TimeSource) {
    this.#source = source
    this.write()
  }

  /** What `CLOCK` describes. */
  get memory(): SharedArrayBuffer {
    return this.#places.buffer as SharedArrayBuffer
  }

  /** Milliseconds since the epoch by the wall clock, less the time of the monotonic clock, as code inside gets to know it. */
  get wallMinusMonotonic(): number {
    return this.#places[CLOCK.wallMinusMonotonic] as number
  }

  /** Keeps this the difference of the two clocks inside, however the wall clock is set from now on. */
  hold(wallMinusMonotonic = this.wallMinusMonotonic): void {
    this.#isHeld = true
    this.#places[CLOCK.wallMinusMonotonic] = wallMinusMonotonic
  }

  /**
   * Writes the time. To be called before code runs in an isolate and, while it runs, every `limits.slot.watchdogTickMs`: else the time inside would
   * stand still in a stage that runs for long. This costs a fraction of a microsecond.
   * @returns the time of the monotonic clock
   */
  write(): number {
    const { monotonic, wall } = this.#source
    const before = monotonic()
    const difference = wall() - before
    // This thread may have had to wait between the two readings: then the difference is too large, by as much as has passed.
    const passedMs = monotonic() - before
    const written = this.wallMinusMonotonic
    this.#places[CLOCK.monotonic] = before
    if (this.#isHeld) return before
    // The wall clock comes in whole milliseconds, so the difference varies by up to one without any meaning.
    if (written > difference + 1 || written < difference - passedMs - 1) this.#places[CLOCK.wallMinusMonotonic] = difference
    return before
  }
}

let ofMachine: SlotClock | undefined

/** The clock that all isolates of this process share, but those of a rehearsal whose clock stands still. */
export function machineClock(): SlotClock {
  if (ofMachine !== undefined) return ofMachine
  ofMachine = new SlotClock({ monotonic: () => performance.now(), wall: () => Date.now() })
  return ofMachine
}
