/** Runs work that must not interleave. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Runs work with the same key one after the other, in the order of the calls. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(work)
    const settled = turn.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(key, settled)
    try {
      return await turn
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key)
    }
  }
}
