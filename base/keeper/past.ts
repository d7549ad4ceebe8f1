/**
 * Says which date it was a while ago, so that what is dated can be kept for that long. The present date less that while would not do: when the
 * wall clock is set forward by a day, all that was dated in the last minutes seems to be a day old.
 */
export class Past {
  readonly #ms: number
  /** Looks at the clocks, the oldest first: one that is `#ms` old or older, if there is any, and all since. */
  readonly #looks: { readonly at: number; readonly date: number }[] = []

  constructor(ms: number) {
    this.#ms = ms
  }

  /**
   * Looks at the clocks. To be called every few minutes.
   * @param now by the monotonic clock, in milliseconds
   * @param today by the wall clock, in milliseconds since the epoch
   * @returns a date: what is dated before it was dated at least so many milliseconds ago, or before this was made. That holds however the wall
   * clock is set, unless it is set back and forward again between two looks
   */
  date(now: number, today: number): Date {
    this.#looks.push({ at: now, date: today })
    const old = this.#looks.findLastIndex(({ at }) => now - at >= this.#ms)
    this.#looks.splice(0, old)
    return new Date(Math.min(...this.#looks.map(({ at, date }) => date - Math.max(0, this.#ms - (now - at)))))
  }
}
