/** The sessions of V8's inspector that a slot has: a lookout, and one that takes profiles. Each has to be closed before the isolate ends. */
import type ivm from 'isolated-vm'
import { BerthError } from '../kernel/errors.ts'
import { Inspector } from './inspector.ts'
import type { Lookout, Sight } from './lookout.ts'

export class SlotSessions {
  readonly #isolate: ivm.Isolate
  readonly #context: ivm.Context
  #inspector: Inspector | undefined
  #lookout: Lookout | undefined
  /** Until when the slot has its lookout, by `performance.now()`. */
  #lookoutUntil = 0
  #hasEnded = false

  constructor(isolate: ivm.Isolate, context: ivm.Context) {
    this.#isolate = isolate
    this.#context = context
  }

  /** Takes a lookout that the slot is to have until then, by `performance.now()`. */
  keep(lookout: Lookout, until: number): void {
    this.#lookout = lookout
    this.#lookoutUntil = until
  }

  /** Whether a lookout waits for its time to be over. */
  get isTimed(): boolean {
    return this.#lookout !== undefined && this.#lookoutUntil !== Infinity
  }

  /** Closes the lookout when its time is over. */
  watch(now: number): void {
    if (this.#lookout === undefined || now <= this.#lookoutUntil) return
    this.#lookoutUntil = Infinity
    void this.#lookout.close().then(() => {
      if (!this.#hasEnded) this.#lookout = undefined
    })
  }

  /** What the lookout sees of the code that runs now; undefined when the slot has none. */
  look(): Promise<Sight> | undefined {
    return this.#lookout?.look()
  }

  /** @throws PROFILE_BUSY while another session is open, or is being closed in an isolate that does not answer */
  inspect(onNotification?: (text: string) => void): Inspector {
    if (this.#inspector?.isOpen) throw new BerthError('PROFILE_BUSY', 'Cannot profile the slot: the last profile of it is not over')
    this.#inspector = new Inspector(this.#isolate, this.#context, onNotification)
    return this.#inspector
  }

  /** Whether the isolate ran out of memory under a session: then its thread waits for ever. */
  get hasLostThread(): boolean {
    return this.#inspector?.hasLostThread === true || this.#lookout?.hasLostThread === true
  }

  /**
   * Closes the sessions, and disposes of the isolate behind them: at once when there are none.
   * @param sight what is to be known before
   */
  end(sight: Promise<Sight> | undefined): void {
    this.#hasEnded = true
    const [inspector, lookout] = [this.#inspector, this.#lookout]
    const dispose = () => {
      if (!this.#isolate.isDisposed) this.#isolate.dispose()
    }
    const endInspector = () => {
      if (inspector === undefined) dispose()
      else void inspector.close().then(dispose)
    }
    if (lookout === undefined) endInspector()
    else
      void Promise.resolve(sight)
        .then(() => lookout.close())
        .then(endInspector)
  }
}
