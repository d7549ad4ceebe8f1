/** The processes that are the cells of a base: takes the steps that the plan recommends, and keeps the record that the plan reads. */
import { join } from 'node:path'
import { closeBlackBox, openBlackBox, type RunningSlot, readBlackBox } from '../folder/black-box.ts'
import type { Generation } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { isThrifty } from '../kernel/memory-plan.ts'
import type { Options } from '../kernel/options.ts'
import { roleCommand } from '../process/roles.ts'
import type { Wall } from '../process/wall.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { CellLoss, CellStatus, FromCell, SceneFailure, Suspect, ToCell, Trouble, Unkept } from '../wire/messages.ts'
import { type Child, type ChildEvents, residentMB, startChild } from './child.ts'
import type { ListenHandle } from './handle.ts'
import { MEMORY_ADVICE, type MemoryWatch } from './memory-watch.ts'
import { afterFault, type CellView, type Leaving, plan, retirable, type Seat, type Step } from './plan.ts'

export interface CellProcessesSettings {
  /** The options of the base, with the real port. */
  readonly options: Options
  readonly handle: ListenHandle
  readonly entry: string | undefined
  readonly log: Logger
  readonly memory: MemoryWatch
  /** Confines the cells. */
  readonly wall: Wall
  /** Whether the base is still given its first scenes. */
  readonly isSettingUp: boolean
  readonly generation: Generation
  /** Whether the first cells take over from those of another release. */
  readonly isHeir: boolean
  /** Called after every change of a cell's state. */
  readonly onChange: () => void
  /** Called when a cell cannot start, for a reason that an operator has to mend. The cell ends, and is started again like one that crashed. */
  readonly onRefused: (error: BerthError) => void
  /** Called when a cell has ended, or has to be replaced, that nobody has asked to. */
  readonly onFault: (sentence: string) => void
  /** Called with what a cell that ends has not got to a keeper. */
  readonly onUnkept: (unkept: Unkept) => void
  /** Called when a cell was lost to the code that it ran. */
  readonly onLoss: (loss: Omit<CellLoss, 'no'>) => void
}

/** A cell as the plan sees it, and the process behind it. */
type Cell = { -readonly [Field in keyof CellView]: CellView[Field] } & {
  readonly child: Child<ToCell>
  readonly startedWhen: Date
  /** The file descriptor of its black box; undefined when that could not be made. */
  readonly blackBox: number | undefined
  /** What it was killed for, when that is what it has done itself. */
  killedFor: string | undefined
  /** Why it cannot start, in its own words. */
  refusal: string | undefined
  /** The baselines that it could not answer when it was ready. */
  failures: readonly SceneFailure[]
}
type Lost = Extract<FromCell, { type: 'lost' }>
type SeatRecord = Seat & {
  readonly crashes: number
  /** How the last start that was in vain ended. */
  readonly vainBecause: string
}

/** Starts no cell before the first `tick`. Call `tick` every `limits.process.heartbeatMs`. */
export class CellProcesses {
  readonly #settings: CellProcessesSettings
  readonly #cells = new Map<number, Cell>()
  readonly #seats = new Map<number, SeatRecord>()
  readonly #dispatch = dispatcher<FromCell, [Cell]>(
    'the supervisor',
    {
      ready: ({ failures }, cell) => this.#ready(cell, failures),
      heartbeat: ({ connections, inFlight }, cell) => Object.assign(cell, { connections, inFlight }),
      refused: ({ code, message }, cell) => {
        cell.refusal = message
        this.#settings.onRefused(new BerthError(code, message))
      },
      lost: (message, cell) => this.#lost(cell, message),
      unkept: ({ type: _, ...unkept }, cell) => {
        this.#settings.onUnkept(unkept)
        cell.child.send({ type: 'unkeptTaken' })
      },
    },
    sentence => this.#settings.log.error(sentence),
  )
  #stopping = false
  #isSettingUp: boolean
  /** Whether all have been ready at once. */
  #isComplete = false
  #lastId = 0
  #lastTickAt = now()

  constructor(settings: CellProcessesSettings) {
    this.#settings = settings
    this.#isSettingUp = settings.isSettingUp
    for (let cell = 1; cell <= settings.options.cells; cell++)
      this.#seats.set(cell, { cell, failures: 0, notBefore: 0, faultAt: 0, crashes: 0, vainStarts: 0, vainBecause: '' })
  }

  get allReady(): boolean {
    const ready = new Set(this.#inState('ready').map(cell => cell.cell))
    return ready.size === this.#seats.size
  }

  /** The baselines that some cell could not answer when it was ready. */
  get failures(): SceneFailure[] {
    return [...this.#cells.values()].flatMap(cell => cell.failures)
  }

  /** MB that they hold together, as of the last tick. */
  get rssMB(): number {
    return [...this.#cells.values()].reduce((sum, cell) => sum + cell.rssMB, 0)
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

  /** The cells that end before they are ready, again and again. */
  get troubles(): Trouble[] {
    const failing = [...this.#seats.values()].filter(({ vainStarts }) => vainStarts >= VAIN_STARTS_MIN)
    return failing.map(({ cell, vainStarts, vainBecause }) => ({
      process: `cell ${cell}`,
      problem: `it ended before it was ready, ${vainStarts} times in a row: ${vainBecause}`,
    }))
  }

  /** The base has its first scenes. */
  setUp(): void {
    this.#isSettingUp = false
    for (const { child } of this.#cells.values()) child.send({ type: 'setUp' })
  }

  /** The base is this release's: the cells that have waited for it accept connections. */
  accept(): void {
    for (const { child } of this.#cells.values()) child.send({ type: 'accept' })
  }

  /** Reads how much memory the cells use, sends them their share, and takes the steps that are due. */
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

  /** Kills a cell that is lost and may serve with rights that were revoked. Any other cell is let be. */
  endStale(pid: number): void {
    const cell = [...this.#cells.values()].find(({ child, leaving, killed }) => child.pid === pid && leaving === 'lost' && !killed)
    if (cell !== undefined) this.#kill(cell.id, 'it is lost and has not taken a table in time', true)
  }

  /** Retires every cell and starts none any more. `onChange` is called when the last one has ended. Idempotent. */
  stop(): void {
    this.#stopping = true
    this.#act()
  }

  /** Ends every cell at once. */
  kill(): void {
    this.#stopping = true
    for (const cell of this.#cells.values()) {
      cell.killed = true
      cell.child.kill()
    }
  }

  #inState(state: CellStatus['state']): Cell[] {
    return [...this.#cells.values()].filter(cell => cell.state === state)
  }

  /**
   * While this process did not run (a suspended machine, SIGSTOP), no messages of cells could arrive. That time does not count against
   * them.
   */
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
    const { options } = this.#settings
    const { cellMemoryMB } = options
    const [seats, cells] = [[...this.#seats.values()], [...this.#cells.values()]]
    const steps = plan({ seats, cells, cellMemoryMB, isThrifty: isThrifty(options), stopping: this.#stopping }, now())
    for (const step of steps) this.#do(step)
    if (steps.length > 0) this.#settings.onChange()
  }

  #do(step: Step): void {
    if (step.do === 'start') this.#start(step.cell)
    if (step.do === 'replace') this.#replace(step.id, step.leaving)
    if (step.do === 'retire') this.#retire(step.id)
    if (step.do === 'kill') this.#kill(step.id, step.why, step.isFault)
  }

  #start(ordinal: number): void {
    const { options, handle, entry, log, wall, generation } = this.#settings
    const id = ++this.#lastId
    const services = options.services.map(({ file }) => file)
    const command = roleCommand('cell', options.data, { entry, services, wall, isThrifty: isThrifty(options) })
    const blackBox = this.#openBlackBox(id)
    const events: ChildEvents<FromCell> = {
      onMessage: message => this.#receive(id, message),
      onEnd: (how, signal) => this.#ended(id, how, signal),
    }
    const isHeir = this.#settings.isHeir && !this.#isComplete
    const heir = { generation, isHeir, takesChanges: false }
    const start = { type: 'start', options, cell: ordinal, wall: wall.plan, isSettingUp: this.#isSettingUp, ...heir } as const
    const child = startChild<FromCell, ToCell>(command, start, handle, events, blackBox ?? 'ignore')
    const times = { startedAt: now(), beatAt: now(), lostAt: 0, retiringAt: 0 }
    const fresh = {
      state: 'starting',
      leaving: undefined,
      killed: false,
      killedFor: undefined,
      refusal: undefined,
      failures: [],
      connections: 0,
      inFlight: 0,
      rssMB: 0,
    } as const
    this.#cells.set(id, { id, cell: ordinal, child, blackBox, startedWhen: new Date(), ...times, ...fresh })
    log.debug({ cell: ordinal, pid: child.pid }, 'cell started')
  }

  /** Without a black box the end of a cell names no suspects, but a full disk must not keep a cell from being replaced. */
  #openBlackBox(id: number): number | undefined {
    try {
      return openBlackBox(join(this.#settings.options.data, `cell-${process.pid}-${id}.box`))
    } catch (error) {
      this.#settings.log.warn({ err: error }, 'a cell goes without a black box')
      return undefined
    }
  }

  #receive(id: number, message: FromCell): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    cell.beatAt = now()
    this.#dispatch(message, cell)
  }

  #ready(cell: Cell, failures: readonly SceneFailure[]): void {
    cell.state = 'ready'
    cell.failures = failures
    this.#noteStart(cell, undefined)
    this.#isComplete ||= this.allReady
    this.#settings.log.info({ cell: cell.cell, pid: cell.child.pid, ms: Math.round(now() - cell.startedAt) }, 'cell ready')
    // Until the cells know of each other, they enforce more than their shares of the limits. So they are sent their shares at once.
    this.#share()
    this.#act()
    this.#settings.onChange()
  }

  /** A cell is lost once. Another version that it is lost to later gets the blame when it costs the next cell. */
  #lost(cell: Cell, { reason, suspect }: Lost): void {
    const { log } = this.#settings
    log.warn({ cell: cell.cell, pid: cell.child.pid, reason, ...suspect }, 'cell is lost')
    if (cell.leaving === 'lost') return
    this.#settings.onFault(`cell ${cell.cell} is lost: ${reason}`)
    const running = cell.blackBox === undefined ? [] : readBlackBox(cell.blackBox)
    this.#noteLoss(cell, reason, suspect === undefined ? running.map(unnamed) : [named(suspect, running)])
    cell.lostAt = now()
    this.#replace(cell.id, 'lost')
    this.#act()
  }

  /** When no code ran, nothing speaks against any. */
  #noteLoss({ cell, child }: Cell, why: string, suspects: readonly Suspect[], endedItself = false): void {
    if (suspects.length > 0) this.#settings.onLoss({ cell, pid: child.pid, at: new Date().toISOString(), why, endedItself, suspects })
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
    // A fault makes the seat back off: a cell that soon outgrows its memory would otherwise be replaced without pause.
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

  #kill(id: number, why: string, isFault: boolean): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    cell.killed = true
    if (isFault) cell.killedFor = why
    cell.child.kill()
    this.#settings.log.warn({ cell: cell.cell, pid: cell.child.pid, why }, 'cell killed')
  }

  #ended(id: number, how: string, signal: NodeJS.Signals | null): void {
    const cell = this.#cells.get(id)
    if (!cell) return
    this.#cells.delete(id)
    const { log, onChange } = this.#settings
    const running = cell.blackBox === undefined ? [] : closeBlackBox(cell.blackBox)
    const expected = cell.state === 'retiring' || this.#stopping
    const what = { cell: cell.cell, pid: cell.child.pid, state: cell.state, how, ...this.#explain(cell, signal, running) }
    log[expected ? 'info' : 'warn'](what, 'cell ended')
    if (!expected && cell.state === 'starting') this.#noteStart(cell, cell.refusal ?? how)
    if (!expected) this.#settings.onFault(`cell ${cell.cell} ended (${cell.refusal ?? how})`)
    // The fault of a lost cell was counted when it said that it is lost, and so was the loss.
    if (!expected && cell.leaving !== 'lost') this.#fault(cell, true)
    if (!this.#stopping && cell.leaving !== 'lost' && endedByCode(cell, signal)) {
      // A retiring cell ends its services and isolates too, so what ends it need not be the code that ran.
      this.#noteLoss(cell, cell.killedFor ?? how, running.map(unnamed), !cell.killed && cell.state !== 'retiring')
    }
    this.#act()
    onChange()
  }

  /** @param failure why it was in vain; undefined when the cell is ready */
  #noteStart({ cell }: Cell, failure: string | undefined): void {
    const seat = this.#seats.get(cell)
    if (seat) this.#seats.set(cell, { ...seat, vainStarts: failure === undefined ? 0 : seat.vainStarts + 1, vainBecause: failure ?? '' })
  }

  /** The code that was running is suspect only when the cell ended by itself, as lost cells do, or had to be killed by this process. */
  #explain(cell: Cell, signal: NodeJS.Signals | null, running: readonly RunningSlot[]): object {
    if (cell.killed || cell.leaving === 'lost' || signal === null || faultSignals.includes(signal))
      return running.length > 0 ? { suspects: running } : {}
    const bystanders = running.length > 0 ? { running } : {}
    if (signal !== 'SIGKILL' || !this.#settings.memory.noteKill()) {
      const endedItself = cell.state === 'retiring' && signal === 'SIGKILL'
      return endedItself ? {} : { why: 'something outside of the base ended it', ...bystanders }
    }
    const { rssMB } = cell
    const { cellMemoryMB } = this.#settings.options
    const over = rssMB > cellMemoryMB ? `. It was over the ${cellMemoryMB} MB that a cell may hold: look at what its scenes keep` : ''
    return { why: `memory is short, so the kernel ended it: ${MEMORY_ADVICE}${over}`, rssMB, cellMemoryMB, ...bystanders }
  }

  /** A lost cell goes on costing a processor, and other scenes wait for its heir. So that starts after a short pause at most. */
  #fault(cell: Cell, crash: boolean): void {
    const seat = this.#seats.get(cell.cell)
    if (!seat) return
    const crashes = seat.crashes + (crash ? 1 : 0)
    const pauseMsMax = cell.leaving === 'lost' ? limits.process.heirMsMax : undefined
    const changed = afterFault({ ...seat, crashes }, now() - cell.startedAt, now(), pauseMsMax)
    this.#seats.set(cell.cell, changed)
    // The pause may be over before the next tick. This timer does not keep a base alive that has stopped.
    setTimeout(() => this.#act(), Math.ceil(changed.notBefore - now()) + 1).unref()
  }
}

/** A single start may fail by chance. */
const VAIN_STARTS_MIN = 2

/** Signals that a process gets for what its own code does. */
const faultSignals: readonly NodeJS.Signals[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS']

/** Whether what the cell did was its end: then the code that ran in it may be the cause. Retired cells, and those that others kill, are not. */
function endedByCode(cell: Cell, signal: NodeJS.Signals | null): boolean {
  if (cell.killed) return cell.killedFor !== undefined
  return signal === null ? cell.state !== 'retiring' : faultSignals.includes(signal)
}

const unnamed = (slot: RunningSlot): Suspect => ({ ...slot, isNamed: false })

/** What the black box knows of the version that the cell has named as well. */
function named(suspect: Omit<Suspect, 'runningMs' | 'isNamed'>, running: readonly RunningSlot[]): Suspect {
  const seen = running.find(({ scene, version }) => scene === suspect.scene && version === suspect.version)
  return { runningMs: 0, ...seen, ...suspect, isNamed: true }
}

const now = (): number => performance.now()
