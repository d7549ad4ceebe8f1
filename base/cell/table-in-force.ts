/**
 * The scene table in force in a cell, and how the next one takes its place. The keeper has had the cell load what a change brings, and everything else is
 * loaded after the switch, so that no version can hold up a change of another scene or of a token.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { FeatureTables } from '../services/features.ts'
import type { Slots } from '../slot/slots.ts'
import { type CompiledTable, compileTable } from '../traffic/scene.ts'
import { emptyTable, type SceneTable, type SlotPlan } from '../traffic/table.ts'
import type { SceneFailure } from '../wire/messages.ts'
import { type Whitelists, whitelistsOf } from './whitelists.ts'

/** The message of a cell that has found neither the keeper nor a table that was saved. */
export const NO_TABLE = 'Cannot serve any scene: the cell has no scene table yet'

export interface TableParts {
  readonly log: Logger
  readonly slots: Slots
  readonly features: Pick<FeatureTables, 'take' | 'settled'>
  readonly whitelists: Whitelists
  /** Called when a table has come into force. */
  onTaken(table: CompiledTable): void
  /** Called when a later try could load more of what the table in force needs. */
  onTakenAgain(): void
}

export class TableInForce {
  readonly #parts: TableParts
  #current: CompiledTable = compileTable(emptyTable)
  #taking: Promise<void> = Promise.resolve()
  #ahead: Promise<unknown> = Promise.resolve()
  /** The table in force, when a whitelist of it could not be read. */
  #incomplete: SceneTable | undefined
  #again: NodeJS.Timeout | undefined
  #againMs: number = limits.cell.tableAgainMsMin
  #closed = false

  constructor(parts: TableParts) {
    this.#parts = parts
  }

  /**
   * A table never changes: a request that began with a table is served by it to its end. The revision is 0 until the first table is taken.
   */
  get current(): CompiledTable {
    return this.#current
  }

  /** Baselines of the current table that could not be loaded when that was last tried. */
  get failures(): readonly SceneFailure[] {
    return this.#baselines.flatMap(plan => {
      const error = this.#parts.slots.failureOf(plan)
      return error === undefined ? [] : loadFailure(plan, error)
    })
  }

  get #baselines(): SlotPlan[] {
    return [...this.#current.scenes.values()].flatMap(({ baseline }) => baseline ?? [])
  }

  /** Resolves when every table that was given to `take` so far has been taken or refused. */
  get settled(): Promise<void> {
    return this.#taking
  }

  /**
   * Resolves when what is loaded ahead of requests is loaded, cannot be loaded, or takes long to load: versions at the latest after `msMax`
   * milliseconds, uploaded feature tables after `limits.features.startMsMax`.
   */
  async loadedAhead(msMax: number): Promise<void> {
    const { features } = this.#parts
    const tables = Promise.race([features.settled, delay(limits.features.startMsMax, undefined, { ref: false })])
    await Promise.all([Promise.race([this.#ahead, delay(msMax, undefined, { ref: false })]), tables])
  }

  /**
   * @returns the scenes that cannot answer, while others can
   * @throws BASE_NOT_READY when there is no table yet, or no scene can answer
   */
  checkReady(): readonly SceneFailure[] {
    if (this.#current.revision === 0) throw new BerthError('BASE_NOT_READY', NO_TABLE, { retryAfterSeconds: 1 })
    const { failures } = this
    if (failures.length === 0 || failures.length < this.#baselines.length) return failures
    const scenes = failures.map(({ scene }) => `"${scene}"`).join(', ')
    throw new BerthError('BASE_NOT_READY', `Cannot answer for any scene: ${scenes}`, { extra: { failures } })
  }

  /**
   * Puts a table in force, unless there is a newer one.
   * @throws what is wrong with it; the one before stays in force
   */
  take(table: SceneTable): Promise<void> {
    this.#againMs = limits.cell.tableAgainMsMin
    return this.#take(table)
  }

  #take(table: SceneTable): Promise<void> {
    const taken = this.#taking.then(() => this.#apply(table))
    this.#taking = taken.catch(() => undefined)
    return taken
  }

  /** From now on only what requests ask for is loaded. */
  close(): void {
    this.#closed = true
  }

  /** Is to be called when a version could not be loaded. If a scene of the table needs it, it is tried again after a while. */
  onLoadFailed(plan: SlotPlan): void {
    if (this.#needs(plan)) this.#tryLater()
  }

  /** Whether the version is the baseline of its scene. */
  #needs({ scene, key }: SlotPlan): boolean {
    return this.#current.scenes.get(scene)?.baseline?.key === key
  }

  /** Switches with one assignment. Slots of versions that the table does not name drain. */
  async #apply(table: SceneTable): Promise<void> {
    if (table.revision < this.#current.revision) return
    const { slots, whitelists, onTaken } = this.#parts
    const listed = await whitelists.read(table)
    const compiled = compileTable(table, this.#current, listed)
    const { hot = [], others = [] } = this.#baselinesByUse(compiled)
    await this.#loadHot(hot)
    this.#current = compiled
    this.#parts.features.take(table.features ?? [])
    const online = [...compiled.scenes.values()].flatMap(scene => [...scene.versions.values()])
    slots.retain(new Set(online.map(plan => plan.key)))
    onTaken(compiled)
    this.#ahead = this.#loadAhead(compiled, [...hot, ...others])
    clearTimeout(this.#again)
    this.#again = undefined
    this.#incomplete = listed.size < whitelistsOf(table).size ? table : undefined
    if (this.#incomplete !== undefined || this.failures.length > 0) this.#tryLater()
  }

  /** Tries again after a while. A file that could not be read may be there then, and until the next table comes nothing else would look. */
  #tryLater(): void {
    if (this.#again !== undefined) return
    const again = () => {
      this.#again = undefined
      if (!this.#closed) void this.#tryAgain()
    }
    this.#again = setTimeout(again, this.#againMs).unref()
    this.#againMs = Math.min(this.#againMs * 2, limits.cell.tableAgainMsMax)
  }

  async #tryAgain(): Promise<void> {
    try {
      if (this.#incomplete !== undefined) {
        await this.#take(this.#incomplete)
        this.#parts.onTakenAgain()
      }
    } catch (error) {
      this.#parts.log.error({ err: error }, 'table cannot be taken')
    }
    const failing = this.#baselines.filter(plan => this.#parts.slots.failureOf(plan) !== undefined)
    await Promise.all(failing.map(plan => this.#parts.slots.loadAhead(plan)))
    if (failing.some(plan => this.#needs(plan) && this.#parts.slots.failureOf(plan) !== undefined)) this.#tryLater()
  }

  /**
   * Loads baselines until `limits.cell.slotsAheadMax` are loaded or there are no more. Then versions that rules send requests to, and the previous baselines: a
   * cell that has just started has none of them.
   */
  async #loadAhead(table: CompiledTable, baselines: readonly SlotPlan[]): Promise<void> {
    const { slotsAheadMax } = limits.cell
    const plans = baselines.values()
    const loadOne = async () => {
      for (const plan of plans) if (this.#isSuperseded(table) || (await this.#parts.slots.loadAhead(plan))) return
    }
    await Promise.all(Array.from({ length: slotsAheadMax }, loadOne))
    void this.#loadRouted(table)
  }

  async #loadRouted(table: CompiledTable): Promise<void> {
    const routed = [...table.scenes.values()].flatMap(({ versions, stays }) => [...versions.values()].filter(({ key }) => stays.has(key)))
    const others = routed.filter(plan => !this.#needs(plan))
    for (const plan of others.slice(0, limits.cell.slotsAheadMax)) {
      if (this.#isSuperseded(table)) return
      await this.#parts.slots.loadAhead(plan)
    }
  }

  #isSuperseded(table: CompiledTable): boolean {
    return this.#current !== table || this.#closed
  }

  /** The baselines of a table; hot are those of scenes whose slot is loaded now, because requests are likely to need them at once. */
  #baselinesByUse(next: CompiledTable) {
    const isHot = (plan: SlotPlan) => {
      const before = this.#current.scenes.get(plan.scene)?.baseline
      return before !== undefined && this.#parts.slots.peek(before) !== undefined
    }
    const baselines = [...next.scenes.values()].flatMap(scene => scene.baseline ?? [])
    return Object.groupBy(baselines, plan => (isHot(plan) ? 'hot' : 'others'))
  }

  /** Loads what scenes that are in use will need, so that their requests need not wait for it. All of it is there unless the keeper could not prepare this cell. */
  async #loadHot(hot: readonly SlotPlan[]): Promise<void> {
    const { slots } = this.#parts
    const missing = hot.filter(plan => slots.peek(plan) === undefined && slots.failureOf(plan) === undefined)
    if (missing.length === 0) return
    const loads = missing.map(plan => slots.ensure(plan).catch(() => undefined))
    await Promise.race([Promise.all(loads), delay(limits.cell.switchMsMax, undefined, { ref: false })])
  }
}

/** Why a version cannot answer, as the keeper is sent it. */
export const loadFailure = ({ scene, version }: SlotPlan, error: unknown): SceneFailure => ({
  scene,
  version,
  code: toBerthError(error).code,
  message: messageOf(error),
})
