/** A cell: takes scene requests on the handle it was given, holds slots, follows the keeper's tables. May end at any moment. */
import type { Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { readBlob } from '../folder/blob-files.ts'
import { BerthError, toBerthError } from '../kernel/errors.ts'
import { Guesses } from '../kernel/guesses.ts'
import { limits } from '../kernel/limits.ts'
import { createLog } from '../kernel/log.ts'
import type { Options } from '../kernel/options.ts'
import { endProcess, endWithParent } from '../slot/isolate-process.ts'
import { IsolatedStacks } from '../slot/isolated-stacks.ts'
import type { Whereabouts } from '../slot/kill.ts'
import type { Slots } from '../slot/slots.ts'
import type { SlotPlan } from '../traffic/table.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { FromCell, Start, ToCell } from '../wire/messages.ts'
import { type Serving, serve, serveCall } from './answer.ts'
import { CapsuleFeed } from './capsule-feed.ts'
import { Captures } from './capture.ts'
import { Connections } from './connections.ts'
import { KeeperRequests } from './keeper-requests.ts'
import { LogFeed } from './log-feed.ts'
import { Metrics } from './metrics.ts'
import { ModuleLog } from './module-log.ts'
import { ModuleRuntime } from './module-runtime.ts'
import { Admission } from './scene-admission.ts'
import { createSceneServer, type SceneHandlers } from './scene-port.ts'
import { loadFailure, TableInForce } from './table-in-force.ts'
import { Telemetry } from './telemetry.ts'
import { Whitelists } from './whitelists.ts'

/** Becomes a cell: waits for the supervisor's `start`. */
export function runCell(): void {
  endWithParent()
  process.once('message', (message: ToCell, handle) => {
    if (message.type !== 'start') throw new Error(`A cell starts with "start", not "${message.type}"`)
    const cell = new Cell(message)
    process.on('message', cell.onSupervisor)
    cell.start(handle)
  })
}

class Cell {
  readonly #telemetry: Telemetry
  readonly #feed: LogFeed
  readonly #capsules: CapsuleFeed
  readonly #captures: Captures
  readonly #stacks: IsolatedStacks
  readonly #runtime: ModuleRuntime
  readonly #table: TableInForce
  readonly #admission: Admission
  readonly #connections: Connections
  readonly #server: Server
  readonly #keeper: KeeperRequests
  readonly #guesses = new Guesses(address => this.#keeper.reportGuesses(address))
  readonly #ordinal: number
  readonly #unkeptTaken = Promise.withResolvers<void>()
  /** Whether it may accept connections only after `accept`. */
  readonly #isHeir: boolean
  readonly #mayAccept = Promise.withResolvers<void>()
  #isSettingUp: boolean
  #isRetiring = false
  #isLost = false

  constructor({ options, cell: ordinal, pid, isSettingUp, generation, isHeir }: Start) {
    this.#ordinal = ordinal
    this.#isSettingUp = isSettingUp
    this.#isHeir = isHeir
    const { data } = options
    const log = createLog(`cell-${ordinal}`, options.logLevel)
    const readBlobOf = (digest: string) => readBlob(data, digest)
    this.#feed = new LogFeed(() => this.#keeper.link)
    this.#stacks = new IsolatedStacks(readBlobOf, Math.min(limits.sourceMap.memoryMB, options.cellMemoryMB / 4))
    this.#telemetry = new Telemetry(log, new ModuleLog(log, this.#stacks, this.#feed), this.#createMetrics(ordinal))
    this.#runtime = new ModuleRuntime(options, this.#telemetry, {
      callScene: (scene, input, caller) => serveCall(this.#table.current, serving, scene, input, caller),
      onLost: (plan, reason, where) => this.#onLost(plan, reason, where),
      onLoad: (plan, error) => this.#onLoad(plan, error),
      onTables: () => this.#keeper.reportFeatures(),
    })
    const { slots } = this.#runtime
    this.#capsules = new CapsuleFeed({ link: () => this.#keeper.link, onLost: recording => this.#captures.onLost(recording) })
    this.#captures = this.#createCaptures(options, slots)
    this.#table = new TableInForce({
      log,
      slots,
      features: this.#runtime.tables,
      whitelists: new Whitelists(readBlobOf, (scene, err) =>
        log.error({ scene, err }, 'a whitelist cannot be read: its scene stays as it was'),
      ),
      onTaken: table => {
        this.#runtime.forgetBundles()
        this.#admission.retain(table)
        this.#captures.onTable(table)
        this.#telemetry.onTable(table)
      },
      onTakenAgain: () => this.#keeper.reportTable(),
    })
    this.#admission = new Admission({
      cell: ordinal,
      cells: options.cells,
      bytesMax: Math.min(limits.cell.bytesMax, options.cellMemoryMB * 1024 ** 2 * limits.cell.bytesMemoryShare),
      peek: plan => slots.peek(plan),
      onBreaker: (scene, version, state) => this.#telemetry.onBreaker(scene, version, state),
    })
    const serving: Serving = { slots, admission: this.#admission, guesses: this.#guesses, captures: this.#captures }
    this.#connections = new Connections(connectionsMax())
    this.#server = createSceneServer(options.bodyLimitBytes, this.#createHandlers(serving), this.#connections)
    this.#keeper = new KeeperRequests({
      data,
      generation,
      isAlone: options.cells === 1 && !isHeir,
      aheadMsMax: isHeir ? limits.cell.heirAheadMsMax : limits.cell.aheadMsMax,
      cell: ordinal,
      pid,
      table: this.#table,
      runtime: this.#runtime,
      telemetry: this.#telemetry,
      feed: this.#feed,
      capsules: this.#capsules,
    })
  }

  #createCaptures({ capsules: mode, cells }: Options, slots: Slots): Captures {
    const { log, metrics } = this.#telemetry
    return new Captures({
      mode,
      cells,
      slots,
      feed: this.#capsules,
      countCaptured: why => metrics.countCaptured(why),
      countSkipped: reason => metrics.countSkipped(reason),
      onDefect: (err, { scene, version }) => log.error({ scene, version, err }, 'a defect of Berth: a captured request has no capsule'),
    })
  }

  #createMetrics(ordinal: number): Metrics {
    return new Metrics(ordinal, {
      slots: () => this.#runtime.slots.count,
      inFlight: () => this.#runtime.slots.pending,
      connections: () => this.#connections.count,
      revision: () => this.#table.current.revision,
      breakers: () => this.#admission.breakers(),
      serviceFaults: () => this.#runtime.serviceFaults(),
      hasScene: scene => this.#table.current.scenes.has(scene),
      tokenGuesses: () => this.#guesses.total,
    })
  }

  #createHandlers(serving: Serving): SceneHandlers {
    const table = this.#table
    const telemetry = this.#telemetry
    return {
      enter: request => {
        const scene = table.current.scenes.get(request.sceneAsked)
        request.scene = scene?.id
        return this.#admission.enter(scene)
      },
      exit: (name, bytes) => this.#admission.exit(name, bytes),
      hold: (name, bytes) => this.#admission.hold(name, bytes),
      serve: request => {
        if (this.#isSettingUp && !table.current.scenes.get(request.sceneAsked)?.baseline) request.fail(settingUp())
        else serve(table.current, serving, request)
      },
      logFailure: (error, request) => telemetry.logFailure(error, request, request),
      count: (request, code, seconds) => telemetry.countRequest(request, code, seconds),
      checkReady: () => {
        if (this.#isRetiring) throw new BerthError('BASE_DRAINING', 'Cannot take new requests: the cell is retiring')
        if (this.#isSettingUp) throw settingUp()
        return table.checkReady()
      },
      shouldClose: () => this.#connections.shouldClose(),
    }
  }

  /** Starts the services, takes a table, from the keeper or the last one saved, then listens. */
  async start(handle: unknown): Promise<void> {
    try {
      await this.#runtime.start()
    } catch (error) {
      this.#refuse(toBerthError(error))
      return
    }
    await this.#keeper.start()
    // Were the upgrade to fail because of another cell, the requests that this one has accepted would end with it.
    if (this.#isHeir) {
      this.#beReady()
      await this.#mayAccept.promise
    }
    this.#connections.listen(this.#server, handle, () => this.#isHeir || this.#beReady())
  }

  #beReady(): void {
    sendToSupervisor({ type: 'ready', failures: this.#table.failures })
    setInterval(() => this.#beat(), limits.process.heartbeatMs)
  }

  /** Logs what an operator has to mend, then ends the process. */
  #refuse({ code, message, cause }: BerthError): void {
    this.#telemetry.log.fatal({ code, err: cause }, message)
    sendToSupervisor({ type: 'refused', code, message }, endProcess)
  }

  #beat(): void {
    sendToSupervisor({ type: 'heartbeat', connections: this.#connections.count, inFlight: this.#runtime.slots.pending })
    const stays = ({ scene, key }: SlotPlan) => this.#table.current.scenes.get(scene)?.stays.has(key) ?? false
    this.#runtime.trim(stays)
    this.#keeper.reportServiceFaults()
    this.#keeper.reportKills()
  }

  readonly onSupervisor = dispatcher<Exclude<ToCell, Start>>(
    'the cell',
    {
      share: ({ cells, others }) => {
        this.#connections.share(cells, others)
        this.#admission.share(cells)
        this.#captures.share(cells)
      },
      retire: () => this.#retire(),
      setUp: () => {
        this.#isSettingUp = false
      },
      accept: () => this.#mayAccept.resolve(),
      unkeptTaken: () => this.#unkeptTaken.resolve(),
    },
    sentence => this.#telemetry.log.error(sentence),
  )

  /** The slots have barred the version by now. All others are answered until the supervisor says otherwise, but nothing is loaded ahead any more. */
  #onLost({ scene, version }: SlotPlan, reason: string, where: Whereabouts): void {
    this.#isLost = true
    const suspect = { scene, version, ...where }
    this.#telemetry.log.fatal({ reason, ...suspect }, 'the cell cannot go on')
    this.#connections.endEach()
    this.#table.close()
    sendToSupervisor({ type: 'lost', reason, suspect })
    this.#keeper.reportLost()
  }

  /** Versions that no table names yet are the concern of the keeper, which has asked for them. */
  #onLoad(plan: SlotPlan, error: unknown): void {
    const scene = this.#table.current.scenes.get(plan.scene)
    if (scene?.versions.get(plan.version)?.key !== plan.key) return
    const isBaseline = scene.baseline?.key === plan.key
    if (error !== undefined) this.#telemetry.onLoadFailed(loadFailure(plan, error), error, isBaseline)
    if (error !== undefined) this.#table.onLoadFailed(plan)
    if (isBaseline) this.#keeper.reportFailures()
  }

  /** Tables are taken until the last connection has ended: what comes on one is answered by the version that is in force then. */
  async #retire(): Promise<void> {
    if (this.#isRetiring) return
    this.#isRetiring = true
    this.#table.close()
    await this.#connections.close()
    await Promise.race([this.#feed.close(), delay(limits.log.closeMsMax)])
    this.#capsules.close()
    this.#keeper.reportKills()
    this.#keeper.close()
    await this.#giveUnkept()
    // What is lost has no orderly end, and an heir waits for its memory.
    if (!this.#isLost) await this.#runtime.close()
    endProcess()
  }

  /** When another release has taken over, the keeper of this one has ended. The supervisor knows who is to have what it would have been told. */
  async #giveUnkept(): Promise<void> {
    const [records, kills] = [this.#feed.unkept, this.#telemetry.takeKills()]
    if (records.length === 0 && kills.length === 0) return
    sendToSupervisor({ type: 'unkept', cell: this.#ordinal, records, kills })
    await Promise.race([this.#unkeptTaken.promise, delay(limits.log.closeMsMax)])
  }
}

const settingUp = (): BerthError =>
  new BerthError('BASE_NOT_READY', 'Cannot serve yet: the first scenes of the base are being published', { retryAfterSeconds: 1 })

/** At most half of the files that the process may open are connections to the scene port. The rest is for fetches, services and blobs. */
function connectionsMax(): number {
  // Otherwise it would look up the names of addresses.
  const report = Object.assign(process.report, { excludeNetwork: true }).getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
  const files = Number(report.userLimits?.open_files?.soft)
  return files > 0 ? Math.min(limits.http.connectionsMax, Math.floor(files / 2)) : limits.http.connectionsMax
}

const sendToSupervisor = (message: FromCell, done: () => void = () => undefined): void => {
  // This fails only when the supervisor has ended, and then this process is about to end too.
  process.send?.(message, undefined, undefined, done)
}
