/** The small process that must not fail. It owns the listening handle, and starts, watches and replaces the other processes; it does nothing else. */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:os'
import { removeAddress, urlOf, writeAddress } from '../folder/base-address.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { createLog, type Logger } from '../kernel/log.ts'
import { type Machine, thisMachine } from '../kernel/machine.ts'
import { judgeMemory } from '../kernel/memory-plan.ts'
import type { Options } from '../kernel/options.ts'
import type { Release } from '../kernel/origin.ts'
import type { WallPlan } from '../kernel/wall-plan.ts'
import { cacheFolder, codeSnapshot } from '../process/code-snapshot.ts'
import { release } from '../process/release.ts'
import { planWallHere } from '../process/roles.ts'
import { Wall } from '../process/wall.ts'
import { CellProcesses } from './cell-processes.ts'
import { type FolderLock, lockFolder, makeShownFolders } from './folder.ts'
import { bindHandle, type ListenHandle, probePort } from './handle.ts'
import { KeeperProcess } from './keeper-process.ts'
import { Losses } from './losses.ts'
import { MemoryWatch } from './memory-watch.ts'
import { ServiceManager } from './service-manager.ts'

export interface Base {
  /** Where scenes answer, also when the system chose it. */
  readonly port: number
  readonly controlPort: number
  /**
   * Resolves when every cell is ready for the first time and the base is set up; stays pending when the base stops before.
   * @throws {BerthError} `SERVICE_START_FAILED` when a cell cannot start before that, for a reason that an operator has to mend, and `INTERNAL` when its
   * code cannot be loaded. The base has stopped then, as it has when `setUp` throws.
   */
  readonly ready: Promise<void>
  /** Drains and ends all other processes within `limits.process.shutdownMsMax`. Idempotent. */
  stop(): Promise<void>
}

export interface StartSettings {
  /**
   * Gives the base its first scenes. It is called when every cell is ready; until it has settled, the base does not say that it is ready, and a scene
   * that is not there is answered `BASE_NOT_READY`.
   */
  readonly setUp?: ((base: Base) => Promise<void>) | undefined
  /** Another file than `base/main.ts` to start the other processes with. */
  readonly entry?: string
  /** For tests. */
  readonly machine?: Machine | undefined
}

/**
 * Makes this process the supervisor of a base. A first SIGTERM, SIGINT or SIGHUP stops the base and exits 0, a second exits at once with 128 + its number.
 * @returns when the keeper is ready and the cells are starting.
 * @throws {BerthError} what an operator has to mend (`MEMORY_TOO_SMALL`, `WALL_MISSING`, `DATA_LOCKED`, `DATA_UNWRITABLE`, `STORE_FULL`, `PORT_TAKEN`, `PORT_DENIED`, what the keeper refuses); nothing is left running.
 */
export async function startBase(options: Options, settings: StartSettings = {}): Promise<Base> {
  const { machine = thisMachine } = settings
  const verdict = judgeMemory(options, machine)
  if (verdict.is === 'refused') throw new BerthError('MEMORY_TOO_SMALL', verdict.message)
  const planning = Promise.all([planWallHere(options.wall), release()])
  const lock = lockFolder(options.data)
  try {
    makeShownFolders(options.data)
    await probePort('--port', options.port, options.host)
    await probePort('--control-port', options.controlPort, options.controlHost)
    const [plan, running] = await planning
    const missing = plan.layers.filter(({ state }) => state === 'off')
    if (plan.mode === 'require' && missing.length > 0) throw wallMissing(missing)
    const { handle, port } = await bindHandle('--port', options.port, options.host)
    const supervisor = new Supervisor({ ...options, port }, handle, lock, { ...settings, machine, release: running }, plan)
    return await supervisor.start(verdict.is === 'tight' ? verdict.message : undefined)
  } catch (error) {
    lock.release()
    throw error
  }
}

const wallMissing = (missing: WallPlan['layers']): BerthError =>
  new BerthError('WALL_MISSING', `Cannot confine modules: ${missing.map(({ layer, detail }) => `${layer}: ${detail}`).join('; ')}`)

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

interface SupervisorSettings extends StartSettings {
  readonly machine: Machine
  readonly release: Release
}

class Supervisor {
  /** The id of this run of the base. */
  readonly #id = randomUUID()
  readonly #release: Release
  readonly #options: Options
  readonly #handle: ListenHandle
  readonly #lock: FolderLock
  readonly #log: Logger
  readonly #cells: CellProcesses
  readonly #keeper: KeeperProcess
  readonly #memory: MemoryWatch
  readonly #losses = new Losses()
  readonly #wall: Wall
  readonly #service: ServiceManager
  readonly #setUp: StartSettings['setUp']
  readonly #ready = Promise.withResolvers<void>()
  readonly #empty = Promise.withResolvers<void>()
  #controlPort = 0
  /** Whether every cell has been ready. */
  #isComplete = false
  #isSettingUp: boolean
  #reportDue = false
  #ticks: NodeJS.Timeout | undefined
  #stopped: Promise<void> | undefined
  #signalAt = Number.NEGATIVE_INFINITY

  constructor(options: Options, handle: ListenHandle, lock: FolderLock, settings: SupervisorSettings, plan: WallPlan) {
    const { entry, machine, release, setUp } = settings
    this.#release = release
    this.#setUp = setUp
    this.#isSettingUp = setUp !== undefined
    this.#options = options
    this.#handle = handle
    this.#lock = lock
    this.#log = createLog('base', options.logLevel)
    this.#memory = new MemoryWatch(options, machine)
    this.#service = new ServiceManager(process.env, this.#log)
    this.#wall = new Wall(plan, why => this.#log.error(why))
    const shared = { options, entry, log: this.#log, memory: this.#memory, wall: this.#wall }
    this.#cells = new CellProcesses({
      ...shared,
      handle,
      isSettingUp: this.#isSettingUp,
      onChange: () => this.#onCellsChange(),
      onRefused: error => this.#onRefused(error),
      onLoss: loss => {
        this.#losses.add(loss)
        this.#keeper.sendLosses(this.#losses.pending)
      },
    })
    this.#keeper = new KeeperProcess({
      ...shared,
      base: this.#id,
      release,
      onRetire: cell => this.#cells.retire(cell),
      onEndStale: pid => this.#cells.endStale(pid),
      onLossesKept: upTo => this.#losses.kept(upTo),
      onStarted: () => this.#reportCells(),
      onReady: () => this.#keeper.sendLosses(this.#losses.pending),
    })
  }

  /** @param concern what an operator should know about the memory */
  async start(concern: string | undefined): Promise<Base> {
    this.#service.status('starting')
    const { limitMB, limitFile, neededMB, cores } = this.#memory.status
    const { cells, cellMemoryMB } = this.#options
    this.#log.info({ limitMB, limitFile, neededMB, cores, cells, cellMemoryMB }, 'base has found its memory and processors')
    if (concern !== undefined) this.#log.warn(concern)
    if (codeSnapshot() === undefined)
      this.#log.warn(
        { folder: cacheFolder },
        'the code cannot be copied: processes of the base read it from disk, so restart it after each update',
      )
    this.#describeWall()
    for (const signal of signals) process.on(signal, () => this.#onSignal(signal))
    // Nobody has to wait for this promise: without this handler its rejection would end the process.
    this.#ready.promise.catch(() => undefined)
    try {
      this.#controlPort = await this.#keeper.start()
    } catch (error) {
      this.#keeper.kill()
      this.#handle.close()
      throw error
    }
    if (!this.#stopped) {
      this.#publishAddress()
      this.#startTicking()
    }
    return this.#base
  }

  get #base(): Base {
    return { port: this.#options.port, controlPort: this.#controlPort, ready: this.#ready.promise, stop: () => this.stop() }
  }

  /** Lets commands find the base by its folder. Without the file the base serves as well, and commands need to be told its URL. */
  #publishAddress(): void {
    const { data, host, port, controlHost, mode } = this.#options
    const [scenes, control] = [urlOf(host, port), urlOf(controlHost, this.#controlPort)]
    try {
      writeAddress(data, { id: this.#id, control, scenes, pid: process.pid, mode })
    } catch (error) {
      this.#log.warn({ err: error }, 'commands cannot find this base by its data folder: the file with its address could not be written')
    }
  }

  #describeWall(): void {
    const { mode, layers } = this.#wall.plan
    const isWhole = layers.every(({ state }) => state === 'on')
    const states = Object.fromEntries(layers.map(({ layer, state, detail }) => [layer, `${state}: ${detail}`]))
    this.#log[isWhole || mode === 'off' ? 'info' : 'warn'](
      states,
      isWhole ? 'modules are confined' : 'modules are not confined as they could be',
    )
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#drain()
    return this.#stopped
  }

  #startTicking(): void {
    const tick = () => {
      this.#memory.tick()
      this.#keeper.tick()
      void this.#cells.tick().then(() => this.#reportCells())
      if (!this.#stopped) this.#service.status(this.#describe())
      this.#service.tick()
    }
    tick()
    this.#ticks = setInterval(tick, limits.process.heartbeatMs)
  }

  /** The keeper ends last, so that what modules logged until their end still arrives. */
  async #drain(): Promise<void> {
    this.#log.info('base stopping')
    this.#service.stopping()
    this.#service.status('stopping')
    const deadline = setTimeout(() => {
      this.#log.warn(`base kills what is left after ${limits.process.shutdownMsMax} ms`)
      this.#killAll()
    }, limits.process.shutdownMsMax)
    // Once the cells have closed their handles too, new connections are refused. Otherwise they would wait in a queue that nobody reads.
    this.#handle.close()
    this.#cells.stop()
    if (!this.#cells.empty) await this.#empty.promise
    await this.#keeper.stop()
    clearTimeout(deadline)
    clearInterval(this.#ticks)
    removeAddress(this.#options.data)
    this.#lock.release()
    this.#log.info('base stopped')
  }

  #killAll(): void {
    this.#cells.kill()
    this.#keeper.kill()
  }

  #onSignal(signal: (typeof signals)[number]): void {
    const time = performance.now()
    const echo = time - this.#signalAt < limits.process.signalDebounceMs
    this.#signalAt = time
    if (echo) return
    if (!this.#stopped) return void this.stop().then(() => process.exit(0))
    this.#log.warn({ signal }, 'base exits at once')
    this.#killAll()
    removeAddress(this.#options.data)
    process.exit(128 + constants.signals[signal])
  }

  #onCellsChange(): void {
    if (this.#cells.empty && this.#stopped) this.#empty.resolve()
    if (this.#cells.allReady && !this.#isComplete) void this.#complete()
    if (this.#reportDue) return
    // Changes seldom come alone: those of this turn of the event loop are reported together.
    this.#reportDue = true
    setImmediate(() => this.#reportCells())
  }

  /** A base that has been complete goes on with the cells it has, and starts the cell that refused again. One that has not been stops. */
  #onRefused(error: BerthError): void {
    if (this.#isComplete) this.#log.error({ code: error.code }, error.message)
    else this.#fail(error)
  }

  #fail(error: unknown): void {
    void this.stop().then(() => this.#ready.reject(error))
  }

  async #complete(): Promise<void> {
    this.#isComplete = true
    try {
      await this.#setUp?.(this.#base)
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#isSettingUp = false
    this.#cells.setUp()
    this.#reportCells()
    if (!this.#stopped) this.#announce()
  }

  #announce(): void {
    const { mode, port, host, controlHost, cells } = this.#options
    const { version, commit } = this.#release
    this.#log.info({ mode, port, host, controlPort: this.#controlPort, controlHost, cells, version, commit }, 'base ready')
    this.#service.ready()
    this.#service.status(this.#describe())
    this.#ready.resolve()
  }

  /** What it does, in a line for the service manager. */
  #describe(): string {
    const { statuses, troubles } = this.#cells
    const { host, port, cells } = this.#options
    const ready = `${new Set(statuses.filter(({ state }) => state === 'ready').map(({ cell }) => cell)).size} of ${cells} cells ready`
    const wrong = troubles.map(({ process, problem }) => `; ${process}: ${problem}`).join('')
    return this.#isComplete && !this.#isSettingUp ? `serving on ${urlOf(host, port)}: ${ready}${wrong}` : `starting: ${ready}${wrong}`
  }

  #reportCells(): void {
    this.#reportDue = false
    const { statuses, troubles } = this.#cells
    this.#keeper.sendReport({ cells: statuses, isSettingUp: this.#isSettingUp, troubles })
  }
}
