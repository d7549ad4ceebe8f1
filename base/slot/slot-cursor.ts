/** What the code of a slot is at, read from the memory that it shares with its cell; see `CURSOR`. It can be read while the isolate runs, and after its end. */
import { CURSOR } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import type { Lock } from '../traffic/schema.ts'
import type { Suspects, Whereabouts } from './kill.ts'
import type { Pending } from './slot-call.ts'
import { stepsOf } from './specialise.ts'

export class SlotCursor {
  /** The stages that requests run. */
  lock: Lock
  readonly #places: Float64Array
  readonly #find: (no: number) => Pending | undefined

  /** @param find gives the request of a number, if it was sent into the isolate and has not been answered there */
  constructor(places: Float64Array, lock: Lock, find: (no: number) => Pending | undefined) {
    this.lock = lock
    this.#places = places
    this.#find = find
  }

  /** The number of the request that was started last. */
  get started(): number {
    return this.#places[CURSOR.started] ?? 0
  }

  /** Which run of a request it is that runs now, or was the last. */
  get run(): number {
    return this.#places[CURSOR.run] as number
  }

  /** Whether requests only warm the slot up. */
  get isWarmingUp(): boolean {
    return this.#places[CURSOR.warmingUp] === 1
  }

  set isWarmingUp(isWarmingUp: boolean) {
    this.#places[CURSOR.warmingUp] = Number(isWarmingUp)
  }

  /** The request whose code runs now. */
  current(): Pending | undefined {
    const no = this.#places[CURSOR.running] as number
    return no === 0 ? undefined : this.#find(no)
  }

  /** Those that may be the cause when the slot is killed now. */
  suspects(): Suspects {
    const reading = this.#reading()
    const current = this.current()
    return {
      reading,
      checking: this.#places[CURSOR.checking] === 1 ? current : undefined,
      running: reading ?? current,
      started: this.started,
    }
  }

  /**
   * The request whose body is being parsed, if the body is so large that it may be what is wrong. With a small one, the slot may be full of what modules
   * keep.
   */
  #reading(): Pending | undefined {
    const no = this.#places[CURSOR.reading] as number
    const pending = no === 0 ? undefined : this.#find(no)
    return pending !== undefined && pending.call.body.length > limits.slot.bodySuspectChars ? pending : undefined
  }

  /**
   * Milliseconds for which timers have run that answered requests have left behind.
   * @param now gives the time of the monotonic clock
   */
  leftMs(now: () => number): number {
    const since = this.#places[CURSOR.leftSince] as number
    return (this.#places[CURSOR.leftMs] as number) + (since === 0 ? 0 : Math.max(0, now() - since - 1))
  }

  /**
   * The stage and the module that were entered last; after a kill, before it. While code runs, it is theirs, or was called by it. But after an
   * `await` in one of several requests that wait, it may be that of another request.
   */
  whereabouts(): Whereabouts {
    const steps = stepsOf(this)
    const step = steps[(this.#places[CURSOR.step] ?? 0) - 1]
    if (step !== undefined) return step
    const modules = new Set(steps.map(({ module }) => module))
    const [module] = modules
    // What a module does while it is loaded, or leaves behind then, is in no stage.
    return modules.size === 1 && module !== undefined ? { module } : {}
  }
}
