/**
 * Every slot of a cell. A slot is loaded once per plan however many ask for it, replaced when it is killed, and let go when no table routes
 * to it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BerthError, messageOf } from '../kernel/errors.ts'
import { FairQueue, type Job } from '../kernel/fair-queue.ts'
import { limits } from '../kernel/limits.ts'
import { Ticker } from '../kernel/ticker.ts'
import { DEFAULT_MEMORY_MB } from '../traffic/names.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { CodeCache } from './code-cache.ts'
import { type Kill, SlotKilled, type Whereabouts } from './kill.ts'
import { Recorder } from './recorder.ts'
import { type NoRecorder, Recorders } from './recorders.ts'
import { Slot, type SlotHost } from './slot.ts'
import { SlotBuffer } from './slot-buffer.ts'
import type { Pending } from './slot-call.ts'

interface Entry {
  readonly plan: SlotPlan
  readonly job: Job<Slot>
  slot: Slot | undefined
}

interface IdleSlot {
  readonly entry: Entry
  readonly slot: Slot
  readonly idleMs: number
}

/** A version that could not be loaded when it was last tried. */
interface LoadFailure {
  readonly error: unknown
  /** For how many milliseconds it is not tried again, and until when that is, by `performance.now()`. */
  readonly pauseMs: number
  readonly until: number
}

/** How many slots went, by why. */
export interface Evicted {
  readonly idle: number
  readonly memory: number
}

/** What slots need of the cell around them. */
export interface SlotsHost extends Omit<SlotHost, 'onBusy' | 'onKilled' | 'onLost' | 'codeCache'> {
  onKilled(plan: SlotPlan, kill: Kill): void
  /** Called once for each version that the process is lost to. It is not loaded any more. */
  onLost(plan: SlotPlan, reason: string, where: Whereabouts): void
  onBufferFailed(error: unknown): void
  /** Called when a version could not be loaded, with why, and with undefined when a version was loaded that could not be loaded before. */
  onLoad?(plan: SlotPlan, error: unknown): void
  /** Whether there is memory for the recorder of a version. When it is missing, there always is. */
  hasRoom?(): boolean
}

/** Versions that are loaded at once when no number is given. */
const LOADS = 2

/** A slot that was killed while its code ran, and when that was, by `performance.now()`. */
interface KilledSlot {
  readonly slot: Slot
  readonly at: number
}

export class Slots {
  readonly #host: SlotHost
  readonly #buffer: SlotBuffer
  readonly #entries = new Map<string, Entry>()
  readonly #failures = new Map<string, LoadFailure>()
  /**
   * Loads take turns, since they use more CPU than anything else. One place is kept for versions that somebody waits for; and a scene loads one version at a
   * time, so that it holds up others by at most `limits.cell.loadTurnMs`, or by the CPU of `limits.cell.slowLoadsMax` loads when so many are slow.
   */
  readonly #queue: FairQueue
  readonly #onLoad: SlotsHost['onLoad']
  /** Keys of plans that were loaded ahead of the table that will route to them, each with the time until which it is kept. */
  readonly #prepared = new Map<string, number>()
  /** Keys of plans that have taken a thread of this process for good. To load them again could take another one. */
  readonly #barred = new Set<string>()
  /** Killed slots whose code may not have stopped yet, and plans of which a module is running its top level, by the keys of the plans. */
  readonly #killed = new Map<string, KilledSlot[]>()
  readonly #loading = new Set<string>()
  /**
   * When a slot of a plan was last killed for what its code did, by the key of the plan. Its next slots have a lookout, so that another kill can say the line.
   * A kill for memory is no reason for one, because an isolate with a lookout may lose its thread when it runs out of memory.
   */
  readonly #offenders = new Map<string, number>()
  readonly #recorders: Recorders
  readonly #draining = new Set<Promise<void>>()
  /** Ticks while a slot is busy. */
  readonly #watchdog = new Ticker(limits.slot.watchdogTickMs, () => this.#watch())
  #busy: Slot[] = []
  #closed = false

  /** @param loads versions that are loaded at once, at least 2 */
  constructor(host: SlotsHost, loads = LOADS) {
    const { loadTurnMs, slowLoadsMax } = limits.cell
    const overtime = { msMax: loadTurnMs, jobsMax: slowLoadsMax }
    this.#queue = new FairQueue({ lanes: loads, lanesPerOwner: 1, lanesForUrgent: 1, overtime })
    this.#onLoad = host.onLoad
    const codeCache = new CodeCache(limits.cell.codeCacheBytesMax)
    this.#buffer = new SlotBuffer(limits.cell.slotBufferSize, DEFAULT_MEMORY_MB, codeCache, host.onBufferFailed)
    this.#host = {
      ...host,
      codeCache,
      onBusy: slot => {
        this.#busy.push(slot)
        this.#watchdog.start()
      },
      onLost: (plan, reason, where) => this.#onLost(plan, () => host.onLost(plan, reason, where)),
      onLoading: (blank, plan, module) => {
        if (module === undefined) this.#loading.delete(plan.key)
        else this.#loading.add(plan.key)
        host.onLoading?.(blank, plan, module)
      },
      onKilled: (slot, kill, survivors) => this.#onKilled(slot, kill, survivors, () => host.onKilled(slot.plan, kill)),
      lookoutUntil: plan => Math.max(host.lookoutUntil?.(plan) ?? 0, (this.#offenders.get(plan.key) ?? -Infinity) + limits.slot.lookoutMs),
    }
    this.#recorders = new Recorders({
      hasRoom: () => host.hasRoom?.() ?? true,
      load: (plan, onEnded) =>
        this.#queueWork(plan, false, () => this.#buffer.pauseFor(() => Recorder.load(plan, { ...this.#host, onEnded }))),
      release: recorder => this.#noteDraining(this.#leave(recorder.slot, recorder)),
    })
  }

  /** Slots that are loaded, recorders included. */
  get count(): number {
    return this.#loaded.length
  }

  /** Plans whose slots are loaded or being loaded. */
  get plans(): SlotPlan[] {
    return [...[...this.#entries.values()].map(({ plan }) => plan), ...this.#recorders.plans]
  }

  /** Requests under way in all slots. */
  get pending(): number {
    let sum = 0
    for (const { slot } of this.#entries.values()) sum += slot?.pending ?? 0
    for (const slot of this.#recorders.slots) sum += slot.pending
    for (const slot of this.#leaving) sum += slot.pending
    return sum + this.#betweenSlots.size
  }

  /** The slot of a plan if it is loaded. The request path asks this first, and so pays for no promise. */
  peek(plan: SlotPlan): Slot | undefined {
    return this.#entries.get(plan.key)?.slot
  }

  /** The recorder of a plan, if it is loaded and would take a request. */
  recorderOf(plan: SlotPlan): Recorder | undefined {
    return this.#recorders.find(plan)
  }

  /**
   * Loads the recorder of a plan beside the slot of it, unless memory is short.
   * @returns why `recorderOf` gives none at this moment
   */
  loadRecorder(plan: SlotPlan): NoRecorder {
    return this.#closed || this.#barred.has(plan.key) || this.#failures.has(plan.key) ? 'failed' : this.#recorders.load(plan)
  }

  /**
   * The slot of a plan, loaded if need be, for somebody who waits for it; many callers cause one load. A version that could not be loaded is not tried again
   * for a while that grows with each failure.
   * @throws BerthError why it cannot be loaded
   */
  ensure(plan: SlotPlan): Promise<Slot> {
    if (this.#barred.has(plan.key)) return Promise.reject(barred())
    const failure = this.#failures.get(plan.key)
    if (failure !== undefined && performance.now() < failure.until) return Promise.reject(failure.error)
    if (this.#closed && !this.#entries.has(plan.key)) return Promise.reject(retiring())
    return this.#load(plan, true).done
  }

  /**
   * Loads the slot of a plan when nobody waits for another one.
   * @returns whether it is loaded, once that is known or others have had to wait for the load for long
   */
  async loadAhead(plan: SlotPlan): Promise<boolean> {
    if (this.#barred.has(plan.key)) return false
    const failure = this.#failures.get(plan.key)
    if (failure !== undefined && performance.now() < failure.until) return false
    await this.#load(plan, false).awaited
    return this.peek(plan) !== undefined
  }

  /** Like `ensure`, but tries a version at once that could not be loaded before, and keeps the slot for a while though no table routes to it yet. */
  async prepare(plan: SlotPlan): Promise<void> {
    if (this.#barred.has(plan.key)) throw barred()
    this.#prepared.set(plan.key, performance.now() + limits.slot.preparedMsMax)
    try {
      await this.#load(plan, true).done
    } catch (error) {
      this.#prepared.delete(plan.key)
      throw error
    }
  }

  /**
   * Takes the slot of a plan away from requests while `work` warms it up, and gives it back afterwards. Requests that need it wait, and `wanted` is aborted when
   * one does. Nothing happens when the slot is not loaded, or has had requests.
   * @param work says in the end whether the slot is as good as before. If not, it is thrown away and loaded again
   * @returns whether it was as good as before
   * @throws BerthError why it cannot be loaded again
   */
  async warmUp(plan: SlotPlan, work: (slot: Slot, wanted: AbortSignal) => Promise<boolean>): Promise<boolean> {
    const slot = this.peek(plan)
    if (slot === undefined || slot.hasAnswered || slot.pending > 0 || this.#closed) return true
    const back = Promise.withResolvers<Slot>()
    // Perhaps nobody waits for it.
    back.promise.catch(() => undefined)
    const wanted = new AbortController()
    const entry: Entry = { plan, slot: undefined, job: { done: back.promise, awaited: back.promise, hurry: () => wanted.abort() } }
    this.#entries.set(plan.key, entry)
    this.#warming.set(slot, wanted)
    let isGood = false
    try {
      isGood = await work(slot, wanted.signal)
    } finally {
      this.#warming.delete(slot)
      if (isGood) entry.slot = slot
      else slot.dispose(true)
      back.resolve(isGood ? slot : this.#loadInstead(entry))
    }
    await back.promise
    return isGood
  }

  /** Loads a slot in the place of one that was thrown away, unless no table routes to it any more. */
  async #loadInstead(entry: Entry): Promise<Slot> {
    const { plan } = entry
    if (this.#entries.get(plan.key) !== entry) throw retiring()
    this.#forget(entry)
    return this.#load(plan, true).done
  }

  /** Why a version could not be loaded when it was last tried; undefined when it was not tried since the last `retain` that left it out, or was loaded. */
  failureOf(plan: SlotPlan): unknown {
    return this.#failures.get(plan.key)?.error
  }

  /** Drains and disposes every slot whose plan is not in `plans` and that was not prepared of late. */
  retain(plans: ReadonlySet<string>): void {
    const now = performance.now()
    for (const [key, killed] of this.#killed) if (!killed.some(({ slot }) => slot.isRunning)) this.#killed.delete(key)
    for (const [key, until] of this.#prepared) if (plans.has(key) || now > until) this.#prepared.delete(key)
    const isLeft = (key: string) => !plans.has(key) && !this.#prepared.has(key)
    for (const key of this.#failures.keys()) if (isLeft(key)) this.#failures.delete(key)
    for (const key of this.#offenders.keys()) if (isLeft(key)) this.#offenders.delete(key)
    for (const [key, entry] of this.#entries) if (isLeft(key)) this.#release(entry)
    this.#recorders.retain(isLeft)
  }

  /**
   * Lets idle slots go, the longest idle first: those that need not stay once they were idle for `limits.slot.idleMsMax`, and a part of all
   * when memory is short, recorders before others. Of those that stay, it has one give back memory that it does not need.
   */
  trim(stays: (plan: SlotPlan) => boolean, memoryIsShort: boolean): Evicted {
    const idle = this.#idleLongestFirst()
    const isUnused = ({ entry, idleMs }: IdleSlot) => idleMs > limits.slot.idleMsMax && !stays(entry.plan)
    const unused = idle.filter(isUnused)
    const short = memoryIsShort ? Math.ceil(this.count * limits.cell.evictedShare) : 0
    const recorders = this.#recorders.trim(memoryIsShort)
    const left = short - unused.length - recorders.idle - recorders.memory
    const others = idle.filter(one => !isUnused(one)).slice(0, Math.max(0, left))
    for (const { entry } of [...unused, ...others]) this.#release(entry)
    // One at a time, since all that have become idle together would hold up those that are not.
    const mayShrink = ({ entry, slot, idleMs }: IdleSlot) =>
      idleMs > limits.slot.shrinkMs && !slot.isShrunk && this.#entries.get(entry.plan.key) === entry
    idle.find(mayShrink)?.slot.shrink()
    return { idle: unused.length + recorders.idle, memory: others.length + recorders.memory }
  }

  #idleLongestFirst(): IdleSlot[] {
    const now = performance.now()
    const idle = [...this.#entries.values()].flatMap(entry => {
      const { slot } = entry
      if (slot === undefined || slot.pending > 0 || this.#prepared.has(entry.plan.key)) return []
      const idleMs = now - slot.lastCallAt
      return idleMs > limits.slot.idleMsMin ? [{ entry, slot, idleMs }] : []
    })
    return idle.sort((a, b) => b.idleMs - a.idleMs)
  }

  /** Drains and disposes everything. Nothing can be loaded afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    for (const wanted of this.#warming.values()) wanted.abort()
    for (const entry of this.#entries.values()) this.#release(entry)
    this.#buffer.close()
    await this.#recorders.close()
    await Promise.all(this.#draining)
    this.#watchdog.stop()
  }

  #load(plan: SlotPlan, isUrgent: boolean): Job<Slot> {
    const known = this.#entries.get(plan.key)
    if (known === undefined) return this.#queueLoad(plan, isUrgent)
    if (isUrgent && known.slot === undefined) known.job.hurry()
    return known.job
  }

  #queueLoad(plan: SlotPlan, isUrgent: boolean): Job<Slot> {
    const load = () => this.#buffer.use(plan.memoryMB, blank => Slot.load(plan, blank, this.#host))
    const entry: Entry = { plan, slot: undefined, job: this.#queueWork(plan, isUrgent, load) }
    this.#entries.set(plan.key, entry)
    entry.job.done.then(
      slot => this.#onLoaded(entry, slot),
      (error: unknown) => this.#onLoadFailed(entry, error),
    )
    return entry.job
  }

  #queueWork<T>(plan: SlotPlan, isUrgent: boolean, load: () => Promise<T>): Job<T> {
    const work = async () => {
      if (this.#closed) throw retiring()
      if (this.#barred.has(plan.key)) throw barred()
      return load()
    }
    return this.#queue.add(plan.scene, isUrgent, work, this.#isStopping(plan) ? this.#stopped(plan) : undefined)
  }

  /**
   * Whether another load of the plan has to wait for code of it that was killed, which may go on for ever and hold a thread. Requests do not wait
   * long for the first thread, since their slot may well have been stuck for a rare input; what has taken two is not loaded meanwhile.
   */
  #isStopping({ key }: SlotPlan): boolean {
    if (this.#loading.has(key)) return true
    const stopping = (this.#killed.get(key) ?? []).filter(({ slot }) => slot.isRunning)
    return stopping.length > 1 || stopping.some(({ at }) => performance.now() - at < limits.slot.stopGraceMs)
  }

  async #stopped(plan: SlotPlan): Promise<void> {
    while (this.#isStopping(plan) && !this.#barred.has(plan.key) && !this.#closed) await delay(limits.slot.watchdogTickMs)
  }

  #onLoaded(entry: Entry, slot: Slot): void {
    entry.slot = slot
    if (this.#failures.delete(entry.plan.key)) this.#onLoad?.(entry.plan, undefined)
  }

  /** Once no table routes to a version, its failure is nobody's concern any more. */
  #onLoadFailed(entry: Entry, error: unknown): void {
    const { plan } = entry
    if (this.#closed || this.#entries.get(plan.key) !== entry) return
    this.#forget(entry)
    const { loadAgainMsMin, loadAgainMsMax } = limits.slot
    const pauseMs = Math.min((this.#failures.get(plan.key)?.pauseMs ?? loadAgainMsMin / 2) * 2, loadAgainMsMax)
    this.#failures.set(plan.key, { error, pauseMs, until: performance.now() + pauseMs })
    this.#onLoad?.(plan, error)
  }

  get #loaded(): Slot[] {
    return [...[...this.#entries.values()].flatMap(({ slot }) => slot ?? []), ...this.#recorders.slots]
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.plan.key) === entry) this.#entries.delete(entry.plan.key)
  }

  #release(entry: Entry): void {
    this.#forget(entry)
    // When the slot never loaded, whoever asked for it has got the reason.
    this.#noteDraining(entry.job.done.then(slot => this.#leave(slot, slot)).catch(() => undefined))
  }

  #noteDraining(done: Promise<void>): void {
    this.#draining.add(done)
    done.finally(() => this.#draining.delete(done))
  }

  /** @param drained the slot itself, or what has it */
  async #leave(slot: Slot, drained: Pick<Slot, 'drain'>): Promise<void> {
    this.#leaving.add(slot)
    await drained.drain()
    slot.dispose(!this.#closed)
    this.#leaving.delete(slot)
  }

  /**
   * Holds all slots until no code runs in any of them, calls `work`, and releases them.
   * @returns false, without having called `work`, when they do not come to rest in `msMax` milliseconds
   */
  async rest(msMax: number, work: () => void): Promise<boolean> {
    const slots = () => [...this.#loaded, ...this.#warming.keys(), ...this.#leaving]
    const isBusy = () => this.#queue.running > 0 || slots().some(slot => slot.isRunning)
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

  /** Slots that warm up, each with what ends that when somebody waits for the slot. */
  readonly #warming = new Map<Slot, AbortController>()

  /** Slots that no table routes to and that still have requests. */
  readonly #leaving = new Set<Slot>()

  /** @returns whether anything is left to watch */
  #watch(): boolean {
    const now = performance.now()
    const looked = this.#busy
    this.#busy = []
    for (const slot of looked) if (slot.watch(now)) this.#busy.push(slot)
    for (const pending of this.#betweenSlots) if (now >= pending.call.deadlineAt) this.#giveUp(pending, late(pending))
    return this.#busy.length > 0 || this.#betweenSlots.size > 0
  }

  #onLost({ key }: SlotPlan, report: () => void): void {
    if (this.#barred.has(key)) return
    this.#barred.add(key)
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#release(entry)
    report()
  }

  #noteKilled(slot: Slot): void {
    const { key } = slot.plan
    const running = (this.#killed.get(key) ?? []).filter(killed => killed.slot.isRunning)
    this.#killed.set(key, [...running, { slot, at: performance.now() }])
  }

  #onKilled(slot: Slot, kill: Kill, survivors: readonly Pending[], report: () => void): void {
    const { plan } = slot
    const { blame, isForMemory } = kill
    if (this.#warming.has(slot)) {
      // What was asked to warm it up says nothing about the requests to come, and whoever has asked loads another slot.
      if (slot.isRunning) this.#noteKilled(slot)
      for (const pending of survivors) pending.reject(new SlotKilled(plan, kill))
      return
    }
    if (blame === 'module' && !isForMemory) this.#offenders.set(plan.key, performance.now())
    const current = this.#entries.get(plan.key)?.slot === slot
    if (current) this.#entries.delete(plan.key)
    if (slot.isRunning) this.#noteKilled(slot)
    this.#leaving.delete(slot)
    report()
    // A slot that was killed before it ever answered may be killed each time it is loaded. So it is loaded again only when a request needs it.
    if (survivors.length === 0 && !(current && slot.hasAnswered)) return
    // The slot is loaded for the requests that survived, and ahead of the next request.
    if (survivors.length === 0) return void this.loadAhead(plan)
    for (const pending of survivors) this.#betweenSlots.add(pending)
    this.#watchdog.start()
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

const retiring = (): BerthError => new BerthError('BASE_DRAINING', 'Cannot load a version: the cell is retiring', { retryAfterSeconds: 1 })

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
