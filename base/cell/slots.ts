/** Every slot of a cell: loaded once per plan however many ask, replaced when killed, let go when no table routes to it. */
import { BerthError, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { type Pending, Slot, type SlotHost } from './slot.ts'

interface Entry {
  readonly plan: SlotPlan
  readonly loading: Promise<Slot>
  slot: Slot | undefined
  /** Set while a failed load is remembered. */
  failure: BerthError | undefined
}

/** How long a version that cannot be loaded is answered from memory instead of being tried again. */
const FAILURE_REMEMBERED_MS = 1000
/** How long a slot loaded ahead of its table is kept waiting for it. */
const PREPARED_KEPT_MS = 60_000

export class Slots {
  readonly #host: SlotHost
  readonly #entries = new Map<string, Entry>()
  /** Plan keys loaded ahead of the table that will route to them, with the time each is kept until. */
  readonly #prepared = new Map<string, number>()
  readonly #draining = new Set<Promise<void>>()
  readonly #watchdog: NodeJS.Timeout
  #closed = false

  constructor(host: Omit<SlotHost, 'onKilled'> & { onKilled(plan: SlotPlan, reason: string): void }) {
    this.#host = { ...host, onKilled: (slot, reason, survivors) => this.#onKilled(slot, survivors, () => host.onKilled(slot.plan, reason)) }
    this.#watchdog = setInterval(() => this.#watch(), limits.watchdogTickMs)
  }

  get count(): number {
    return this.#entries.size
  }

  /** Requests under way in all slots. */
  get pending(): number {
    let sum = 0
    for (const { slot } of this.#entries.values()) sum += slot?.pending ?? 0
    return sum
  }

  /** The slot of a plan if it is loaded: the request path asks this first and pays for no promise. */
  peek(plan: SlotPlan): Slot | undefined {
    return this.#entries.get(plan.key)?.slot
  }

  /**
   * The slot of a plan, loaded if need be; many callers cause one load.
   * @throws BerthError why it cannot be loaded
   */
  ensure(plan: SlotPlan): Promise<Slot> {
    const entry = this.#entries.get(plan.key)
    if (entry !== undefined) return entry.loading
    if (this.#closed)
      return Promise.reject(new BerthError('BASE_DRAINING', 'Cannot load a version: the cell is retiring', { retryAfterSeconds: 1 }))
    return this.#load(plan)
  }

  /** Like `ensure`, and keeps the slot for a while though no table routes to it yet. */
  async prepare(plan: SlotPlan): Promise<void> {
    this.#prepared.set(plan.key, Date.now() + PREPARED_KEPT_MS)
    try {
      await this.ensure(plan)
    } catch (error) {
      this.#prepared.delete(plan.key)
      throw error
    }
  }

  /** Drains and disposes every slot whose plan is not in `plans` and that was not prepared of late. */
  retain(plans: ReadonlySet<string>): void {
    const now = Date.now()
    for (const [key, until] of this.#prepared) if (plans.has(key) || now > until) this.#prepared.delete(key)
    for (const [key, entry] of this.#entries) if (!plans.has(key) && !this.#prepared.has(key)) this.#release(entry)
  }

  /** Drains and disposes everything. Nothing can be loaded afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    for (const entry of this.#entries.values()) this.#release(entry)
    await Promise.all(this.#draining)
    clearInterval(this.#watchdog)
  }

  #load(plan: SlotPlan): Promise<Slot> {
    const entry: Entry = { plan, slot: undefined, failure: undefined, loading: Slot.load(plan, this.#host) }
    this.#entries.set(plan.key, entry)
    entry.loading.then(
      slot => {
        entry.slot = slot
      },
      (error: unknown) => {
        entry.failure = toBerthError(error)
        setTimeout(() => this.#forget(entry), FAILURE_REMEMBERED_MS).unref()
      },
    )
    return entry.loading
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.plan.key) === entry) this.#entries.delete(entry.plan.key)
  }

  #release(entry: Entry): void {
    this.#forget(entry)
    const done = entry.loading.then(
      async slot => {
        this.#leaving.add(slot)
        await slot.drain()
        slot.dispose()
        this.#leaving.delete(slot)
      },
      () => undefined, // It never loaded: whoever asked for it has been told why.
    )
    this.#draining.add(done)
    done.finally(() => this.#draining.delete(done))
  }

  /** Slots out of the table with requests still in them: the watchdog must go on answering those. */
  readonly #leaving = new Set<Slot>()

  #watch(): void {
    const now = performance.now()
    for (const { slot } of this.#entries.values()) slot?.watch(now)
    for (const slot of this.#leaving) slot.watch(now)
  }

  #onKilled(slot: Slot, survivors: readonly Pending[], report: () => void): void {
    const { plan } = slot
    if (this.#entries.get(plan.key)?.slot === slot) this.#entries.delete(plan.key)
    this.#leaving.delete(slot)
    report()
    // Loaded ahead of the next request, and for those that the kill took out of the slot without their fault.
    const giveUp = (error: unknown) => {
      for (const pending of survivors) if (!pending.done) pending.reject(toBerthError(error))
    }
    this.ensure(plan).then(next => {
      for (const pending of survivors) next.adopt(pending)
    }, giveUp)
  }
}
