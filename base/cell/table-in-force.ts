/** The scene table in force in a cell, and how the next one takes its place: one after the other, and only once what it needs is loaded. */
import { messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { Slots } from '../slot/slots.ts'
import { type CompiledTable, compileTable } from '../traffic/scene.ts'
import { emptyTable, type SceneTable, type SlotPlan } from '../traffic/table.ts'
import type { SceneFailure } from '../wire/messages.ts'
import { type Whitelists, whitelistsOf } from './whitelists.ts'

export interface TablesParts {
  readonly log: Logger
  readonly slots: Slots
  readonly whitelists: Whitelists
  /** A table has come into force; `failures` are its baselines that cannot answer. */
  onTaken(table: CompiledTable, failures: readonly SceneFailure[]): void
  /** More of what the table in force needs could be had in a later try: `failures` may be others now. */
  onTakenAgain(): void
}

export class Tables {
  readonly #parts: TablesParts
  #current: CompiledTable = compileTable(emptyTable)
  #failures: readonly SceneFailure[] = []
  #taking: Promise<void> = Promise.resolve()
  #again: NodeJS.Timeout | undefined
  #againMs: number = limits.cell.tableAgainMsMin
  #closed = false

  constructor(parts: TablesParts) {
    this.#parts = parts
  }

  /** Never changed: a request that began with one is served by it. Of revision 0 until the first is taken. */
  get current(): CompiledTable {
    return this.#current
  }

  /** Baselines of the current one that could not be loaded when it was taken. */
  get failures(): readonly SceneFailure[] {
    return this.#failures
  }

  /** Resolves when all that were to be taken by now have been, or were refused. */
  get settled(): Promise<void> {
    return this.#taking
  }

  /**
   * Puts a table in force, unless there is a newer one.
   * @throws what is wrong with it; the one before stays in force.
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

  /** Loads nothing from now on that no request asks for. */
  close(): void {
    this.#closed = true
  }

  /** Loads what the table needs beside what runs, then switches with one assignment; what it no longer names drains. */
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

  /** A file that could not be read may be there the next time: nobody else would look, until the next change. */
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

  /** What rules send requests to besides the baselines, and the previous baselines: a cell that has just started has none of them. */
  async #loadRouted(table: CompiledTable): Promise<void> {
    const routed = [...table.scenes.values()].flatMap(({ versions, stays }) => [...versions.values()].filter(({ key }) => stays.has(key)))
    for (const plan of routed.slice(0, limits.cell.slotsAheadMax)) {
      if (this.#current !== table || this.#closed) return
      const failure = await this.#tryLoad(plan)
      if (failure !== undefined) this.#parts.log.warn(failure, 'a version that rules name cannot be loaded')
    }
  }

  /** Baselines that traffic is likely to ask for at once: those of scenes whose slot is loaded, and as many others as a cell loads unasked. */
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

/** Why a version cannot answer, for who asked for it. */
export const loadFailure = ({ scene, version }: SlotPlan, error: unknown): SceneFailure => ({
  scene,
  version,
  code: toBerthError(error).code,
  message: messageOf(error),
})
