/**
 * Values by number, in the order of their numbers, for numbers that come in that order or nearly so, as those of requests and calls do.
 *
 * A `Map` whose entries come and go gets a new table from V8 time and again, and each old table refers to the next one. Once one of them is in the old generation,
 * it keeps all later ones alive, with whatever was in them, until the whole heap is collected.
 */
export class ByNumber<T> {
  readonly #numbers: number[] = []
  readonly #values: T[] = []

  get size(): number {
    return this.#numbers.length
  }

  /** The smallest number; undefined when there is none. */
  get first(): number | undefined {
    return this.#numbers[0]
  }

  get(no: number): T | undefined {
    const at = this.#indexOf(no)
    // To read an array in front of its first value takes V8 three times as long as to find that there is nothing.
    return at < 0 ? undefined : this.#values[at]
  }

  has(no: number): boolean {
    return this.#indexOf(no) >= 0
  }

  /** Adds a value under a number that has none. */
  add(no: number, value: T): void {
    let at = this.#numbers.length
    for (; at > 0 && (this.#numbers[at - 1] as number) > no; at--) {
      this.#numbers[at] = this.#numbers[at - 1] as number
      this.#values[at] = this.#values[at - 1] as T
    }
    this.#numbers[at] = no
    this.#values[at] = value
  }

  delete(no: number): void {
    const at = this.#indexOf(no)
    if (at < 0) return
    // No method of an array is called, since in an isolate a module may have changed it.
    const last = this.#numbers.length - 1
    for (let i = at; i < last; i++) {
      this.#numbers[i] = this.#numbers[i + 1] as number
      this.#values[i] = this.#values[i + 1] as T
    }
    this.#numbers.length = this.#values.length = last
  }

  clear(): void {
    this.#numbers.length = this.#values.length = 0
  }

  /** All values as they are now, by their numbers. */
  values(): T[] {
    const values: T[] = []
    for (let i = 0; i < this.#values.length; i++) values[i] = this.#values[i] as T
    return values
  }

  /** Where the number is, or -1. */
  #indexOf(no: number): number {
    let low = 0
    let high = this.#numbers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#numbers[middle] as number) < no) low = middle + 1
      else high = middle
    }
    return this.#numbers[low] === no ? low : -1
  }
}
