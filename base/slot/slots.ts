/**
 * Every slot of a cell. A slot is loaded once per plan however many ask for it, replaced when it is killed, and let go when no table routes
 * to it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { DEFAULT_MEMORY_MB } from '../traffic/names.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { CodeCache } from './code-cache.ts'
import { Slot, type SlotHost, type Whereabouts } from './slot.ts'
import { SlotBuffer } from './slot-buffer.ts'
import type { Pending } from './slot-call.ts'

interface Entry {
  readonly plan: SlotPlan
  readonly loading: Promise<Slot>
  slot: Slot | undefined
}

/** How long a version that cannot be loaded is answered from memory instead of being tried again. */
const FAILURE_REMEMBERED_MS = 1000
/** How long a slot loaded ahead of its table is kept waiting for it. */
const PREPARED_KEPT_MS = 60_000

export class Slots {
  readonly #host: SlotHost
  readonly #buffer: SlotBuffer
  readonly #entries = new Map<string, Entry>()
  /** Keys of plans that were loaded ahead of the table that will route to them, each with the time until which it is kept. */
  readonly #prepared = new Map<string, number>()
  /** Keys of plans that have taken a thread of this process for good. To load them again could take another one. */
  readonly #barred = new Set<string>()
  readonly #draining = new Set<Promise<void>>()
  readonly #watchdog: NodeJS.Timeout
  #closed = false

  constructor(
    host: Omit<SlotHost, 'onKilled' | 'onLost' | 'codeCache'> & {
      onKilled(plan: SlotPlan, reason: string): void
      /** Called once for each version that the process is lost to. It is not loaded any more. */
      onLost(plan: SlotPlan, reason: string, where: Whereabouts): void
      onBufferFailed(error: unknown): void
    },
  ) {
    const codeCache = new CodeCache(limits.cell.codeCacheBytesMax)
    this.#buffer = new SlotBuffer(limits.cell.slotBufferSize, DEFAULT_MEMORY_MB, codeCache, host.onBufferFailed)
    this.#host = {
      ...host,
      codeCache,
      onLost: (plan, reason, where) => this.#onLost(plan, () => host.onLost(plan, reason, where)),
      onKilled: (slot, reason, survivors) => this.#onKilled(slot, survivors, () => host.onKilled(slot.plan, reason)),
    }
    this.#watchdog = setInterval(() => this.#watch(), limits.slot.watchdogTickMs)
  }

  get count(): number {
    return this.#entries.size
  }

  /** Plans whose slots are loaded or being loaded. */
  get plans(): SlotPlan[] {
    return [...this.#entries.values()].map(({ plan }) => plan)
  }

  /** Requests under way in all slots. */
  get pending(): number {
    let sum = 0
    for (const { slot } of this.#entries.values()) sum += slot?.pending ?? 0
    for (const slot of this.#leaving) sum += slot.pending
    return sum + this.#betweenSlots.size
  }

  /** The slot of a plan if it is loaded. The request path asks this first, and so pays for no promise. */
  peek(plan: SlotPlan): Slot | undefined {
    return this.#entries.get(plan.key)?.slot
  }

  /**
   * The slot of a plan, loaded if need be; many callers cause one load.
   * @throws BerthError why it cannot be loaded
   */
  ensure(plan: SlotPlan): Promise<Slot> {
    if (this.#barred.has(plan.key)) return Promise.reject(barred())
    const entry = this.#entries.get(plan.key)
    if (entry !== undefined) return entry.loading
    if (this.#closed)
      return Promise.reject(new BerthError('BASE_DRAINING', 'Cannot load a version: the cell is retiring', { retryAfterSeconds: 1 }))
    return this.#load(plan)
  }

  /** Like `ensure`, but keeps the slot for a while though no table routes to it yet. */
  async prepare(plan: SlotPlan): Promise<void> {
    this.#prepared.set(plan.key, performance.now() + PREPARED_KEPT_MS)
    try {
      await this.ensure(plan)
    } catch (error) {
      this.#prepared.delete(plan.key)
      throw error
    }
  }

  /** Drains and disposes every slot whose plan is not in `plans` and that was not prepared of late. */
  retain(plans: ReadonlySet<string>): void {
    const now = performance.now()
    for (const [key, until] of this.#prepared) if (plans.has(key) || now > until) this.#prepared.delete(key)
    for (const [key, entry] of this.#entries) if (!plans.has(key) && !this.#prepared.has(key)) this.#release(entry)
  }

  /**
   * Lets idle slots go, the longest idle first: those that need not stay once they were idle for `limits.slot.idleMsMax`, and a quarter of all
   * when memory is short.
   * @returns how many it lets go
   */
  trim(stays: (plan: SlotPlan) => boolean, memoryIsShort: boolean): number {
    const now = performance.now()
    const idle = [...this.#entries.values()].flatMap(entry => {
      const idleMs = entry.slot === undefined || entry.slot.pending > 0 ? 0 : now - entry.slot.lastCallAt
      return idleMs > limits.slot.idleMsMin && !this.#prepared.has(entry.plan.key) ? [{ entry, idleMs }] : []
    })
    idle.sort((a, b) => b.idleMs - a.idleMs)
    const short = memoryIsShort ? Math.ceil(this.#entries.size / 4) : 0
    const leaving = idle.filter(({ entry, idleMs }, i) => i < short || (idleMs > limits.slot.idleMsMax && !stays(entry.plan)))
    for (const { entry } of leaving) this.#release(entry)
    return leaving.length
  }

  /** Drains and disposes everything. Nothing can be loaded afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    for (const entry of this.#entries.values()) this.#release(entry)
    this.#buffer.close()
    await Promise.all(this.#draining)
    clearInterval(this.#watchdog)
  }

  #load(plan: SlotPlan): Promise<Slot> {
    const entry: Entry = { plan, slot: undefined, loading: this.#buffer.use(plan.memoryMB, blank => Slot.load(plan, blank, this.#host)) }
    this.#entries.set(plan.key, entry)
    entry.loading.then(
      slot => {
        entry.slot = slot
      },
      () => setTimeout(() => this.#forget(entry), FAILURE_REMEMBERED_MS).unref(),
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
      () => undefined, // The slot never loaded, and whoever asked for it has got the reason.
    )
    this.#draining.add(done)
    done.finally(() => this.#draining.delete(done))
  }

  /**
   * Holds all slots until no code runs in any of them, calls `work`, and releases them.
   * @returns false, without having called `work`, when they do not come to rest in `msMax` milliseconds
   */
  async rest(msMax: number, work: () => void): Promise<boolean> {
    const slots = () => [...this.#entries.values()].flatMap(({ slot }) => slot ?? []).concat([...this.#leaving])
    const isBusy = () => slots().some(slot => slot.isRunning) || [...this.#entries.values()].some(({ slot }) => slot === undefined)
    const held = slots()
    for (const slot of held) slot.hold()
    try {
      for (const until = performance.now() + msMax; isBusy(); await delay(1)) if (performance.now() > until) return false
      work()
      return true
    } finally {
      for (const slot of held) slot.release()
    }
  }

  /** Requests whose slot was killed, and that wait for the next one to be loaded. */
  readonly #betweenSlots = new Set<Pending>()

  /** Slots that no table routes to and that still have requests: the watchdog goes on answering those. */
  readonly #leaving = new Set<Slot>()

  #watch(): void {
    const now = performance.now()
    for (const { slot } of this.#entries.values()) slot?.watch(now)
    for (const slot of this.#leaving) slot.watch(now)
    for (const pending of this.#betweenSlots) if (now >= pending.call.deadlineAt) this.#giveUp(pending, late(pending))
  }

  #onLost({ key }: SlotPlan, report: () => void): void {
    if (this.#barred.has(key)) return
    this.#barred.add(key)
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#release(entry)
    report()
  }

  #onKilled(slot: Slot, survivors: readonly Pending[], report: () => void): void {
    const { plan } = slot
    const current = this.#entries.get(plan.key)?.slot === slot
    if (current) this.#entries.delete(plan.key)
    this.#leaving.delete(slot)
    report()
    // A slot that was killed before it ever answered may be killed each time it is loaded. So it is loaded again only when a request needs it.
    if (survivors.length === 0 && !(current && slot.hasAnswered)) return
    // The slot is loaded for the requests that survived, and ahead of the next request.
    for (const pending of survivors) this.#betweenSlots.add(pending)
    this.ensure(plan).then(
      next => {
        for (const pending of survivors) if (this.#betweenSlots.delete(pending)) next.adopt(pending)
      },
      (error: unknown) => {
        for (const pending of survivors) this.#giveUp(pending, unavailable(plan, error))
      },
    )
  }

  #giveUp(pending: Pending, error: BerthError): void {
    if (!this.#betweenSlots.delete(pending)) return
    pending.done = true
    pending.reject(error)
  }
}

/** The error of a request whose version cannot be loaded. */
export function unavailable({ scene, version }: SlotPlan, error: unknown): BerthError {
  if (error instanceof BerthError && error.code === 'BASE_DRAINING') return error
  const message = `Cannot load version "${version}" of scene "${scene}": ${messageOf(error)}`
  return new BerthError('SLOT_UNAVAILABLE', message, { retryAfterSeconds: 1, cause: error })
}

function barred(): BerthError {
  const message = 'code of it cannot be stopped, so this cell is about to be replaced'
  return new BerthError('SLOT_UNAVAILABLE', message, { retryAfterSeconds: 1 })
}

const late = ({ call }: Pending): BerthError =>
  new BerthError('DEADLINE_EXCEEDED', `No answer from scene "${call.chain.at(-1)}" before its deadline: its slot was being loaded again`)
