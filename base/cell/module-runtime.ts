/** What runs the code of modules in a cell: its slots, and what they may use outside of their isolates. */
import { availableParallelism } from 'node:os'
import { BLACK_BOX_FD, BlackBox } from '../folder/black-box.ts'
import type { ServiceNames } from '../inside/protocol.ts'
import { limits } from '../kernel/limits.ts'
import type { Options } from '../kernel/options.ts'
import { Ticker } from '../kernel/ticker.ts'
import type { FeatureTables } from '../services/features.ts'
import { Fetcher } from '../slot/fetcher.ts'
import type { Slot } from '../slot/slot.ts'
import { Slots, type SlotsHost } from '../slot/slots.ts'
import { lockedServices, type SlotPlan } from '../traffic/table.ts'
import type { OfferedService, ServiceFault, WarmUpJob } from '../wire/messages.ts'
import { Services } from './base-services.ts'
import { Bundles } from './bundles.ts'
import { CellMemory } from './cell-memory.ts'
import type { Telemetry } from './telemetry.ts'
import { warmUp } from './warm-up.ts'

interface RuntimeHost extends Pick<SlotsHost, 'callScene' | 'onLost' | 'onLoad'> {
  /** Called when the state of some feature table has changed. */
  onTables(): void
}

interface Activity {
  isRunning: boolean
  /** Whether a turn has begun since the last look. */
  hasBegun: boolean
}

export class ModuleRuntime {
  readonly slots: Slots
  readonly memory: CellMemory
  readonly #options: Options
  readonly #telemetry: Telemetry
  readonly #services: Services
  readonly #fetcher: Fetcher
  readonly #bundles: Bundles
  /** Ticks while code of slots runs. */
  readonly #looks: Ticker
  /** The slots that have run code since the last look. They stay in here between their turns: a map that is emptied makes a new table each time. */
  readonly #active = new Map<Slot, Activity>()

  /** @param host answers `ctx.call`, and is called once for each version that the process is lost to, and when a version could not be loaded */
  constructor(options: Options, telemetry: Telemetry, host: RuntimeHost) {
    const { log, metrics, moduleLog } = telemetry
    this.#options = options
    this.#telemetry = telemetry
    this.memory = new CellMemory(options.cellMemoryMB)
    this.#bundles = new Bundles(options.data)
    this.#services = new Services({
      data: options.data,
      log: (service, level, message, fields) => log[level]({ ...fields, service }, message),
      count: (service, method, code, seconds) => metrics.countService(service, method, code, seconds),
      onFailed: (service, method, error) => telemetry.onServiceFailed(service, method, error),
      onTables: () => host.onTables(),
    })
    this.#fetcher = new Fetcher({
      privateNetworks: options.fetchPrivate,
      count: (host, code, seconds) => metrics.countFetch(host, code, seconds),
    })
    const blackBox = new BlackBox(BLACK_BOX_FD, error => log.warn({ err: error }, 'the black box cannot be written'))
    const slotsHost: SlotsHost = {
      ...host,
      readBundle: digest => this.#bundles.read(digest),
      servicesOf: plan => this.#servicesOf(plan),
      callService: (service, method, args, caller) => this.#services.call(service, method, args, caller),
      fetch: (plan, request, caller, signal) => this.#fetcher.fetch(plan, request, caller, signal),
      explain: (error, plan) => telemetry.explainLoad(error, plan),
      onLog: (plan, requestId, lines) => moduleLog.write(plan, requestId, lines),
      onKilled: (plan, kill) => telemetry.onSlotKilled(plan, kill),
      onMisfit: (plan, text) => telemetry.onMisfit(plan, text),
      onRunning: (slot, running) => {
        this.memory.onRunning(slot, running)
        this.#noteRunning(slot, running)
        if (running) blackBox.begin(slot, slot.plan.scene, slot.plan.version)
        else blackBox.end(slot)
      },
      refusal: plan => this.memory.refusal(plan),
      hasRoom: () => !this.memory.isShort,
      // Who develops wants the line of the first kill. On a base that serves, it would make every `await` of every version dearer.
      lookoutUntil: () => (options.mode === 'development' ? Infinity : 0),
      onLoading: (blank, { scene, version }, module) => {
        if (module === undefined) return blackBox.end(blank)
        blackBox.begin(blank, scene, version)
        blackBox.see(blank, { module })
      },
      onBufferFailed: error => log.error({ err: error }, 'no isolate could be made ahead of need'),
    }
    // One more than there are cores for this cell: that one is for versions that somebody waits for.
    const loads = Math.ceil(availableParallelism() / options.cells) + 1
    this.slots = new Slots(slotsHost, Math.min(loads, limits.cell.loadsMax))
    this.#looks = new Ticker(limits.slot.watchdogTickMs, () => this.#look(blackBox))
  }

  /** Looks after the memory of the cell, and records where code is that has not come back since the last look. @returns whether there is any */
  #look(blackBox: BlackBox): boolean {
    this.memory.look()
    for (const [slot, activity] of this.#active) {
      if (!activity.isRunning) this.#active.delete(slot)
      else if (activity.hasBegun) activity.hasBegun = false
      else blackBox.see(slot, slot.whereabouts())
    }
    return this.#active.size > 0
  }

  #noteRunning(slot: Slot, isRunning: boolean): void {
    this.#looks.start()
    const known = this.#active.get(slot)
    if (known === undefined) this.#active.set(slot, { isRunning, hasBegun: isRunning })
    else {
      known.isRunning = isRunning
      known.hasBegun ||= isRunning
    }
  }

  /**
   * Starts the base services.
   * @throws SERVICE_START_FAILED naming the service and why; the process has to end then
   */
  async start(): Promise<void> {
    await this.#services.start(this.#options.services)
  }

  #servicesOf(plan: SlotPlan): ServiceNames {
    return this.#services.named(lockedServices(plan.lock))
  }

  /** The feature tables. */
  get tables(): FeatureTables {
    return this.#services.tables
  }

  /** The base services. */
  offeredServices(): OfferedService[] {
    return this.#services.offered()
  }

  /** What the base services cannot offer at present. */
  serviceFaults(): ServiceFault[] {
    return this.#services.faults()
  }

  /**
   * Has a slot that is loaded answer requests whose answers nobody gets, before it is routed to.
   * @returns false when it was thrown away over it and loaded anew
   * @throws BerthError when the slot was thrown away over it and cannot be loaded again
   */
  warmUp(job: WarmUpJob): Promise<boolean> {
    return warmUp(job, {
      slots: this.slots,
      servicesOf: plan => this.#servicesOf(plan),
      callService: (service, method, args, caller) => this.#services.call(service, method, args, caller),
      count: ({ scene, version }, outcome) => this.#telemetry.metrics.countWarmUp(scene, version, outcome),
    })
  }

  /** Forgets bundles of versions that are not loaded: they are read again for the next slot that needs them. */
  forgetBundles(): void {
    this.#bundles.retain(this.slots.plans)
  }

  /** Lets slots go that have no traffic: after a while those that need not stay, and any when memory is short. */
  trim(stays: (plan: SlotPlan) => boolean): void {
    const { isShort } = this.memory
    const { idle, memory } = this.slots.trim(stays, isShort)
    if (idle + memory === 0) return
    if (isShort) this.memory.onEvicted()
    this.forgetBundles()
    const { log, metrics } = this.#telemetry
    metrics.countEvicted('idle', idle)
    metrics.countEvicted('memory', memory)
    const because = memory > 0 ? 'memory is short' : 'idle for long'
    log.info({ evicted: idle + memory, left: this.slots.count, because }, 'idle slots evicted')
  }

  /** Drains all slots, then stops the services. */
  async close(): Promise<void> {
    await this.slots.close()
    this.#looks.stop()
    this.#fetcher.close()
    await this.#services.stop()
  }
}
