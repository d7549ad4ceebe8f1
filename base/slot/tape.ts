/**
 * The tape of an isolate, as the cell writes and reads it: what its clocks are to show, or have shown, and what chance is seeded from. With a new one they show
 * the time of the machine, as in ordinary slots.
 */
import { SEED_WORDS, TAPE, TapeMode } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'

const TAPE_BYTES = (TAPE.readings + limits.capsule.readingsMax) * Float64Array.BYTES_PER_ELEMENT

export class Tape {
  readonly #places = new Float64Array(new SharedArrayBuffer(TAPE_BYTES))

  /** What `TAPE` describes. */
  get memory(): SharedArrayBuffer {
    return this.#places.buffer as SharedArrayBuffer
  }

  /** Writes down what the clocks show from now on, over what was written before. */
  record(): void {
    this.#places[TAPE.count] = 0
    this.#places[TAPE.marks] = 0
    this.#places[TAPE.mode] = TapeMode.recording
  }

  /**
   * Has the clocks show these readings in order, and then `beyond`.
   * @param readings milliseconds of the monotonic clock, `limits.capsule.readingsMax` at most
   */
  play(readings: readonly number[], beyond: number): void {
    this.#places.set(readings, TAPE.readings)
    this.#places[TAPE.length] = readings.length
    this.#places[TAPE.count] = 0
    this.#places[TAPE.marks] = 0
    this.beyond = beyond
    this.#places[TAPE.mode] = TapeMode.replaying
  }

  /** What the clocks show when all readings of a replay are given, by the monotonic clock. It may be moved on while code runs. */
  get beyond(): number {
    return this.#places[TAPE.beyond] as number
  }

  set beyond(time: number) {
    this.#places[TAPE.beyond] = time
  }

  /** How many readings were made since `record` or `play`. In a replay it may be more than there were to give. */
  get count(): number {
    return this.#places[TAPE.count] as number
  }

  /** The readings since `record`, as far as there was a place for them. */
  get readings(): number[] {
    return [...this.#places.subarray(TAPE.readings, TAPE.readings + Math.min(this.count, limits.capsule.readingsMax))]
  }

  /** A set of `TapeMark`: what was seen since `record` or `play`. */
  get marks(): number {
    return this.#places[TAPE.marks] as number
  }

  /** @param words `SEED_WORDS` whole numbers of 32 bits, from which the next turn seeds chance */
  reseed(words: readonly number[]): void {
    if (words.length !== SEED_WORDS) throw new RangeError(`A seed of chance has ${SEED_WORDS} words, not ${words.length}`)
    this.#places.set(words, TAPE.seed)
    this.#places[TAPE.reseed] = 1
  }
}
