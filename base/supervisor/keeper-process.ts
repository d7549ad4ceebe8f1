/** The process of the keeper. It is started first, started again when it ends, and stopped last. The cells serve on without it. */
import type { Generation } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import { isThrifty } from '../kernel/memory-plan.ts'
import type { Options } from '../kernel/options.ts'
import { roleCommand } from '../process/roles.ts'
import type { Wall } from '../process/wall.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { CellLoss, FromKeeper, ToKeeper, Unkept } from '../wire/messages.ts'
import { type Child, startChild } from './child.ts'
import type { ListenHandle } from './handle.ts'
import { MEMORY_ADVICE, type MemoryWatch } from './memory-watch.ts'
import { afterFault } from './plan.ts'

export interface KeeperProcessSettings {
  /** The id of this run of the base. */
  readonly base: string
  /** The options of the base, with the real port. */
  readonly options: Options
  readonly entry: string | undefined
  readonly log: Logger
  readonly memory: MemoryWatch
  readonly wall: Wall
  /** The listening handle of the control port. Connections wait in its queue while no keeper runs. */
  readonly control: ListenHandle
  readonly generation: Generation
  /** Called when an operator wants this cell replaced. */
  readonly onRetire: (cell: number) => void
  /** Called when the lost cell with this process has to end at once. */
  readonly onEndStale: (pid: number) => void
  /** Called when the keeper has kept the losses up to this number. */
  readonly onLossesKept: (upTo: number) => void
  /** Called when the keeper is started, for the first time or again. It knows nothing of the cells then, and acknowledges changes once it is ready. */
  readonly onStarted: () => void
  /** Called when the keeper is ready, for the first time or again. */
  readonly onReady: () => void
  /** Called when a keeper that was ready has ended, and is about to be started again. */
  readonly onLost: (how: string) => void
  /** Called when somebody wants the base upgraded. */
  readonly onUpgrade: (asked: UpgradeAsked) => void
}

export type UpgradeAsked = Extract<FromKeeper, { type: 'upgrade' }>

/** What the supervisor itself has to say to the keeper. */
export type SupervisorReport = Pick<Extract<ToKeeper, { type: 'cells' }>, 'cells' | 'isSettingUp' | 'troubles' | 'release' | 'upgrade'>

export class KeeperProcess {
  readonly #settings: KeeperProcessSettings
  readonly #first = Promise.withResolvers<number>()
  readonly #gone = Promise.withResolvers<void>()
  readonly #proved = Promise.withResolvers<string>()
  readonly #dispatch = dispatcher<FromKeeper>(
    'the supervisor',
    {
      ready: ({ controlPort }) => this.#ready(controlPort),
      // Any message counts as a heartbeat.
      heartbeat: () => undefined,
      retire: ({ cell }) => this.#settings.onRetire(cell),
      endStale: ({ pid }) => this.#settings.onEndStale(pid),
      lossesKept: ({ upTo }) => this.#settings.onLossesKept(upTo),
      refused: ({ code, message }) => this.#refused(new BerthError(code, message)),
      proved: ({ about }) => this.#proved.resolve(about),
      upgrade: asked => this.#settings.onUpgrade(asked),
    },
    sentence => this.#settings.log.error(sentence),
  )
  #child: Child<ToKeeper> | undefined
  /**
   * The port of the control API, known once the keeper was ready. A keeper that is started again takes the same port, even if the system
   * chose it.
   */
  #controlPort: number | undefined
  #seat = { cell: 0, failures: 0, notBefore: 0, faultAt: 0, vainStarts: 0 }
  #startedAt = 0
  /** When the last message of the keeper came, by `performance.now()`. */
  #beatAt = 0
  /** Whether this child has been ready: from then on it sends heartbeats. */
  #isBeating = false
  /** Whether this child has been killed from here. It may not have ended yet. */
  #killed = false
  #tickAt = performance.now()
  #timer: NodeJS.Timeout | undefined
  #stopping = false
  /** Whether no other release serves, as it is from the beginning unless the keeper stands by. */
  #takesChanges = true

  constructor(settings: KeeperProcessSettings) {
    this.#settings = settings
  }

  /**
   * Starts it. Once it was ready, it is started again whenever it ends, with growing pauses.
   * @returns the port of the control API. Stays pending when the keeper is stopped before it is ready.
   * @throws {BerthError} why the keeper refused, or `INTERNAL` when it ended before it was ready.
   */
  start(): Promise<number> {
    this.#spawn()
    return this.#first.promise
  }

  /** Starts one that was stopped from here, on the port that it had. It is started again whenever it ends, also before it is ready. */
  startAgain(controlPort: number): void {
    this.#controlPort = controlPort
    this.#first.promise.catch(() => undefined)
    this.#spawn()
  }

  /**
   * Starts one that waits for `takeOver`, because the keeper of another release still has the data folder.
   * @returns what it has found in a copy of the data folder, for people
   * @throws {BerthError} as `start`
   */
  stand(): Promise<string> {
    this.#spawn(true)
    return Promise.race([this.#proved.promise, this.#first.promise.then(() => this.#proved.promise)])
  }

  /** Has the keeper that `stand` has started take the data folder. @returns and throws as `start` */
  takeOver(): Promise<number> {
    this.#child?.send({ type: 'takeOver' })
    return this.#first.promise
  }

  /** From now on it acknowledges changes. */
  takeChanges(): void {
    this.#takesChanges = true
    this.#child?.send({ type: 'takeChanges' })
  }

  /** Kills a keeper that hangs, so that it is started again. Call it every `limits.process.heartbeatMs`. */
  tick(): void {
    const now = performance.now()
    // While this process did not run, no message of the keeper could arrive. That time does not count against it.
    const absentMs = now - this.#tickAt - limits.process.heartbeatMs
    this.#tickAt = now
    if (absentMs > limits.process.heartbeatMs) this.#beatAt += absentMs
    const silentMs = now - this.#beatAt
    if (this.#child === undefined || !this.#isBeating || silentMs < limits.process.heartbeatLostMsMax) return
    this.#settings.log.warn({ pid: this.#child.pid }, `keeper killed: it gave no sign for ${Math.round(silentMs)} ms`)
    this.#beatAt = now
    this.#killed = true
    this.#child.kill()
  }

  /** 0 while there is none. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  sendReport(report: SupervisorReport): void {
    const { base, memory, options, wall } = this.#settings
    this.#child?.send({ type: 'cells', base, ...report, port: options.port, memory: memory.status, wall: wall.plan.layers })
  }

  /** Sends what the keeper has not kept. Call it with every loss, and whenever the keeper is ready. */
  sendLosses(losses: readonly CellLoss[]): void {
    if (losses.length > 0) this.#child?.send({ type: 'losses', losses })
  }

  /** Passes on what a cell has not got to a keeper. It is lost when there is no keeper either. */
  sendUnkept(unkept: Unkept): void {
    this.#child?.send({ type: 'unkept', ...unkept })
  }

  /** Asks it to stop, and resolves when it is gone. Idempotent. */
  stop(): Promise<void> {
    this.#stopping = true
    if (this.#child) this.#child.send({ type: 'stop' })
    else this.#finish()
    return this.#gone.promise
  }

  /** Ends it at once, and for good. */
  kill(): void {
    this.#stopping = true
    if (this.#child) this.#child.kill()
    else this.#finish()
  }

  #finish(): void {
    clearTimeout(this.#timer)
    this.#gone.resolve()
  }

  /** @param standsBy whether it waits for the data folder, and then for the end of another release */
  #spawn(standsBy = false): void {
    const { entry, log, wall, control, generation } = this.#settings
    if (standsBy) this.#takesChanges = false
    const options = { ...this.#settings.options, controlPort: this.#controlPort ?? this.#settings.options.controlPort }
    this.#startedAt = performance.now()
    this.#beatAt = this.#startedAt
    this.#isBeating = false
    this.#killed = false
    const child = startChild<FromKeeper, ToKeeper>(
      roleCommand('keeper', options.data, { entry, isThrifty: isThrifty(options) }),
      {
        type: 'start',
        options,
        cell: 0,
        wall: wall.plan,
        isSettingUp: false,
        generation,
        isHeir: standsBy,
        takesChanges: this.#takesChanges,
      },
      control,
      {
        onMessage: message => this.#receive(message),
        onEnd: (how, signal) => this.#ended(how, signal),
      },
    )
    this.#child = child
    this.#settings.onStarted()
    // How long one may stand by is not decided here.
    if (standsBy) return
    this.#timer = setTimeout(() => {
      log.warn({ pid: child.pid }, `keeper killed: it was not ready within ${limits.process.readyMsMax} ms`)
      this.#killed = true
      child.kill()
    }, limits.process.readyMsMax)
  }

  #receive(message: FromKeeper): void {
    this.#beatAt = performance.now()
    this.#dispatch(message)
  }

  /** The first start fails with the error. A later one is tried again, as after any other end of the keeper. */
  #refused(error: BerthError): void {
    if (this.#controlPort !== undefined) this.#settings.log.error({ code: error.code }, error.message)
    this.#first.reject(error)
  }

  #ready(controlPort: number): void {
    clearTimeout(this.#timer)
    this.#controlPort = controlPort
    this.#isBeating = true
    this.#settings.log.info({ pid: this.#child?.pid, controlPort }, 'keeper ready')
    this.#first.resolve(controlPort)
    this.#settings.onReady()
  }

  #ended(how: string, signal: NodeJS.Signals | null): void {
    clearTimeout(this.#timer)
    this.#child = undefined
    const isShort = signal === 'SIGKILL' && !this.#killed && this.#settings.memory.noteKill()
    const why = isShort ? `memory is short, so the kernel ended it: ${MEMORY_ADVICE}` : undefined
    if (this.#stopping) this.#finish()
    else if (this.#controlPort !== undefined) this.#startAgain(how, why)
    else if (why !== undefined) this.#first.reject(new BerthError('MEMORY_SHORT', `Cannot start the keeper: ${why}`))
    else this.#first.reject(new BerthError('INTERNAL', `Cannot start the keeper: it ended with ${how} before it was ready`))
  }

  #startAgain(how: string, why: string | undefined): void {
    const time = performance.now()
    this.#seat = afterFault(this.#seat, time - this.#startedAt, time)
    const delayMs = this.#seat.notBefore - time
    this.#settings.onLost(how)
    this.#settings.log.warn({ how, ...(why !== undefined && { why }), delayMs }, 'keeper ended; cells serve on while it is started again')
    this.#timer = setTimeout(() => this.#spawn(), delayMs)
  }
}
