/** The recorders of a cell: one for each version at most. They are loaded when there is room, and are the first to go when there is none. */
import { BerthError } from '../kernel/errors.ts'
import type { Job } from '../kernel/fair-queue.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { Recorder, RecorderHost } from './recorder.ts'
import type { Slot } from './slot.ts'

/** Why a version has no recorder that would take a request: it is being loaded; has a request; memory is short; or it could not be loaded of late. */
export type NoRecorder = 'loading' | 'busy' | 'memory' | 'failed'

/** What recorders need of the slots around them. */
interface RecordersHost {
  /** Whether there is memory for another slot. */
  hasRoom(): boolean
  /** Loads one when it is its turn. */
  load(plan: SlotPlan, onEnded: RecorderHost['onEnded']): Job<Recorder>
  /** Drains one that has ended, and disposes of its slot. */
  release(recorder: Recorder): void
}

interface Loading {
  readonly plan: SlotPlan
  recorder: Recorder | undefined
}

export class Recorders {
  readonly #host: RecordersHost
  /** By the key of the plan. */
  readonly #entries = new Map<string, Loading>()
  /** Each resolves when a load is over. */
  readonly #loads = new Set<Promise<void>>()
  /** Until when a version that could not be loaded is not tried again, by `performance.now()`. */
  readonly #failedUntil = new Map<string, number>()

  constructor(host: RecordersHost) {
    this.#host = host
  }

  /** The slots of those that are loaded. */
  get slots(): Slot[] {
    return [...this.#entries.values()].flatMap(({ recorder }) => recorder?.slot ?? [])
  }

  /** The plans of those that are loaded or being loaded. */
  get plans(): SlotPlan[] {
    return [...this.#entries.values()].map(({ plan }) => plan)
  }

  /** The recorder of a version, if it is loaded and would take a request. */
  find({ key }: SlotPlan): Recorder | undefined {
    const recorder = this.#entries.get(key)?.recorder
    return recorder?.isIdle ? recorder : undefined
  }

  /**
   * Loads the recorder of a version, unless it has one, it could not be loaded of late, or memory is short.
   * @returns why there is none at this moment
   */
  load(plan: SlotPlan): NoRecorder {
    const known = this.#entries.get(plan.key)
    if (known !== undefined) return known.recorder === undefined ? 'loading' : 'busy'
    if (performance.now() < (this.#failedUntil.get(plan.key) ?? -Infinity)) return 'failed'
    if (!this.#host.hasRoom()) return 'memory'
    const entry: Loading = { plan, recorder: undefined }
    this.#entries.set(plan.key, entry)
    const onEnded = (recorder: Recorder) => {
      this.#forget(entry)
      this.#host.release(recorder)
    }
    const load = this.#host.load(plan, onEnded).done.then(
      recorder => this.#onLoaded(entry, recorder),
      // Whoever asks for the slot of the version gets the reason.
      (error: unknown) => this.#onFailed(entry, error),
    )
    this.#loads.add(load)
    void load.then(() => this.#loads.delete(load))
    return 'loading'
  }

  #onLoaded(entry: Loading, recorder: Recorder): void {
    entry.recorder = recorder
    // It may have gone while it was loaded.
    if (this.#entries.get(entry.plan.key) !== entry) recorder.end()
  }

  #onFailed(entry: Loading, error: unknown): void {
    this.#forget(entry)
    if (error instanceof BerthError && error.code === 'BASE_DRAINING') return
    this.#failedUntil.set(entry.plan.key, performance.now() + limits.slot.loadAgainMsMax)
  }

  #forget(entry: Loading): void {
    if (this.#entries.get(entry.plan.key) === entry) this.#entries.delete(entry.plan.key)
  }

  /** Ends those of versions that are left. */
  retain(isLeft: (key: string) => boolean): void {
    for (const key of this.#failedUntil.keys()) if (isLeft(key)) this.#failedUntil.delete(key)
    this.#endAll(({ plan }) => isLeft(plan.key))
  }

  /**
   * Ends those that have been idle for a while, and all idle ones when memory is short.
   * @returns how many went for either reason
   */
  trim(memoryIsShort: boolean): { readonly idle: number; readonly memory: number } {
    const now = performance.now()
    const isUnused = ({ recorder }: Loading) =>
      recorder?.isIdle === true && now - recorder.slot.lastCallAt > limits.capsule.recorderIdleMsMax
    const idle = this.#endAll(isUnused)
    return { idle, memory: memoryIsShort ? this.#endAll(({ recorder }) => recorder?.isIdle === true) : 0 }
  }

  /** Ends all. Resolves when none is being loaded any more. */
  async close(): Promise<void> {
    this.#endAll(() => true)
    await Promise.all(this.#loads)
  }

  #endAll(which: (entry: Loading) => boolean): number {
    const entries = [...this.#entries.values()].filter(which)
    for (const entry of entries) {
      this.#forget(entry)
      entry.recorder?.end()
    }
    return entries.length
  }
}
