/** How much memory a cell uses of what it may. */

/** Part of its memory above which a cell lets idle slots go. The supervisor replaces a cell that uses more than all of it. */
const SLOT_MEMORY_RATIO = 0.8

export class CellMemory {
  readonly #bytesMax: number
  #rssBytes = 0

  constructor(megabytesMax: number) {
    this.#bytesMax = megabytesMax * 2 ** 20
  }

  /** Whether idle slots should be let go. */
  get isShort(): boolean {
    return this.#readRss() > this.#bytesMax * SLOT_MEMORY_RATIO
  }

  /** Bytes that the cell may use beside what it uses now. Negative when it uses more than it may. */
  get bytesLeft(): number {
    return this.#bytesMax - this.#readRss()
  }

  /** Bytes. To read them takes a file descriptor: when connections have taken all there are, this is what was read last. */
  #readRss(): number {
    try {
      this.#rssBytes = process.memoryUsage.rss()
    } catch (error) {
      if (!/^E[MN]FILE$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    return this.#rssBytes
  }
}
