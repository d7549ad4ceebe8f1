/** The states of one thing over a run, with the moments of doubt between them. */

/** As long as a request may take that was sent while a state was in force. */
export const KEPT_MS = 60_000

/** A state and when it may have answered, a moment of doubt at either end included. */
interface Held<State> {
  readonly state: State
  readonly from: number
  to: number
}

/** The states that one thing had, one after the other. */
export class Timeline<State> {
  readonly #states: Held<State>[] = []
  #openedAt: number | undefined

  get latest(): State | undefined {
    return this.#states.at(-1)?.state
  }

  open(at: number): void {
    this.#openedAt ??= at
  }

  /** Whether a state that is not known yet may have answered at that time. */
  isOpenAt(at: number): boolean {
    return this.#openedAt !== undefined && at >= this.#openedAt
  }

  settle(at: number, state: State): void {
    const last = this.#states.at(-1)
    if (last !== undefined) last.to = at
    this.#states.push({ state, from: this.#openedAt ?? at, to: Number.POSITIVE_INFINITY })
    this.#openedAt = undefined
    while ((this.#states[0]?.to ?? at) < at - KEPT_MS) this.#states.shift()
  }

  between(from: number, to: number): State[] {
    return this.#states.filter(held => held.from <= to && held.to >= from).map(({ state }) => state)
  }
}
