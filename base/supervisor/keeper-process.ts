/** The keeper's process: started first, started again when it ends, stopped last. The cells serve on without it. */
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import type { Logger } from '../kernel/log.ts'
import type { Options } from '../kernel/options.ts'
import { roleCommand } from '../process/roles.ts'
import type { CellStatus, FromKeeper, ToKeeper } from '../wire/messages.ts'
import { type Child, startChild } from './child.ts'
import { afterFault } from './plan.ts'

export interface KeeperSettings {
  /** With the real port. */
  readonly options: Options
  readonly entry: string | undefined
  readonly log: Logger
  /** An operator wants this cell replaced. */
  readonly onRetire: (cell: number) => void
  /** It is there, for the first time or again, and knows nothing of the cells. */
  readonly onReady: () => void
}

export class Keeper {
  readonly #settings: KeeperSettings
  readonly #first = Promise.withResolvers<number>()
  readonly #gone = Promise.withResolvers<void>()
  #child: Child<ToKeeper> | undefined
  /** Known from the first start on: a keeper that starts again takes the same, also when the system chose it. */
  #controlPort: number | undefined
  #seat = { cell: 0, failures: 0, notBefore: 0 }
  #startedAt = 0
  /** When it last said anything. */
  #beatAt = 0
  /** Whether this child has been ready: it beats from then on. */
  #beats = false
  #tickAt = performance.now()
  #timer: NodeJS.Timeout | undefined
  #stopping = false

  constructor(settings: KeeperSettings) {
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

  /** Ends a keeper that has hung: it is started again then. To be called every `limits.process.heartbeatMs`. */
  tick(): void {
    const now = performance.now()
    // Time in which this process did not run is nobody's silence.
    const absentMs = now - this.#tickAt - limits.process.heartbeatMs
    this.#tickAt = now
    if (absentMs > limits.process.heartbeatMs) this.#beatAt += absentMs
    const silentMs = now - this.#beatAt
    if (this.#child === undefined || !this.#beats || silentMs < limits.process.heartbeatLostMsMax) return
    this.#settings.log.warn({ pid: this.#child.pid }, `keeper killed: it gave no sign for ${Math.round(silentMs)} ms`)
    this.#beatAt = now
    this.#child.kill()
  }

  tellCells(cells: readonly CellStatus[]): void {
    this.#child?.send({ type: 'cells', cells, port: this.#settings.options.port })
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

  #spawn(): void {
    const { entry, log } = this.#settings
    const options = { ...this.#settings.options, controlPort: this.#controlPort ?? this.#settings.options.controlPort }
    this.#startedAt = performance.now()
    this.#beatAt = this.#startedAt
    this.#beats = false
    const child = startChild<FromKeeper, ToKeeper>(
      roleCommand('keeper', options.data, entry),
      { type: 'start', options, cell: 0 },
      undefined,
      {
        onMessage: message => this.#receive(message),
        onEnd: how => this.#ended(how),
      },
    )
    this.#child = child
    this.#timer = setTimeout(() => {
      log.warn({ pid: child.pid }, `keeper killed: it was not ready within ${limits.process.readyMsMax} ms`)
      child.kill()
    }, limits.process.readyMsMax)
  }

  #receive(message: FromKeeper): void {
    this.#beatAt = performance.now()
    if (message.type === 'ready') this.#ready(message.controlPort)
    if (message.type === 'retire') this.#settings.onRetire(message.cell)
    if (message.type === 'refused') {
      // Only the first start can still be given up; a later one is tried again, as after any other end.
      if (this.#controlPort !== undefined) this.#settings.log.error({ code: message.code }, message.message)
      this.#first.reject(new BerthError(message.code, message.message))
    }
  }

  #ready(controlPort: number): void {
    clearTimeout(this.#timer)
    this.#controlPort = controlPort
    this.#beats = true
    this.#settings.log.info({ pid: this.#child?.pid, controlPort }, 'keeper ready')
    this.#first.resolve(controlPort)
    this.#settings.onReady()
  }

  #ended(how: string): void {
    clearTimeout(this.#timer)
    this.#child = undefined
    if (this.#stopping) this.#finish()
    else if (this.#controlPort !== undefined) this.#startAgain(how)
    else this.#first.reject(new BerthError('INTERNAL', `Cannot start the keeper: it ended with ${how} before it was ready`))
  }

  #startAgain(how: string): void {
    const time = performance.now()
    this.#seat = afterFault(this.#seat, time - this.#startedAt, time)
    const delayMs = this.#seat.notBefore - time
    this.#settings.log.warn({ how, delayMs }, 'keeper ended; cells serve on while it is started again')
    this.#timer = setTimeout(() => this.#spawn(), delayMs)
  }
}
