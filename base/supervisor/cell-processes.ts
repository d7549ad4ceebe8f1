/** The cells of a base: does what the plan says, and keeps the record that the plan reads. */

import { join } from 'node:path'
import { closeBlackBox, openBlackBox } from '../folder/black-box.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { Options } from '../kernel/options.ts'
import { roleCommand } from '../process/roles.ts'
import type { CellStatus, FromCell, ToCell } from '../wire/messages.ts'
import { type Child, residentMB, startChild } from './child.ts'
import type { ListenHandle } from './handle.ts'
import { afterFault, type CellView, type Leaving, plan, retirable, type Seat, type Step } from './plan.ts'

export interface FleetSettings {
  /** With the real port. */
  readonly options: Options
  readonly handle: ListenHandle
  readonly entry: string | undefined
  readonly log: Logger
  /** Called after every change of a cell's state. */
  readonly onChange: () => void
  /** A cell cannot start, for a reason an operator has to mend. It ends, and is started again like one that crashed. */
  readonly onRefused: (error: BerthError) => void
}

/** A cell as the plan sees it, and the process behind it. */
type Cell = { -readonly [Field in keyof CellView]: CellView[Field] } & {
  readonly child: Child<ToCell>
  readonly startedWhen: Date
  /** Undefined when there could be none. */
  readonly blackBox: number | undefined
}
type SeatRecord = Seat & { readonly crashes: number }

/** Starts no cell before its first `tick`, which is to follow every `limits.process.heartbeatMs`. */
export class Fleet {
  readonly #settings: FleetSettings
  readonly #cells = new Map<number, Cell>()
  readonly #seats = new Map<number, SeatRecord>()
  #stopping = false
  #lastId = 0
  #lastTickAt = now()

  constructor(settings: FleetSettings) {
    this.#settings = settings
    for (let cell = 1; cell <= settings.options.cells; cell++) this.#seats.set(cell, { cell, failures: 0, notBefore: 0, crashes: 0 })
  }

  get allReady(): boolean {
    const ready = new Set(this.#inState('ready').map(cell => cell.cell))
    return ready.size === this.#seats.size
  }

  get empty(): boolean {
    return this.#cells.size === 0
  }

  get statuses(): CellStatus[] {
    return [...this.#cells.values()].map(({ cell, child, state, rssMB, connections, startedWhen }) => {
      const crashes = this.#seats.get(cell)?.crashes ?? 0
      return { cell, pid: child.pid, state, rssMB, connections, startedAt: startedWhen.toISOString(), crashes }
    })
  }

  /** Reads the memory of the cells, tells them their share and does what is due. */
  async tick(): Promise<void> {
    this.#excuseOwnAbsence()
    const rss = await residentMB([...this.#cells.values()].map(cell => cell.child.pid))
    for (const cell of this.#cells.values()) cell.rssMB = rss.get(cell.child.pid) ?? cell.rssMB
    this.#share()
    this.#act()
  }

  /** Starts a replacement and retires the cell once that is ready. Nothing happens while the ordinal is changing already. */
  retire(ordinal: number): void {
    const id = retirable([...this.#cells.values()], ordinal)
    if (id === undefined) this.#settings.log.info({ cell: ordinal }, 'cell cannot be retired now: not ready, or leaving already')
    else this.#replace(id, 'asked')
    this.#act()
  }

  /** Retires every cell and starts none any more; `onChange` tells when the fleet is empty. Idempotent. */
  stop(): void {
    this.#stopping = true
    this.#act()
  }

  /** Ends every cell at once. */
  kill(): void {
    this.#stopping = true
    for (const cell of this.#cells.values()) cell.child.kill()
  }

  #inState(state: CellStatus['state']): Cell[] {
    return [...this.#cells.values()].filter(cell => cell.state === state)
  }

  /** Time in which this process did not run (a suspended machine, SIGSTOP) is nobody's silence. */
  #excuseOwnAbsence(): void {
    const time = now()
    const absentMs = time - this.#lastTickAt - limits.process.heartbeatMs
    this.#lastTickAt = time
    if (absentMs < limits.process.heartbeatMs) return
    for (const cell of this.#cells.values()) {
      cell.startedAt += absentMs
      cell.beatAt += absentMs
      if (cell.state === 'retiring') cell.retiringAt += absentMs
    }
  }

  #share(): void {
    const ready = this.#inState('ready')
    const total = ready.reduce((sum, cell) => sum + cell.connections, 0)
    for (const cell of ready) cell.child.send({ type: 'share', cells: ready.length, others: total - cell.connections })
  }

  #act(): void {
    const { cellMemoryMB } = this.#settings.options
    const situation = { seats: [...this.#seats.values()], cells: [...this.#cells.values()], cellMemoryMB, stopping: this.#stopping }
    const steps = plan(situation, now())
    for (const step of steps) this.#do(step)
    if (steps.length > 0) this.#settings.onChange()
  }

  #do(step: Step): void {
    if (step.do === 'start') this.#start(step.cell)
    if (step.do === 'replace') this.#replace(step.id, step.leaving)
    if (step.do === 'retire') this.#retire(step.id)
    if (step.do === 'kill') this.#kill(step.id, step.why)
  }

  #start(ordinal: number): void {
    const { options, handle, entry, log } = this.#settings
    const id = ++this.#lastId
    const files = options.services.map(({ file }) => file)
    const command = roleCommand('cell', options.data, entry, files)
    const blackBox = this.#openBlackBox(id)
    const events = { onMessage: (message: FromCell) => this.#receive(id, message), onEnd: (how: string) => this.#ended(id, how) }
    const child = startChild<FromCell, ToCell>(command, { type: 'start', options, cell: ordinal }, handle, events, blackBox ?? 'ignore')
    const fresh = { state: 'starting', leaving: undefined, killed: false, retiringAt: 0, connections: 0, inFlight: 0, rssMB: 0 } as const
    this.#cells.set(id, { id, cell: ordinal, child, blackBox, startedAt: now(), beatAt: now(), startedWhen: new Date(), ...fresh })
    log.debug({ cell: ordinal, pid: child.pid }, 'cell started')
  }

  /** A full disk must not keep a cell from being replaced: then its next death names nobody. */
  #openBlackBox(id: number): number | undefined {
    try {
      return openBlackBox(join(this.#settings.options.data, `cell-${id}.box`))
    } catch (error) {
      this.#settings.log.warn({ err: error }, 'a cell goes without a black box')
      return undefined
    }
  }

  #receive(id: number, message: FromCell): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    cell.beatAt = now()
    if (message.type === 'ready') this.#ready(cell)
    if (message.type === 'lost') this.#lost(cell, message.reason)
    if (message.type === 'refused') this.#settings.onRefused(new BerthError(message.code, message.message))
    if (message.type === 'heartbeat') {
      cell.connections = message.connections
      cell.inFlight = message.inFlight
    }
  }

  #ready(cell: Cell): void {
    cell.state = 'ready'
    this.#settings.log.info({ cell: cell.cell, pid: cell.child.pid, ms: Math.round(now() - cell.startedAt) }, 'cell ready')
    // At once: until they know of each other, cells enforce larger shares of the limits than are theirs.
    this.#share()
    this.#act()
    this.#settings.onChange()
  }

  #lost(cell: Cell, reason: string): void {
    this.#settings.log.warn({ cell: cell.cell, pid: cell.child.pid, reason }, 'cell is doomed')
    this.#replace(cell.id, 'lost')
    this.#act()
  }

  #replace(id: number, leaving: Leaving): void {
    const cell = this.#cells.get(id)
    if (!cell || cell.leaving === 'lost') return
    cell.leaving = leaving
    const { log, options } = this.#settings
    log[leaving === 'asked' ? 'info' : 'warn'](
      { cell: cell.cell, pid: cell.child.pid, because: leaving, rssMB: cell.rssMB, cellMemoryMB: options.cellMemoryMB },
      'cell to be replaced',
    )
    // A cell that soon outgrows its memory would otherwise be replaced without pause.
    if (leaving !== 'asked') this.#fault(cell, leaving === 'lost')
  }

  #retire(id: number): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    cell.state = 'retiring'
    cell.retiringAt = now()
    cell.child.send({ type: 'retire' })
    this.#settings.log.info({ cell: cell.cell, pid: cell.child.pid }, 'cell retiring')
  }

  #kill(id: number, why: string): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    cell.killed = true
    cell.child.kill()
    this.#settings.log.warn({ cell: cell.cell, pid: cell.child.pid, why }, 'cell killed')
  }

  #ended(id: number, how: string): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    this.#cells.delete(id)
    const { log, onChange } = this.#settings
    const suspects = cell.blackBox === undefined ? [] : closeBlackBox(cell.blackBox)
    const expected = cell.state === 'retiring' || this.#stopping
    const what = { cell: cell.cell, pid: cell.child.pid, state: cell.state, how, ...(suspects.length > 0 && { suspects }) }
    log[expected ? 'info' : 'warn'](what, 'cell ended')
    // The fault of a doomed cell counted when it was told.
    if (!expected && cell.leaving !== 'lost') this.#fault(cell, true)
    this.#act()
    onChange()
  }

  #fault(cell: Cell, crash: boolean): void {
    const seat = this.#seats.get(cell.cell)
    if (!seat) return
    const crashes = seat.crashes + (crash ? 1 : 0)
    const changed = afterFault({ ...seat, crashes }, now() - cell.startedAt, now())
    this.#seats.set(cell.cell, changed)
    // The next tick may be later than the pause is long. A base that has stopped is not kept alive by it.
    setTimeout(() => this.#act(), Math.ceil(changed.notBefore - now()) + 1).unref()
  }
}

const now = (): number => performance.now()
