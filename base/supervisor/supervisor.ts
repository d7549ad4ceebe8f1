/** The small process that must not fail. It owns the listening handle, and starts, watches and replaces the other processes; it does nothing else. */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { removeAddress, urlOf, writeAddress } from '../folder/base-address.ts'
import type { Generation } from '../folder/paths.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { createLog, type Logger } from '../kernel/log.ts'
import { type Machine, thisMachine } from '../kernel/machine.ts'
import { judgeMemory, judgeMemoryBeside, type MemoryVerdict } from '../kernel/memory-plan.ts'
import type { Options } from '../kernel/options.ts'
import { nameOf, RELEASE_BEFORE_SERVES, type Release } from '../kernel/origin.ts'
import type { WallPlan } from '../kernel/wall-plan.ts'
import { cacheFolder, codeSnapshot } from '../process/code-snapshot.ts'
import { release } from '../process/release.ts'
import { planWallHere } from '../process/roles.ts'
import { Wall } from '../process/wall.ts'
import type { Offer } from '../wire/handover-messages.ts'
import type { CellLoss } from '../wire/messages.ts'
import { CellProcesses } from './cell-processes.ts'
import { databaseFormat, type FolderLock, lockFolder, makeShownFolders, restoreFormat } from './folder.ts'
import { bindHandle, type ListenHandle, probePort } from './handle.ts'
import { KeeperProcess } from './keeper-process.ts'
import { Losses } from './losses.ts'
import { MemoryWatch } from './memory-watch.ts'
import { ServiceManager } from './service-manager.ts'
import { type BaseInHand, endInterrupted, Handover } from './succession/handover.ts'
import { Heir, inheritedOptions } from './succession/heir.ts'
import { hasLauncher, isHeir, LauncherLink } from './succession/launcher-link.ts'

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
  const link = hasLauncher ? new LauncherLink() : undefined
  if (link !== undefined && isHeir) return takeOver(options, { ...settings, machine, release: await release() }, link)
  const concern = checkMemory(judgeMemory(options, machine))
  const planning = Promise.all([checkedWall(options), release()])
  const lock = lockFolder(options.data)
  try {
    makeShownFolders(options.data)
    // The supervisor reads this log when it is made.
    endInterrupted(options.data, createLog('base', options.logLevel))
    await probePort('--port', options.port, options.host)
    await probePort('--control-port', options.controlPort, options.controlHost)
    const [plan, running] = await planning
    const scenes = await bindHandle('--port', options.port, options.host)
    const control = await bindHandle('--control-port', options.controlPort, options.controlHost)
    const ports = { port: scenes.port, controlPort: control.port }
    const handles = { handle: scenes.handle, control: control.handle }
    const supervisor = new Supervisor(
      { ...options, ...ports },
      { ...handles, lock, link },
      { ...settings, machine, release: running },
      plan,
    )
    return await supervisor.start(concern)
  } catch (error) {
    lock.release()
    throw error
  }
}

/** @returns what an operator should know. @throws {BerthError} `MEMORY_TOO_SMALL` */
function checkMemory(verdict: MemoryVerdict): string | undefined {
  if (verdict.is === 'refused') throw new BerthError('MEMORY_TOO_SMALL', verdict.message)
  return verdict.is === 'tight' ? verdict.message : undefined
}

/** @throws {BerthError} `WALL_MISSING` */
async function checkedWall({ wall }: Options): Promise<WallPlan> {
  const plan = await planWallHere(wall)
  const missing = plan.layers.filter(({ state }) => state === 'off')
  if (plan.mode === 'require' && missing.length > 0) throw wallMissing(missing)
  return plan
}

/** Milliseconds after which an heir that has refused ends, if the old supervisor does not end it. */
const REFUSED_MS_MAX = 10_000

/**
 * Takes a base over from the supervisor of another release, which goes on with it when this fails.
 * @throws what keeps this release from it
 */
async function takeOver(given: Options, settings: SupervisorSettings, link: LauncherLink): Promise<Base> {
  const log = createLog('base', given.logLevel)
  const heir = new Heir(link, sentence => log.error(sentence))
  let supervisor: Supervisor | undefined
  void heir.sentAway.then(async () => {
    await supervisor?.end()
    process.exit(1)
  })
  try {
    const { handle, control, ...offer } = await heir.inheritance()
    const options = inheritedOptions(given, offer)
    const concern = checkMemory(judgeMemoryBeside(options, settings.machine, offer.usedMB))
    const plan = await checkedWall(options)
    makeShownFolders(options.data)
    supervisor = new Supervisor(options, { handle, control, link, heir, offer }, settings, plan)
    return await supervisor.takeOver(concern)
  } catch (error) {
    heir.refuse(error)
    // The old supervisor ends this process when it has read why. Were it to end before, only its exit code would be known.
    await delay(REFUSED_MS_MAX)
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

/** What a supervisor has, or takes over from the one of another release. */
interface Estate {
  readonly handle: ListenHandle
  readonly control: ListenHandle
  /** Undefined while another release has the data folder. */
  readonly lock?: FolderLock
  /** Undefined when no launcher has started it. */
  readonly link: LauncherLink | undefined
  readonly heir?: Heir
  readonly offer?: Offer
}

class Supervisor {
  /** The id of this run of the base, which goes on when another release takes over. */
  readonly #id: string
  readonly #release: Release
  readonly #options: Options
  readonly #handle: ListenHandle
  readonly #control: ListenHandle
  readonly #generation: Generation
  readonly #handover: Handover | undefined
  /** What this process takes over, until it has. */
  #heir: Heir | undefined
  readonly #offer: Offer | undefined
  /** Whether processes of another release still answer requests. */
  #isBesideOthers: boolean
  #since = new Date()
  #lock: FolderLock | undefined
  /** The number of the format of the database when its lock was given away. */
  #format: number | undefined
  readonly #log: Logger
  readonly #cells: CellProcesses
  readonly #shared
  #keeper: KeeperProcess
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
  /** Whether another release has the base, and this one only ends what it has begun. */
  #hasLeft = false
  #signalAt = Number.NEGATIVE_INFINITY
  #onKeeperBack: () => void = () => undefined

  constructor(options: Options, estate: Estate, settings: SupervisorSettings, plan: WallPlan) {
    const { entry, machine, release, setUp } = settings
    const { handle, control, lock, link, heir, offer } = estate
    this.#id = offer?.base ?? randomUUID()
    this.#generation = offer?.generation === 0 ? 1 : 0
    this.#heir = heir
    this.#offer = offer
    this.#isBesideOthers = heir !== undefined
    this.#control = control
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
    this.#shared = { options, entry, log: this.#log, memory: this.#memory, wall: this.#wall, generation: this.#generation }
    this.#handover = link && new Handover(this.#inHand(), release, link, this.#log)
    this.#cells = new CellProcesses({
      ...this.#shared,
      handle,
      isHeir: heir !== undefined,
      onFault: why => this.#heir?.refuse(new BerthError('RELEASE_REFUSED', `Cannot serve with this release: ${why}`)),
      isSettingUp: this.#isSettingUp,
      onChange: () => this.#onCellsChange(),
      onRefused: error => this.#onRefused(error),
      onUnkept: unkept => (this.#hasLeft ? this.#handover?.passUnkept(unkept) : this.#keeper.sendUnkept(unkept)),
      onLoss: loss => this.#onLosses([loss]),
    })
    this.#keeper = this.#makeKeeper()
    heir?.onUnkept(unkept => this.#keeper.sendUnkept(unkept))
    heir?.onLosses(losses => this.#onLosses(losses))
  }

  #onLosses(losses: readonly Omit<CellLoss, 'no'>[]): void {
    for (const loss of losses) this.#losses.add(loss)
    if (!this.#hasLeft) this.#keeper.sendLosses(this.#losses.pending)
  }

  #makeKeeper(): KeeperProcess {
    return new KeeperProcess({
      ...this.#shared,
      control: this.#control,
      base: this.#id,
      onRetire: cell => this.#cells.retire(cell),
      onEndStale: pid => this.#cells.endStale(pid),
      onLossesKept: upTo => this.#losses.kept(upTo),
      onStarted: () => this.#reportCells(),
      onReady: () => this.#onKeeperReady(),
      onLost: how => this.#heir?.refuse(new BerthError('RELEASE_REFUSED', `Cannot serve with this release: its keeper ended (${how})`)),
      onUpgrade: asked => this.#handover?.start(asked),
    })
  }

  /** @param concern what an operator should know about the memory */
  async start(concern: string | undefined): Promise<Base> {
    this.#service.status('starting')
    this.#introduce(concern)
    try {
      this.#controlPort = await this.#keeper.start()
    } catch (error) {
      this.#keeper.kill()
      this.#closeHandles()
      throw error
    }
    if (!this.#stopped) {
      this.#publishAddress()
      this.#startTicking()
    }
    return this.#base
  }

  /**
   * Takes the base over. Until every cell serves, a failure leads back to the release before.
   * @throws what keeps this release from it
   */
  async takeOver(concern: string | undefined): Promise<Base> {
    const heir = this.#heir
    if (heir === undefined) throw new Error('There is nobody to take over from')
    this.#introduce(concern)
    const about = await this.#keeper.stand()
    await heir.given(about, this.#keeper.pid)
    this.#lock = lockFolder(this.#options.data)
    this.#controlPort = await this.#keeper.takeOver()
    heir.keeps()
    this.#startTicking()
    return this.#base
  }

  #introduce(concern: string | undefined): void {
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
  }

  #onKeeperReady(): void {
    this.#keeper.sendLosses(this.#losses.pending)
    this.#onKeeperBack()
    this.#onKeeperBack = () => undefined
  }

  #closeHandles(): void {
    this.#handle.close()
    this.#control.close()
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

  /** Ends all other processes at once, and resolves when they have ended. */
  end(): Promise<void> {
    this.#stopped ??= this.#empty.promise
    this.#killAll()
    this.#onCellsChange()
    return this.#empty.promise.then(() => this.#keeper.stop()).then(() => this.#lock?.release())
  }

  #startTicking(): void {
    const tick = () => {
      this.#memory.tick()
      this.#keeper.tick()
      void this.#cells.tick().then(() => this.#reportCells())
      this.#showStatus()
      if (this.#isOwner) this.#service.tick()
    }
    tick()
    this.#ticks = setInterval(tick, limits.process.heartbeatMs)
  }

  /** The keeper ends last, so that what modules logged until their end still arrives. */
  async #drain(): Promise<void> {
    this.#log.info('base stopping')
    if (this.#isOwner) this.#service.stopping()
    if (this.#isOwner) this.#service.status('stopping')
    const deadline = setTimeout(() => {
      this.#log.warn(`base kills what is left after ${limits.process.shutdownMsMax} ms`)
      this.#killAll()
    }, limits.process.shutdownMsMax)
    // Once the cells have closed their handles too, new connections are refused. Otherwise they would wait in a queue that nobody reads.
    this.#handle.close()
    this.#cells.stop()
    await this.#handover?.abort()
    if (!this.#cells.empty) await this.#empty.promise
    this.#control.close()
    await this.#keeper.stop()
    clearTimeout(deadline)
    clearInterval(this.#ticks)
    if (this.#isOwner) removeAddress(this.#options.data)
    this.#lock?.release()
    this.#log.info('base stopped')
  }

  // Another release

  /** The base as it is handed over to another release. */
  #inHand(): BaseInHand {
    const { data } = this.#options
    return {
      data,
      handle: this.#handle,
      control: this.#control,
      offer: failing => this.#makeOffer(failing),
      stopKeeper: () => this.#stopKeeper(),
      takeBack: () => this.#takeBack(),
      leave: () => void this.#leave(),
      onChange: () => this.#onUpgradeChange(),
    }
  }

  #onUpgradeChange(): void {
    this.#showStatus()
    this.#reportCells()
  }

  #makeOffer(failing: readonly string[]): Offer {
    const { data, host, port, controlHost } = this.#options
    const usedMB = this.#cells.rssMB + limits.memory.launcherMB + limits.memory.supervisorMB + limits.memory.keeperMB
    const place = { data, host, port, controlHost, controlPort: this.#controlPort }
    return { base: this.#id, ...place, generation: this.#generation, usedMB, failing }
  }

  /** One that hangs is killed, as it would be at any other time. */
  async #stopKeeper(): Promise<void> {
    const late = setTimeout(() => this.#keeper.kill(), limits.process.keeperStopMsMax)
    await this.#keeper.stop()
    clearTimeout(late)
    this.#format = databaseFormat(this.#options.data)
    this.#lock?.release()
    this.#lock = undefined
  }

  /** The cells serve on meanwhile. */
  async #takeBack(): Promise<void> {
    const { data } = this.#options
    while (this.#lock === undefined && !this.#stopped) {
      try {
        this.#lock = lockFolder(data)
      } catch (error) {
        this.#log.error({ err: error }, 'the data folder cannot be had back: it is tried again')
        await delay(limits.process.heartbeatMs)
      }
    }
    if (this.#stopped) return
    if (restoreFormat(data, this.#format))
      this.#log.warn({ format: this.#format }, 'the database is again what it was before the other release')
    this.#keeper = this.#makeKeeper()
    const back = new Promise<void>(resolve => {
      this.#onKeeperBack = resolve
    })
    this.#keeper.startAgain(this.#controlPort)
    await back
  }

  /** The requests under way are answered, and then this process ends: nothing of the base is its own any more. */
  async #leave(): Promise<void> {
    this.#hasLeft = true
    this.#log.info('another release has the base: the cells of this one end')
    setTimeout(() => this.#killAll(), limits.process.shutdownMsMax)
    this.#closeHandles()
    this.#cells.stop()
    if (!this.#cells.empty) await this.#empty.promise
    this.#handover?.passLosses(this.#losses.pending)
    await this.#handover?.passed
    process.exit(0)
  }

  /** Every cell serves. What could be answered before must be answered now; then the base is this supervisor's. */
  async #inherit(heir: Heir): Promise<void> {
    const before = new Set(this.#offer?.failing)
    const failure = this.#cells.failures.find(({ scene, version }) => !before.has(`${scene}/${version}`))
    if (failure !== undefined) {
      const { scene, version, code, message } = failure
      heir.refuse(
        new BerthError('RELEASE_REFUSED', `Cannot serve scene "${scene}" with this release: version ${version}: ${message} (${code})`),
      )
      return
    }
    await heir.owner(`${this.#options.cells} cells`)
    this.#cells.accept()
    this.#heir = undefined
    this.#since = new Date()
    this.#publishAddress()
    this.#noteDone()
    void heir.alone.then(() => this.#stayAlone())
    this.#announce()
    this.#reportCells()
  }

  #noteDone(): void {
    try {
      this.#handover?.noteDone()
    } catch (error) {
      this.#log.warn({ err: error }, 'the log of the upgrade cannot be written')
    }
  }

  /** Nothing answers any more that would not hear of a change. */
  #stayAlone(): void {
    this.#isBesideOthers = false
    this.#keeper.takeChanges()
    this.#showStatus()
    this.#reportCells()
    this.#log.info('the release before has ended')
  }

  /** Whether this process speaks for the base: another release may have it still, or already. */
  get #isOwner(): boolean {
    return this.#heir === undefined && !this.#hasLeft
  }

  /** Why another release cannot take over now; null when it can. */
  get #fixed(): string | null {
    if (this.#handover === undefined) return 'it was not started by "base start" of a release that can upgrade it'
    if (this.#stopped || this.#hasLeft) return 'it is stopping'
    if (!this.#isComplete || this.#isSettingUp || this.#heir !== undefined) return 'it is still starting'
    if (this.#isBesideOthers) return RELEASE_BEFORE_SERVES
    return this.#handover.isUnderWay ? 'an upgrade is under way' : null
  }

  #killAll(): void {
    this.#cells.kill()
    this.#keeper.kill()
  }

  #onSignal(signal: (typeof signals)[number]): void {
    const time = performance.now()
    const echo = time - this.#signalAt < limits.process.signalDebounceMs
    const isFirst = this.#signalAt === Number.NEGATIVE_INFINITY
    this.#signalAt = time
    // What has left the base is about to end, and has nothing else to stop.
    if (echo || (this.#hasLeft && isFirst)) return
    if (!this.#stopped && !this.#hasLeft) return void this.stop().then(() => process.exit(0))
    this.#log.warn({ signal }, 'base exits at once')
    this.#killAll()
    if (this.#isOwner) removeAddress(this.#options.data)
    process.exit(128 + constants.signals[signal])
  }

  #onCellsChange(): void {
    if (this.#cells.empty && (this.#stopped || this.#hasLeft)) this.#empty.resolve()
    if (this.#cells.allReady && !this.#isComplete) void this.#complete()
    if (this.#reportDue) return
    // Changes seldom come alone: those of this turn of the event loop are reported together.
    this.#reportDue = true
    setImmediate(() => this.#reportCells())
  }

  /** A base that has been complete goes on with the cells it has, and starts the cell that refused again. One that has not been stops. */
  #onRefused(error: BerthError): void {
    if (this.#heir !== undefined) this.#heir.refuse(error)
    else if (this.#isComplete) this.#log.error({ code: error.code }, error.message)
    else this.#fail(error)
  }

  #fail(error: unknown): void {
    void this.stop().then(() => this.#ready.reject(error))
  }

  async #complete(): Promise<void> {
    this.#isComplete = true
    if (this.#heir !== undefined) return this.#inherit(this.#heir)
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

  #showStatus(): void {
    if (this.#isOwner && !this.#stopped) this.#service.status(this.#describe())
  }

  /** What it does, in a line for the service manager. */
  #describe(): string {
    const { statuses, troubles } = this.#cells
    const { host, port, cells } = this.#options
    const ready = `${new Set(statuses.filter(({ state }) => state === 'ready').map(({ cell }) => cell)).size} of ${cells} cells ready`
    const wrong = troubles.map(({ process, problem }) => `; ${process}: ${problem}`).join('')
    if (!this.#isComplete || this.#isSettingUp) return `starting: ${ready}${wrong}`
    return `serving on ${urlOf(host, port)}: ${ready}${wrong}${this.#describeUpgrade()}`
  }

  /** What the release before has said last may arrive late. So this one says something new once it is alone. */
  #describeUpgrade(): string {
    const heir = this.#handover?.heir
    if (heir !== undefined) return `; upgrading to ${nameOf(heir)}`
    return this.#isBesideOthers ? '; the release before answers its last requests' : ''
  }

  #reportCells(): void {
    this.#reportDue = false
    const { statuses, troubles } = this.#cells
    const release = { ...this.#release, since: this.#since.toISOString(), fixed: this.#fixed }
    this.#keeper.sendReport({ cells: statuses, isSettingUp: this.#isSettingUp, troubles, release, upgrade: this.#handover?.upgrade })
  }
}
