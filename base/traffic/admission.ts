/**
 * What lets a request in: a bucket that fills with time, a share of a limit, a circuit breaker. Pure: time is passed in, in milliseconds of any monotonic clock,
 * and so are the settings, at every step: a new scene table changes them under a state that goes on.
 */

export interface BucketRate {
  /** What flows in. */
  readonly perSecond: number
  readonly capacity: number
}

/** A token bucket. Its level may go below zero where the price is known only afterwards; then it has to fill up again first. */
export class Bucket {
  #level: number
  #at: number

  /** Starts full. */
  constructor(capacity: number, now: number) {
    this.#level = capacity
    this.#at = now
  }

  /** The level at `now`, after what has flowed in. */
  fill({ perSecond, capacity }: BucketRate, now: number): number {
    const inflow = (perSecond * Math.max(0, now - this.#at)) / 1000
    this.#at = Math.max(this.#at, now)
    this.#level = Math.min(capacity, this.#level + inflow)
    return this.#level
  }

  spend(amount: number): void {
    this.#level -= amount
  }

  /** Milliseconds until the level has risen to `amount`, from where the last `fill` left it; 0 when it is there. */
  waitMs(amount: number, { perSecond }: BucketRate): number {
    return Math.max(0, ((amount - this.#level) / perSecond) * 1000)
  }
}

/**
 * The part of a whole limit that one of `cells` enforces. The parts of cells 1 to `cells` add up to the limit, except that no part is
 * below 1: a cell that lets nobody in would refuse every request on its connections.
 * @param limit a count
 * @param cell ordinal, from 1
 */
export function shareOf(limit: number, cell: number, cells: number): number {
  const extra = (cell - 1) % cells < limit % cells ? 1 : 0
  return Math.max(1, Math.floor(limit / cells) + extra)
}

/** What one of `cells` lets in of a rate for all: the bucket of a cell holds one request at least, or it would never let any in. */
export function rateShare(rps: number, burst: number, cells: number): BucketRate {
  return { perSecond: rps / cells, capacity: Math.max(1, burst / cells) }
}

export interface BreakerRules {
  /** Opens when this part of the requests in the window failed. */
  readonly failureRatio: number
  /** Fewer requests in the window than this prove nothing. */
  readonly minRequests: number
  readonly windowMs: number
  /** How long it stays open before it lets probes through. */
  readonly openMs: number
  /** Probes at a time, and successful ones in a row that close it. */
  readonly probes: number
}

export type BreakerState = 'closed' | 'open' | 'halfOpen'

/** `neither`: it says nothing about the version, as when the caller was to blame. */
export type Outcome = 'ok' | 'failed' | 'neither'

/** Parts of the window; the oldest drops out as a whole. */
const WINDOW_PARTS = 10

interface WindowPart {
  /** Number of the part since the beginning of time; a part of another round counts nothing. */
  readonly no: number
  total: number
  failed: number
}

/**
 *            failures in the window          openMs have passed           a probe failed
 *   closed ──────────────────────────▶ open ────────────────────▶ halfOpen ─────────────▶ open
 *      ▲                                                              │ probes in a row succeeded
 *      └──────────────────────────────────────────────────────────────┘
 *
 * A request asks to `enter` and, if it may, tells its outcome with `leave`, once. What it tells counts only in the state it entered in.
 */
export class Breaker {
  #state: BreakerState = 'closed'
  /** Changes with every change of state; what a request got from `enter`. */
  #epoch = 1
  #opensUntil = 0
  #probing = 0
  #succeeded = 0
  readonly #window: (WindowPart | undefined)[] = []

  get state(): BreakerState {
    return this.#state
  }

  /** A number to `leave` with, or undefined when the request is refused. */
  enter(rules: BreakerRules, now: number): number | undefined {
    if (this.#state === 'closed') return this.#epoch
    if (this.#state === 'open') {
      if (now < this.#opensUntil) return undefined
      this.#become('halfOpen')
    }
    if (this.#probing >= rules.probes) return undefined
    this.#probing++
    return this.#epoch
  }

  leave(epoch: number, outcome: Outcome, rules: BreakerRules, now: number): void {
    if (epoch !== this.#epoch) return
    if (this.#state === 'halfOpen') this.#judgeProbe(outcome, rules, now)
    else if (outcome !== 'neither') this.#judge(outcome, rules, now)
  }

  /** Milliseconds until a refused request may find it half open; 0 while probes are under way, which end who knows when. */
  waitMs(now: number): number {
    return this.#state === 'open' ? Math.max(0, this.#opensUntil - now) : 0
  }

  #judgeProbe(outcome: Outcome, rules: BreakerRules, now: number): void {
    this.#probing--
    if (outcome === 'failed') this.#open(rules, now)
    else if (outcome === 'ok' && ++this.#succeeded >= rules.probes) this.#become('closed')
  }

  #judge(outcome: Outcome, rules: BreakerRules, now: number): void {
    const partMs = rules.windowMs / WINDOW_PARTS
    const no = Math.floor(now / partMs)
    const part = this.#part(no)
    part.total++
    if (outcome !== 'failed') return
    part.failed++
    const { total, failed } = this.#sum(no)
    if (total >= rules.minRequests && failed >= total * rules.failureRatio) this.#open(rules, now)
  }

  #part(no: number): WindowPart {
    const index = no % WINDOW_PARTS
    const found = this.#window[index]
    if (found?.no === no) return found
    const fresh = { no, total: 0, failed: 0 }
    this.#window[index] = fresh
    return fresh
  }

  #sum(no: number): { total: number; failed: number } {
    const sum = { total: 0, failed: 0 }
    for (const part of this.#window) {
      // Those before the ring is full are holes.
      if (part === undefined || part.no <= no - WINDOW_PARTS || part.no > no) continue
      sum.total += part.total
      sum.failed += part.failed
    }
    return sum
  }

  #open(rules: BreakerRules, now: number): void {
    this.#opensUntil = now + rules.openMs
    this.#become('open')
  }

  #become(state: BreakerState): void {
    this.#state = state
    this.#epoch++
    this.#probing = 0
    this.#succeeded = 0
    this.#window.length = 0
  }
}
