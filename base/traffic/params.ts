/**
 * The parameters of a request: the scene's defaults, overridden by the version's, overridden by the arms of business experiments. Only top-level
 * keys are merged. Every combination of arms is merged and turned into JSON once; later requests find it by walking a tree that starts at the
 * version's parameters and has one branch for each arm.
 */
import type { Params } from './schema.ts'

/** An arm, as far as merging needs it: the parameters that it sets. */
export interface Addition {
  readonly values: Params
}

/** The parameters of one combination of arms. */
export class MergedParams<A extends Addition> {
  /** The parameters as JSON, in the form in which they are passed into the slot. */
  readonly json: string
  /** The arms of this combination, in the order of their layers. */
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

  /** These parameters, overridden by those of one more arm. */
  with(arm: A): MergedParams<A> {
    return this.#next.get(arm) ?? this.#merge(arm)
  }

  /** Drops every combination that starts with this one. */
  forget(): void {
    this.#next.clear()
  }

  #merge(arm: A): MergedParams<A> {
    const merged = new MergedParams({ ...this.#values, ...arm.values }, [...this.arms, arm], this.#memory)
    this.#memory.makeRoom(merged.json.length)
    this.#next.set(arm, merged)
    return merged
  }
}

/** A rough count of what one combination takes up besides its text. */
const ENTRY_CHARS = 512

/** Bounds the memory of all combinations of a scene: when the limit would be exceeded, all are dropped, and made again on demand. */
export class ParamsMemory<A extends Addition> {
  readonly #charsMax: number
  readonly #roots: MergedParams<A>[] = []
  #chars = 0

  /** @param charsMax characters of JSON */
  constructor(charsMax: number) {
    this.#charsMax = charsMax
  }

  /** The combination without any arm, from which all combinations of a version start. */
  root(values: Params): MergedParams<A> {
    const root = new MergedParams(values, [], this)
    this.#roots.push(root)
    return root
  }

  /** Makes room for one more combination of that many characters. */
  makeRoom(chars: number): void {
    this.#chars += chars + ENTRY_CHARS
    if (this.#chars <= this.#charsMax) return
    for (const root of this.#roots) root.forget()
    this.#chars = chars + ENTRY_CHARS
  }
}
