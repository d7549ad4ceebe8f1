/** Tells what is said for the first time from what has been said before. */
export class Once {
  readonly #max: number
  readonly #said = new Set<string>()

  /** @param max texts that are remembered; when there are more, all are forgotten */
  constructor(max: number) {
    this.#max = max
  }

  isFirst(text: string): boolean {
    if (this.#said.has(text)) return false
    if (this.#said.size >= this.#max) this.#said.clear()
    this.#said.add(text)
    return true
  }
}
