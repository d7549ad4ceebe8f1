/** Time that does not go on while a debugger has stopped this process. */

/** A gap between two looks that is longer than this, in milliseconds, and in which the process hardly ran, was a stop. */
const GAP_MS_MIN = 50

export class StoppableTime {
  #seenAt = performance.now()
  #cpuMs = cpuMs()
  #stoppedMs = 0

  /** Milliseconds for which the process was stopped since it began, as of the last look. */
  get stoppedMs(): number {
    return this.#stoppedMs
  }

  /** To be called every few milliseconds: what no call saw and cost no CPU is taken for a stop. */
  look(): void {
    const [now, usedMs] = [performance.now(), cpuMs()]
    const gapMs = now - this.#seenAt
    if (gapMs > GAP_MS_MIN) this.#stoppedMs += Math.max(0, gapMs - (usedMs - this.#cpuMs))
    this.#seenAt = now
    this.#cpuMs = usedMs
  }

  /** As `performance.now()`, without the stops. */
  now(): number {
    return performance.now() - this.#stoppedMs
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
