/** The scene table in force in a cell, and how the next one takes its place. Tables are taken one after the other, each once the slots that it needs at once are loaded. */
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
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
  readonly whitelists: Whitelists
  /** Called when a table has come into force; `failures` are its baselines that cannot answer. */
  onTaken(table: CompiledTable, failures: readonly SceneFailure[]): void
  /** Called when a later try could load more of what the table in force needs: `failures` may have changed. */
  onTakenAgain(): void
}

export class TableInForce {
  readonly #parts: TableParts
  #current: CompiledTable = compileTable(emptyTable)
  #failures: readonly SceneFailure[] = []
  #taking: Promise<void> = Promise.resolve()
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

  /** Baselines of the current table that could not be loaded. */
  get failures(): readonly SceneFailure[] {
    return this.#failures
  }

  /** Resolves when every table that was given to `take` so far has been taken or refused. */
  get settled(): Promise<void> {
    return this.#taking
  }

  /** @throws BASE_NOT_READY when there is no table yet, or naming the scenes that cannot answer */
  checkReady(): void {
    if (this.#current.revision === 0) throw new BerthError('BASE_NOT_READY', NO_TABLE, { retryAfterSeconds: 1 })
    if (this.#failures.length === 0) return
    const scenes = this.#failures.map(({ scene }) => `"${scene}"`).join(', ')
    throw new BerthError('BASE_NOT_READY', `Cannot answer for ${scenes}`, { extra: { failures: this.#failures } })
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

  /**
   * Loads the slots that the table needs at once beside those that run, then switches with one assignment. Slots of versions that the table
   * does not name drain.
   */
  async #apply(table: SceneTable): Promise<void> {
    if (table.revision < this.#current.revision) return
    const { slots, whitelists, onTaken } = this.#parts
    const listed = await whitelists.read(table)
    const compiled = compileTable(table, this.#current, listed)
    const loaded = await Promise.all(this.#neededAhead(compiled).map(plan => this.#tryLoad(plan)))
    this.#current = compiled
    this.#failures = loaded.flatMap(failure => failure ?? [])
    const online = [...compiled.scenes.values()].flatMap(scene => [...scene.versions.values()])
    slots.retain(new Set(online.map(plan => plan.key)))
    onTaken(compiled, this.#failures)
    this.#loadRouted(compiled)
    clearTimeout(this.#again)
    if (listed.size < whitelistsOf(table).size) this.#later(compiled, () => this.#takeAgain(table))
    else if (this.#failures.length > 0) this.#later(compiled, () => this.#loadFailed(compiled))
  }

  /** Tries again after a while. A file that could not be read may be there then, and until the next table comes nothing else would look. */
  #later(table: CompiledTable, work: () => Promise<void>): void {
    const again = () => {
      if (!this.#closed && this.#current === table) void work()
    }
    this.#again = setTimeout(again, this.#againMs).unref()
    this.#againMs = Math.min(this.#againMs * 2, limits.cell.tableAgainMsMax)
  }

  async #takeAgain(table: SceneTable): Promise<void> {
    try {
      await this.#take(table)
      this.#parts.onTakenAgain()
    } catch (error) {
      this.#parts.log.error({ err: error }, 'table cannot be taken')
    }
  }

  async #loadFailed(table: CompiledTable): Promise<void> {
    const before = this.#failures
    const plans = before.flatMap(({ scene, version }) => table.scenes.get(scene)?.versions.get(version) ?? [])
    const failures = (await Promise.all(plans.map(plan => this.#tryLoad(plan)))).flatMap(failure => failure ?? [])
    if (this.#current !== table) return
    this.#failures = failures
    if (failures.length < before.length) this.#parts.onTakenAgain()
    if (failures.length > 0) this.#later(table, () => this.#loadFailed(table))
  }

  /** Loads versions other than the baselines that rules send requests to, and the previous baselines: a cell that has just started has none of them. */
  async #loadRouted(table: CompiledTable): Promise<void> {
    const routed = [...table.scenes.values()].flatMap(({ versions, stays }) => [...versions.values()].filter(({ key }) => stays.has(key)))
    for (const plan of routed.slice(0, limits.cell.slotsAheadMax)) {
      if (this.#current !== table || this.#closed) return
      const failure = await this.#tryLoad(plan)
      if (failure !== undefined) this.#parts.log.warn(failure, 'a version that rules name cannot be loaded')
    }
  }

  /** Baselines that requests are likely to need at once: those of scenes whose slot is loaded now, and others up to `limits.cell.slotsAheadMax`. */
  #neededAhead(next: CompiledTable): SlotPlan[] {
    const baselines = [...next.scenes.values()].flatMap(scene => scene.baseline ?? [])
    const isHot = (plan: SlotPlan) => {
      const before = this.#current.scenes.get(plan.scene)?.baseline
      return before !== undefined && this.#parts.slots.peek(before) !== undefined
    }
    const hot = baselines.filter(isHot)
    const others = baselines.filter(plan => !isHot(plan))
    return [...hot, ...others.slice(0, Math.max(0, limits.cell.slotsAheadMax - hot.length))]
  }

  async #tryLoad(plan: SlotPlan): Promise<SceneFailure | undefined> {
    try {
      await this.#parts.slots.ensure(plan)
      return undefined
    } catch (error) {
      return loadFailure(plan, error)
    }
  }
}

/** Why a version cannot answer, as the keeper is sent it. */
export const loadFailure = ({ scene, version }: SlotPlan, error: unknown): SceneFailure => ({
  scene,
  version,
  code: toBerthError(error).code,
  message: messageOf(error),
})
