/** The states of one thing during a run, with the times between them in which either of two states may be in force. */

/** Old states are kept for as long as a request that was sent under one of them may take. */
export const KEPT_MS = 60_000

/** A state, and the time in which it may have answered, including the uncertain time at either end. */
interface Held<State> {
  readonly state: State
  readonly from: number
  to: number
}

/** The states that one thing has had, in order. */
export class Timeline<State> {
  readonly #states: Held<State>[] = []
  #openedAt: number | undefined

  get latest(): State | undefined {
    return this.#states.at(-1)?.state
  }

  open(at: number): void {
    this.#openedAt ??= at
  }

  /** Whether a change was under way at that time whose outcome is not known yet. */
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
