/**
 * The parameters of a request: scene defaults ← version ← arms of business experiments, key by key at the top level. Every combination is
 * merged and written once, then found again step by step: from the version's own parameters along the arms that the request is in.
 */
import type { Params } from './schema.ts'

/** What an arm adds to the parameters. */
export interface Addition {
  readonly values: Params
}

/** The parameters of one combination of arms. */
export class MergedParams<A extends Addition> {
  /** JSON, as it crosses into the slot. */
  readonly json: string
  /** The arms that it came along, in the order of their layers. */
  readonly arms: readonly A[]
  readonly #values: Params
  readonly #memory: ParamsMemory<A>
  readonly #next = new Map<A, MergedParams<A>>()

  constructor(values: Params, arms: readonly A[], memory: ParamsMemory<A>) {
    this.json = JSON.stringify(values)
    this.arms = arms
    this.#values = values
    this.#memory = memory
  }

  /** These parameters with those of one more arm over them. */
  with(arm: A): MergedParams<A> {
    return this.#next.get(arm) ?? this.#merge(arm)
  }

  /** Drops every combination that goes on from this one. */
  forget(): void {
    this.#next.clear()
  }

  #merge(arm: A): MergedParams<A> {
    const merged = new MergedParams({ ...this.#values, ...arm.values }, [...this.arms, arm], this.#memory)
    this.#memory.make(merged.json.length)
    this.#next.set(arm, merged)
    return merged
  }
}

/** What one combination takes besides its text, roughly. */
const ENTRY_CHARS = 512

/** Bounds what the combinations of a scene take up: before there are more, all are forgotten and made again as they are asked for. */
export class ParamsMemory<A extends Addition> {
  readonly #charsMax: number
  readonly #roots: MergedParams<A>[] = []
  #chars = 0

  /** @param charsMax characters of JSON */
  constructor(charsMax: number) {
    this.#charsMax = charsMax
  }

  /** Where the combinations of a version begin. */
  root(values: Params): MergedParams<A> {
    const root = new MergedParams(values, [], this)
    this.#roots.push(root)
    return root
  }

  /** Makes room for one more combination. */
  make(chars: number): void {
    this.#chars += chars + ENTRY_CHARS
    if (this.#chars <= this.#charsMax) return
    for (const root of this.#roots) root.forget()
    this.#chars = chars + ENTRY_CHARS
  }
}
