/**
 * The mechanisms that admit or refuse a request: a token bucket, a cell's share of a limit, a pool that many share, and a circuit breaker. They are pure: the caller
 * passes in the time, in milliseconds of any monotonic clock. It also passes in the settings at every step, because a new scene table may change
 * them while the state stays.
 */

export interface TokenBucketRate {
  /** Tokens that are added in a second. */
  readonly perSecond: number
  readonly capacity: number
}

/** A token bucket. Where a price is known only afterwards, spending may take the level below zero, and the bucket has to fill up again first. */
export class TokenBucket {
  #level: number
  #at: number

  /** Starts full. */
  constructor(capacity: number, now: number) {
    this.#level = capacity
    this.#at = now
  }

  /** Adds the tokens for the time that has passed. @returns the level at `now` */
  fill({ perSecond, capacity }: TokenBucketRate, now: number): number {
    const inflow = (perSecond * Math.max(0, now - this.#at)) / 1000
    this.#at = Math.max(this.#at, now)
    this.#level = Math.min(capacity, this.#level + inflow)
    return this.#level
  }

  spend(amount: number): void {
    this.#level -= amount
  }

  /** Milliseconds until the level rises to `amount`, counted from the last `fill`; 0 when it is that high already. */
  waitMs(amount: number, { perSecond }: TokenBucketRate): number {
    return Math.max(0, ((amount - this.#level) / perSecond) * 1000)
  }
}

/**
 * The part of a base-wide limit that one cell enforces. The parts of all cells add up to the limit, except that no part is below 1: a cell that
 * admits nothing would refuse every request on its connections.
 * @param limit a count
 * @param cell ordinal of the cell, from 1
 * @param cells how many cells there are
 */
export function shareOf(limit: number, cell: number, cells: number): number {
  const extra = (cell - 1) % cells < limit % cells ? 1 : 0
  return Math.max(1, Math.floor(limit / cells) + extra)
}

/** The part of a base-wide rate that one cell admits. Its bucket holds at least one request, because otherwise it would never admit any. */
export function rateShare(rps: number, burst: number, cells: number): TokenBucketRate {
  return { perSecond: rps / cells, capacity: Math.max(1, burst / cells) }
}

/** Names of holders that a pool keeps though they hold nothing. */
const HOLDERS_KEPT = 1000

interface Holder {
  amount: number
}

/**
 * Something of which there is so much, such as places or bytes, and of which many hold a part. Nobody can take it all: whoever holds some may take
 * more only while that is less than `greed` times what is free. So a part always stays free for those who hold little or nothing: with one that
 * takes all it can get, 1 / (greed + 1) of the pool; with n of them, 1 / (n * greed + 1).
 */
export class FairPool {
  readonly #greed: number
  /**
   * By name. Who holds nothing any more stays in here for a while: a map that is emptied and filled again for each request makes a new table each time,
   * and V8 links the old tables to the new ones, so that its young collections free none of them.
   */
  readonly #holders = new Map<string, Holder>()
  #sweepFrom = HOLDERS_KEPT
  #taken = 0

  constructor(greed = 1) {
    this.#greed = greed
  }

  /** What all hold together. */
  get taken(): number {
    return this.#taken
  }

  heldBy(name: string): number {
    return this.#holders.get(name)?.amount ?? 0
  }

  /** @param size how much there is; it may be another at each call */
  mayTake(name: string, size: number): boolean {
    return this.heldBy(name) < this.#greed * (size - this.#taken)
  }

  /** Takes without asking. More may be held than there is afterwards. */
  take(name: string, amount = 1): void {
    const holder = this.#holders.get(name) ?? this.#begin(name)
    holder.amount += amount
    this.#taken += amount
  }

  give(name: string, amount = 1): void {
    const holder = this.#holders.get(name)
    if (holder !== undefined) holder.amount -= amount
    this.#taken -= amount
  }

  #begin(name: string): Holder {
    if (this.#holders.size >= this.#sweepFrom) this.#sweep()
    const holder = { amount: 0 }
    this.#holders.set(name, holder)
    return holder
  }

  #sweep(): void {
    for (const [name, { amount }] of this.#holders) if (amount <= 0) this.#holders.delete(name)
    this.#sweepFrom = Math.max(HOLDERS_KEPT, 2 * this.#holders.size)
  }
}

export interface BreakerRules {
  /** The breaker opens when this fraction of the requests in the window failed. */
  readonly failureRatio: number
  /** With fewer requests in the window than this, the breaker does not open. */
  readonly minRequests: number
  readonly windowMs: number
  /** How long the breaker stays open before it lets probes through. */
  readonly openMs: number
  /** How many probes may run at once, and how many have to succeed in a row to close the breaker. */
  readonly probes: number
}

export type BreakerState = 'closed' | 'open' | 'halfOpen'

/** How a request ended. `neither` means that the end says nothing about the version, for example because the caller was to blame. */
export type BreakerOutcome = 'ok' | 'failed' | 'neither'

/** The window moves on in this many parts, by dropping the oldest part as a whole. */
const WINDOW_PARTS = 10

interface WindowPart {
  /** Which part of all time this is. The ring of parts reuses its entries, so an entry with another number is out of date. */
  readonly number: number
  total: number
  failed: number
}

/**
 *            failures in the window          openMs have passed           a probe failed
 *   closed ──────────────────────────▶ open ────────────────────▶ halfOpen ─────────────▶ open
 *      ▲                                                              │ probes in a row succeeded
 *      └──────────────────────────────────────────────────────────────┘
 *
 * A request calls `enter` and, when it is admitted, reports its outcome once with `leave`. An outcome counts only while the breaker is in the
 * same state in which the request entered.
 */
export class Breaker {
  #state: BreakerState = 'closed'
  /** Counts the changes of state. `enter` gives it to the request, so that `leave` knows whether the state is still the same. */
  #epoch = 1
  #opensUntil = 0
  #probing = 0
  #succeeded = 0
  readonly #window: (WindowPart | undefined)[] = []

  get state(): BreakerState {
    return this.#state
  }

  /** @returns the epoch to pass to `leave`, or undefined when the request is refused */
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

  leave(epoch: number, outcome: BreakerOutcome, rules: BreakerRules, now: number): void {
    if (epoch !== this.#epoch) return
    if (this.#state === 'halfOpen') this.#judgeProbe(outcome, rules, now)
    else if (outcome !== 'neither') this.#judge(outcome, rules, now)
  }

  /** Milliseconds until the breaker lets probes through; 0 while probes are under way, since nobody knows when they will end. */
  waitMs(now: number): number {
    return this.#state === 'open' ? Math.max(0, this.#opensUntil - now) : 0
  }

  #judgeProbe(outcome: BreakerOutcome, rules: BreakerRules, now: number): void {
    this.#probing--
    if (outcome === 'failed') this.#open(rules, now)
    else if (outcome === 'ok' && ++this.#succeeded >= rules.probes) this.#become('closed')
  }

  #judge(outcome: BreakerOutcome, rules: BreakerRules, now: number): void {
    const partMs = rules.windowMs / WINDOW_PARTS
    const number = Math.floor(now / partMs)
    const part = this.#part(number)
    part.total++
    if (outcome !== 'failed') return
    part.failed++
    const { total, failed } = this.#sum(number)
    if (total >= rules.minRequests && failed >= total * rules.failureRatio) this.#open(rules, now)
  }

  #part(number: number): WindowPart {
    const index = number % WINDOW_PARTS
    const found = this.#window[index]
    if (found?.number === number) return found
    const fresh = { number, total: 0, failed: 0 }
    this.#window[index] = fresh
    return fresh
  }

  #sum(number: number): { total: number; failed: number } {
    const sum = { total: 0, failed: 0 }
    for (const part of this.#window) {
      // The ring has holes until it has been filled once.
      if (part === undefined || part.number <= number - WINDOW_PARTS || part.number > number) continue
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
