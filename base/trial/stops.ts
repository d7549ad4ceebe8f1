/** For how long a debugger has stopped this process. */

/** Milliseconds between two looks: if it is longer, and the process hardly ran meanwhile, it was stopped. */
const GAP_MS_MIN = 50

export class Stops {
  #seenAt = performance.now()
  #cpuMs = cpuMs()
  #ms = 0

  /** Milliseconds for which the process was stopped, as of the last look. */
  get ms(): number {
    return this.#ms
  }

  /** To be called every few milliseconds. What passed between two calls without costing CPU is taken for a stop. */
  look(): void {
    const [now, usedMs] = [performance.now(), cpuMs()]
    const gapMs = now - this.#seenAt
    if (gapMs > GAP_MS_MIN) this.#ms += Math.max(0, gapMs - (usedMs - this.#cpuMs))
    this.#seenAt = now
    this.#cpuMs = usedMs
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
