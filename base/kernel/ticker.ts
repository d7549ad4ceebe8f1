/** Work that is to be done every few milliseconds, but only at times: a timer that ticks with nothing to do wakes its process a hundred times a second. */
export class Ticker {
  readonly #msEach: number
  readonly #tick: () => boolean
  #timer: NodeJS.Timeout | undefined

  /** @param tick does the work, and returns whether there will be more: if not, it is not called again before the next `start` */
  constructor(msEach: number, tick: () => boolean) {
    this.#msEach = msEach
    this.#tick = tick
  }

  /** To be called whenever there is something to do. This costs nothing while it ticks. */
  start(): void {
    this.#timer ??= setInterval(() => {
      if (!this.#tick()) this.stop()
    }, this.#msEach)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
