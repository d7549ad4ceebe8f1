/** The slot buffer: blanks that are made ahead of need, since making one takes this thread for milliseconds. */
import { type Blank, makeBlank, untilFreed, warmUp } from './blank.ts'
import type { CodeCache } from './code-cache.ts'

/** Blanks that wait to be specialised. They have the amount of memory that most scenes have. */
export class SlotBuffer {
  readonly #size: number
  readonly #memoryMB: number
  readonly #codeCache: CodeCache
  readonly #onFailed: (error: unknown) => void
  readonly #blanks: Blank[] = []
  #warmedUp = false
  #specialising = 0
  #refilling = false
  #closed = false

  /** @param size blanks to keep ready */
  constructor(size: number, memoryMB: number, codeCache: CodeCache, onFailed: (error: unknown) => void) {
    this.#size = size
    this.#memoryMB = memoryMB
    this.#codeCache = codeCache
    this.#onFailed = onFailed
    this.#refill()
  }

  get count(): number {
    return this.#blanks.length
  }

  /** Runs `work` with a blank. */
  use<T>(memoryMB: number, work: (blank: Blank) => Promise<T>): Promise<T> {
    const ready = memoryMB === this.#memoryMB ? this.#blanks.pop() : undefined
    return this.pauseFor(async () => work(ready ?? (await makeBlank(memoryMB, this.#codeCache))))
  }

  /** Runs `work`. No blank is made for the buffer meanwhile, since that would hold up the work. */
  async pauseFor<T>(work: () => Promise<T>): Promise<T> {
    this.#specialising++
    try {
      return await work()
    } finally {
      this.#specialising--
      this.#refill()
    }
  }

  close(): void {
    this.#closed = true
    for (const { isolate } of this.#blanks.splice(0)) isolate.dispose()
  }

  async #make(): Promise<Blank> {
    if (!this.#warmedUp) await warmUp(this.#codeCache)
    this.#warmedUp = true
    await untilFreed()
    return makeBlank(this.#memoryMB, this.#codeCache)
  }

  #refill(): void {
    if (this.#refilling || this.#closed || this.#specialising > 0 || this.#blanks.length >= this.#size) return
    this.#refilling = true
    // One blank is made per tick: each takes this thread for milliseconds, and requests come in between.
    setImmediate(() => {
      this.#make()
        .then(blank => {
          this.#refilling = false
          if (this.#closed) blank.isolate.dispose()
          else this.#blanks.push(blank)
          this.#refill()
        })
        // It is tried again after the next load, not at once: what is missing is missing for a while.
        .catch((error: unknown) => {
          this.#refilling = false
          this.#onFailed(error)
        })
    })
  }
}
