/**
 * Capsules on their way from a cell to the keeper. They must never hold up a request or grow without bound. The entries of a recording only make sense without
 * a gap, so what is dropped is always the end of a recording, which then ends. Errors and the slowest are kept first.
 */
import type { Captured } from '../capsule/capsule.ts'
import { limits } from '../kernel/limits.ts'
import type { KeeperLink } from './keeper-link.ts'

interface Waiting {
  readonly captured: Captured
  readonly chars: number
  /** Those of the lowest rank are dropped first: milliseconds that the request took, and without end for one that failed. */
  readonly rank: number
}

export interface FeedHost {
  /** The link to the keeper, once there is one. */
  link(): Pick<KeeperLink, 'send' | 'keepsUp'> | undefined
  /** Called when a capsule is lost. No more of its recording is of use. */
  onLost(recording: string): void
}

/** About how many characters a capsule has beside the texts of its entries, and an entry beside its texts. */
const CAPSULE_CHARS = 1000
const ENTRY_CHARS = 300
const READING_CHARS = 18
/** Milliseconds that a capsule waits for others to be sent with, the same when somebody has asked for it, and characters that are sent together. */
const SEND_AFTER_MS = 100
const SOON_MS = 10
const SENT_TOGETHER_CHARS = 128 * 1024

export class CapsuleFeed {
  readonly #host: FeedHost
  #queue: Waiting[] = []
  #chars = 0
  #timer: NodeJS.Timeout | undefined
  #isSoon = false

  constructor(host: FeedHost) {
    this.#host = host
  }

  /** Whether so much waits for the keeper that requests should not be captured only because chance says so. */
  get isBehind(): boolean {
    return this.#chars > limits.capsule.queueBytesMax / 2
  }

  push(captured: Captured): void {
    const chars = charsOf(captured)
    const { answer, tookMs } = captured.capsule
    this.#queue.push({ captured, chars, rank: 'failure' in answer ? Infinity : tookMs })
    this.#chars += chars
    while (this.#chars > limits.capsule.queueBytesMax) this.#dropOne()
    if (captured.capsule.why === 'asked') this.#wakeSoon()
    else this.#wake()
  }

  /** The keeper did not keep a capsule of the recording, so that what follows in it is of no use. */
  drop(recording: string): void {
    const [dropped, left] = [[] as Waiting[], [] as Waiting[]]
    for (const waiting of this.#queue) (waiting.captured.recording === recording ? dropped : left).push(waiting)
    this.#queue = left
    this.#host.onLost(recording)
    for (const { chars } of dropped) this.#lose(recording, chars)
  }

  /** Sends what waits, as far as the keeper keeps up. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isSoon = false
    const link = this.#host.link()
    // What is sent together wakes the keeper once. But a large capsule takes milliseconds to write, for which requests wait.
    const captured: Captured[] = []
    for (let chars = 0; link?.keepsUp && chars < SENT_TOGETHER_CHARS; ) {
      const next = this.#queue.shift()
      if (next === undefined) break
      this.#chars -= next.chars
      chars += next.chars
      captured.push(next.captured)
    }
    if (captured.length > 0) link?.send({ type: 'captured', captured })
    if (this.#queue.length > 0) this.#wakeSoon()
  }

  /** Sends all that the keeper takes. */
  close(): void {
    while (this.#queue.length > 0 && this.#host.link()?.keepsUp) this.flush()
  }

  #wake(): void {
    this.#timer ??= setTimeout(() => this.flush(), SEND_AFTER_MS).unref()
  }

  /** Somebody waits for what is in the queue, or there is more than was sent together. */
  #wakeSoon(): void {
    if (this.#isSoon) return
    clearTimeout(this.#timer)
    this.#isSoon = true
    this.#timer = setTimeout(() => this.flush(), SOON_MS).unref()
  }

  /** Of the last capsules of all recordings, drops the one of the lowest rank. */
  #dropOne(): void {
    const last = new Map(this.#queue.map(waiting => [waiting.captured.recording, waiting]))
    const [first, ...others] = last.values()
    if (first === undefined) return
    const lowest = others.reduce((least, waiting) => (waiting.rank < least.rank ? waiting : least), first)
    this.#queue.splice(this.#queue.indexOf(lowest), 1)
    this.#lose(lowest.captured.recording, lowest.chars)
  }

  #lose(recording: string, chars: number): void {
    this.#chars -= chars
    this.#host.onLost(recording)
  }
}

const charsOf = ({ entries, capsule }: Captured): number =>
  CAPSULE_CHARS + charsIn(capsule.logs) + charsIn(capsule.answer) + charsOfEntries(entries)

function charsOfEntries(entries: Captured['entries']): number {
  let sum = 0
  for (const { values, readings, asked } of entries) sum += ENTRY_CHARS + READING_CHARS * readings.length + charsIn(values) + charsIn(asked)
  return sum
}

/** Characters of all texts in a value. */
function charsIn(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  let sum = 0
  for (const inner of Object.values(value)) sum += charsIn(inner)
  return sum
}
