/** What a cell has to do with the keeper: it follows the keeper's tables, does what the keeper asks, and says how that went. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Generation, keeperSocketPath } from '../folder/paths.ts'
import { readSavedTable } from '../folder/saved-table.ts'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { TableSource } from '../kernel/table-facts.ts'
import { ModuleError } from '../slot/module-error.ts'
import type { Slot } from '../slot/slot.ts'
import { emptyTable, type SceneTable, type SlotPlan } from '../traffic/table.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { CellToKeeper, KeeperToCell, ProfileRequest, Refusal, WarmUpJob } from '../wire/messages.ts'
import type { CapsuleFeed } from './capsule-feed.ts'
import { type KeeperLink, linkKeeper } from './keeper-link.ts'
import type { LogFeed } from './log-feed.ts'
import type { ModuleRuntime } from './module-runtime.ts'
import { Profiler } from './profiler.ts'
import { loadFailure, type TableInForce } from './table-in-force.ts'
import type { Telemetry } from './telemetry.ts'

export interface KeeperRequestsParts {
  /** The data folder. */
  readonly data: string
  readonly generation: Generation
  /** Milliseconds that the start waits for what is loaded ahead of requests. */
  readonly aheadMsMax: number
  /** Whether no other cell serves while this one starts. */
  readonly isAlone: boolean
  /** Ordinal of the cell. */
  readonly cell: number
  /** The process id of the cell as the supervisor sees it. */
  readonly pid: number
  readonly table: TableInForce
  readonly runtime: ModuleRuntime
  readonly telemetry: Telemetry
  readonly feed: LogFeed
  readonly capsules: CapsuleFeed
}

const NO_FAULTS = '[]'
/** Milliseconds between a change of the baselines that cannot answer and the report of it, and between two reports of the feature tables. */
const REPORT_AFTER_MS = 50

export class KeeperRequests {
  readonly #parts: KeeperRequestsParts
  readonly #profiler: Profiler
  readonly #dispatch: (message: KeeperToCell) => void
  #link: KeeperLink | undefined
  /** The service faults that the keeper knows of, as JSON. */
  #faultsSent = NO_FAULTS
  #isLost = false
  #reporting: NodeJS.Timeout | undefined
  #reportingFeatures: NodeJS.Timeout | undefined
  #featuresReportedAt = Number.NEGATIVE_INFINITY
  #onTable: () => void = () => undefined
  #onWarm: () => void = () => undefined

  constructor(parts: KeeperRequestsParts) {
    const { runtime, feed, capsules, telemetry } = parts
    this.#parts = parts
    this.#profiler = new Profiler({
      slotOf: (scene, version) => this.#slotOf(scene, version),
      rest: (msMax, work) => runtime.slots.rest(msMax, work),
      bytesLeft: () => runtime.memory.bytesLeft,
    })
    this.#dispatch = dispatcher<KeeperToCell>(
      'the cell',
      {
        table: ({ table }) => this.#take(table),
        prepare: ({ request, plan }) => this.#prepare(request, plan),
        warmUp: ({ request, job }) => this.#warmUp(request, job),
        warmUpsOver: () => this.#onWarm(),
        prepareFeatures: ({ request, table }) => this.#prepareFeatures(request, table),
        readFeatures: ({ request, table, keys }) => this.#readFeatures(request, table, keys),
        collectMetrics: ({ request }) => this.#collectMetrics(request),
        logsKept: ({ batch }) => feed.kept(batch),
        recordingOver: ({ recording }) => capsules.drop(recording),
        findSlot: ({ request, scene, version }) => this.#findSlot(request, scene, version),
        findCalls: ({ request, scene }) => this.#findCalls(request, scene),
        profile: ({ request, profile }) => this.#profile(request, profile),
        fetchProfile: ({ request, profile }) => this.#fetchProfile(request, profile),
        endProfile: ({ profile }) => this.#profiler.end(profile),
      },
      sentence => telemetry.log.error(sentence),
    )
  }

  /** The link, once `start` has been called. */
  get link(): KeeperLink | undefined {
    return this.#link
  }

  /**
   * Connects to the keeper. Resolves when its table has been taken, or the one that it saved last when it is away, or neither could be had; and when what it
   * needs is loaded and warm, as far as that could be done in time.
   */
  async start(): Promise<void> {
    const { data, generation, aheadMsMax, table, telemetry } = this.#parts
    const heard = new Promise<boolean>(resolve => {
      this.#onTable = () => resolve(true)
      setTimeout(resolve, limits.cell.keeperLookMsMax, false)
    })
    this.#link = linkKeeper(keeperSocketPath(data, generation), telemetry.log, () => this.#hello(), this.#dispatch)
    const isHeard = await heard
    if (!isHeard) await this.#takeSaved()
    await table.settled
    await table.loadedAhead(aheadMsMax)
    if (isHeard) await this.#warmUpAll()
  }

  /** Has the keeper say what the slots that are loaded warm up with. */
  async #warmUpAll(): Promise<void> {
    const { runtime, isAlone } = this.#parts
    const plans = runtime.slots.plans.map(({ scene, version }) => ({ scene, version }))
    if (plans.length === 0) return
    const over = new Promise<void>(resolve => {
      this.#onWarm = resolve
    })
    this.#send({ type: 'loaded', plans })
    // While nobody else answers, requests had better be answered slowly than not at all.
    if (isAlone) return
    await Promise.race([over, delay(limits.capsule.warmUpStartMs, undefined, { ref: false })])
  }

  /** Says which table is in force, and which of its baselines cannot answer. */
  reportTable(): void {
    const { current, failures } = this.#parts.table
    this.#send({ type: 'applied', revision: current.revision, failures })
  }

  /** Says soon what has changed about the baselines that cannot answer, once for many changes. */
  reportFailures(): void {
    this.#reporting ??= setTimeout(() => {
      this.#reporting = undefined
      this.reportTable()
    }, REPORT_AFTER_MS).unref()
  }

  /** Says which feature tables there are: at once, but for many changes in a row only every now and then. */
  reportFeatures(): void {
    const waitMs = Math.max(0, this.#featuresReportedAt + REPORT_AFTER_MS - performance.now())
    this.#reportingFeatures ??= setTimeout(() => {
      this.#reportingFeatures = undefined
      this.#featuresReportedAt = performance.now()
      this.#send({ type: 'features', tables: this.#parts.runtime.tables.states() })
    }, waitMs).unref()
  }

  /** Says what services cannot offer, when that has changed. To be called every now and then. */
  reportServiceFaults(): void {
    const faults = this.#parts.runtime.serviceFaults().slice(0, limits.services.faultsMax)
    const text = JSON.stringify(faults)
    if (text === this.#faultsSent) return
    this.#faultsSent = text
    this.#send({ type: 'serviceFaults', faults })
  }

  /** Says which slots were killed, once there is a keeper that reads it. To be called every now and then. */
  reportKills(): void {
    if (!this.#link?.keepsUp) return
    const kills = this.#parts.telemetry.takeKills()
    if (kills.length > 0) this.#send({ type: 'kills', kills })
  }

  /** Says that the cell is lost, now and to a keeper that comes later. */
  reportLost(): void {
    this.#isLost = true
    this.#send({ type: 'lost' })
  }

  /** Says that the guesses of tokens from an address went over the limit. Nothing is lost when the keeper is away but a row of the audit log. */
  reportGuesses(address: string): void {
    this.#send({ type: 'tokenGuesses', address })
  }

  close(): void {
    this.#link?.close()
  }

  #send(message: CellToKeeper): void {
    this.#link?.send(message)
  }

  #hello(): CellToKeeper {
    const { cell, pid, feed, table, runtime } = this.#parts
    feed.sendAgain()
    this.#faultsSent = NO_FAULTS
    this.reportFeatures()
    const { current, failures } = table
    const services = runtime.offeredServices()
    return { type: 'hello', cell, pid, revision: current.revision, failures, services, ...(this.#isLost && { isLost: true }) }
  }

  #take(table: SceneTable): void {
    this.#parts.table.take(table).then(
      () => this.reportTable(),
      (error: unknown) => this.#parts.telemetry.log.error({ err: error, revision: table.revision }, 'table cannot be taken'),
    )
    this.#onTable()
  }

  async #takeSaved(): Promise<void> {
    const { data, table, telemetry } = this.#parts
    try {
      const saved = (await readSavedTable(data)) ?? emptyTable
      await table.take(saved)
      telemetry.log.warn({ revision: saved.revision }, 'keeper is away: booted from the table it saved last')
    } catch (error) {
      telemetry.log.error({ err: error }, 'keeper is away and the saved table cannot be read: waiting for the keeper')
    }
  }

  async #prepare(request: number, plan: SlotPlan): Promise<void> {
    try {
      await this.#parts.runtime.slots.prepare(plan)
      this.#send({ type: 'prepared', request })
    } catch (error) {
      this.#send({ type: 'prepared', request, failure: { ...loadFailure(plan, error), ...locatedIn(error) } })
    }
  }

  async #warmUp(request: number, job: WarmUpJob): Promise<void> {
    try {
      this.#send({ type: 'warmedUp', request, isGood: await this.#parts.runtime.warmUp(job) })
    } catch (error) {
      this.#send({ type: 'warmedUp', request, isGood: false, failure: { ...loadFailure(job.plan, error), ...locatedIn(error) } })
    }
  }

  async #prepareFeatures(request: number, table: TableSource): Promise<void> {
    try {
      this.#send({ type: 'featuresPrepared', request, facts: await this.#parts.runtime.tables.prepare(table) })
    } catch (error) {
      const code = error instanceof BerthError ? error.code : 'FEATURES_INVALID'
      this.#send({ type: 'featuresPrepared', request, failure: { code, message: messageOf(error) } })
    }
  }

  async #readFeatures(request: number, table: string, keys: readonly string[] | undefined): Promise<void> {
    try {
      this.#send({ type: 'featureRows', request, json: await this.#parts.runtime.tables.rowsOf(table, keys) })
    } catch (error) {
      this.#send({ type: 'featureRows', request, failure: codeAndMessage(error) })
    }
  }

  async #collectMetrics(request: number): Promise<void> {
    this.#send({ type: 'metrics', request, metrics: await this.#parts.telemetry.metrics.collect() })
  }

  #findSlot(request: number, scene: string, version: string): void {
    const slot = this.#slotOf(scene, version)
    this.#send({ type: 'slotFound', request, cpuMs: slot && Number(slot.cpuNs) / 1e6 })
  }

  #findCalls(request: number, scene: string): void {
    const now = performance.now()
    const calledMsAgo: Record<string, number> = {}
    for (const version of this.#parts.table.current.scenes.get(scene)?.versions.keys() ?? []) {
      const slot = this.#slotOf(scene, version)
      if (slot?.hasAnswered || (slot !== undefined && slot.pending > 0)) calledMsAgo[version] = now - slot.lastCallAt
    }
    this.#send({ type: 'callsFound', request, calledMsAgo })
  }

  async #profile(request: number, profile: ProfileRequest): Promise<void> {
    try {
      this.#send({ type: 'profiled', request, facts: await this.#profiler.take(request, profile) })
    } catch (error) {
      this.#send({ type: 'profiled', request, failure: codeAndMessage(error) })
    }
  }

  #fetchProfile(request: number, profile: number): void {
    try {
      this.#send({ type: 'profilePiece', request, text: this.#profiler.fetch(profile) })
    } catch (error) {
      this.#send({ type: 'profilePiece', request, failure: codeAndMessage(error) })
    }
  }

  #slotOf(scene: string, version: string): Slot | undefined {
    const { table, runtime } = this.#parts
    const plan = table.current.scenes.get(scene)?.versions.get(version)
    return plan && runtime.slots.peek(plan)
  }
}

const locatedIn = (error: unknown): ModuleError['located'] => (error instanceof ModuleError ? error.located : {})

function codeAndMessage(error: unknown): Refusal {
  const { code } = toBerthError(error)
  return { code, message: messageOf(error) }
}
