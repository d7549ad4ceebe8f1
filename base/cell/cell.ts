/** A cell: takes scene requests on the handle it was given, holds slots, follows the keeper's tables. May die at any moment. */
import type { Server as HttpServer } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { BLACK_BOX_FD, BlackBox } from '../folder/black-box.ts'
import { readBlob } from '../folder/blob-files.ts'
import { readSavedTable } from '../folder/saved-table.ts'
import { BerthError, messageOf, toBerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { createLog, type Logger } from '../kernel/log.ts'
import type { Options } from '../kernel/options.ts'
import { Fetcher } from '../slot/fetcher.ts'
import type { Slot } from '../slot/slot.ts'
import { Slots } from '../slot/slots.ts'
import { Stacks } from '../slot/stacks.ts'
import { type CompiledTable, holds } from '../traffic/scene.ts'
import { emptyTable, lockedModules, lockedServices, type SlotPlan } from '../traffic/table.ts'
import type { CellToKeeper, FromCell, KeeperToCell, ProfileRequest, Refusal, SceneFailure, ToCell } from '../wire/messages.ts'
import { NO_TABLE, type Progress, type SceneRequest, type Serving, serve, serveCall } from './answer.ts'
import { Services } from './base-services.ts'
import { type KeeperLink, linkKeeper } from './keeper-link.ts'
import { LogFeed } from './log-feed.ts'
import { Metrics } from './metrics.ts'
import { ModuleLog } from './module-log.ts'
import { Profiler } from './profiler.ts'
import { Admission } from './scene-admission.ts'
import { createSceneServer } from './scene-port.ts'
import { loadFailure, Tables } from './table-in-force.ts'
import { Whitelists } from './whitelists.ts'

/** A cell sheds connections above this multiple of the mean, and a few on top. */
const SHARE_FACTOR = 1.25
const SHARE_SLACK = 4
/** Share of a cell's memory above which idle slots are let go; above all of it the supervisor replaces the cell. */
const SLOT_MEMORY_RATIO = 0.8
/** Of the answers a cell above its share gives, one in this many ends its connection. */
const SHED_EVERY = 8

/** Becomes a cell: waits for the supervisor's `start`. */
export function runCell(): void {
  // A terminal's Ctrl-C reaches the whole process group: when to go is the supervisor's decision.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.once('message', (message: ToCell, handle) => {
    if (message.type !== 'start') throw new Error(`A cell starts with "start", not "${message.type}"`)
    const cell = new Cell(message.options, message.cell)
    process.on('message', (next: ToCell) => cell.onSupervisor(next))
    cell.start(handle)
  })
}

class Cell {
  readonly #options: Options
  readonly #ordinal: number
  readonly #log: Logger
  readonly #services: Services
  readonly #fetcher: Fetcher
  readonly #slots: Slots
  readonly #tables: Tables
  readonly #admission: Admission
  readonly #serving: Serving
  readonly #metrics: Metrics
  readonly #profiler: Profiler
  readonly #feed: LogFeed
  readonly #moduleLog: ModuleLog
  readonly #server: HttpServer
  readonly #sockets = new Set<Socket>()
  readonly #bundles = new Map<string, Promise<string>>()
  #link: KeeperLink | undefined
  #onKeeperHeard: () => void = () => undefined
  #share = { cells: 1, others: 0 }
  #answersOverShare = 0
  #rssBytes = 0
  #retiring = false

  constructor(options: Options, ordinal: number) {
    this.#options = options
    this.#ordinal = ordinal
    this.#log = createLog(`cell-${ordinal}`, options.logLevel)
    this.#feed = new LogFeed(() => this.#link)
    this.#moduleLog = new ModuleLog(this.#log, new Stacks(digest => readBlob(options.data, digest)), this.#feed)
    this.#services = new Services({
      data: options.data,
      log: (service, level, message, fields) => this.#log[level]({ ...fields, service }, message),
      count: (service, method, code, seconds) => this.#metrics.countService(service, method, code, seconds),
      onFailed: (service, method, error) => this.#logService(service, method, error),
    })
    this.#fetcher = new Fetcher({
      privateNetworks: options.fetchPrivate,
      count: (host, code, seconds) => this.#metrics.countFetch(host, code, seconds),
    })
    const blackBox = new BlackBox(BLACK_BOX_FD, error => this.#log.warn({ err: error }, 'the black box cannot be written'))
    this.#slots = new Slots({
      readBundle: digest => this.#readBundle(digest),
      servicesOf: plan => this.#services.named(lockedServices(plan.lock)),
      callService: (service, method, args, caller) => this.#services.call(service, method, args, caller),
      fetch: (plan, request, caller, signal) => this.#fetcher.fetch(plan, request, caller, signal),
      callScene: (scene, input, caller) => serveCall(this.#tables.current, this.#serving, scene, input, caller),
      onLog: (plan, requestId, lines) => this.#moduleLog.write(plan, requestId, lines),
      onKilled: (plan, reason) => this.#onKilled(plan, reason),
      onLost: reason => this.#onLost(reason),
      onRunning: (slot, running) => (running ? blackBox.begin(slot, slot.plan.scene, slot.plan.version) : blackBox.end(slot)),
      onBufferFailed: error => this.#log.error({ err: error }, 'no isolate could be made ahead of need'),
    })
    this.#tables = new Tables({
      log: this.#log,
      slots: this.#slots,
      whitelists: new Whitelists(
        digest => readBlob(options.data, digest),
        (scene, err) => this.#log.error({ scene, err }, 'a whitelist cannot be read: its scene stays as it was'),
      ),
      onTaken: (table, failures) => this.#onTaken(table, failures),
      onTakenAgain: () => this.#tellApplied(),
    })
    this.#admission = new Admission({
      cell: ordinal,
      cells: options.cells,
      peek: plan => this.#slots.peek(plan),
      onBreaker: (scene, version, state) => {
        const level = state === 'open' ? 'warn' : 'info'
        this.#log[level]({ scene, version, state }, 'breaker changed')
        this.#moduleLog.note({ scene, version }, level, `The breaker of this version is ${state}`)
      },
    })
    this.#serving = { slots: this.#slots, admission: this.#admission }
    this.#profiler = new Profiler({
      slotOf: (scene, version) => this.#slotOf(scene, version),
      rest: (msMax, work) => this.#slots.rest(msMax, work),
      bytesLeft: () => options.cellMemoryMB * 2 ** 20 - this.#readRss(),
    })
    this.#metrics = new Metrics(ordinal, {
      slots: () => this.#slots.count,
      inFlight: () => this.#slots.pending,
      connections: () => this.#sockets.size,
      revision: () => this.#tables.current.revision,
      breakers: () => this.#admission.breakers(),
    })
    this.#server = createSceneServer(options.bodyLimitBytes, {
      checkCell: scene => this.#admission.checkCell(this.#tables.current.scenes.get(scene)?.limits.priority ?? limits.scene.priority),
      serve: (request, arrivedAt, progress) => serve(this.#tables.current, this.#serving, request, arrivedAt, progress),
      logFailure: (error, request, progress) => this.#logFailure(error, request, progress),
      count: (progress, code, seconds) => this.#count(progress, code, seconds),
      checkReady: () => this.#checkReady(),
      shouldClose: () => this.#shouldClose(),
    })
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  /** Starts the services, takes a table, from the keeper or the last one saved, then listens. */
  async start(handle: unknown): Promise<void> {
    try {
      await this.#services.start(this.#options.services)
    } catch (error) {
      this.#refuse(toBerthError(error))
      return
    }
    const heard = new Promise<boolean>(resolve => {
      this.#onKeeperHeard = () => resolve(true)
      setTimeout(resolve, limits.cell.keeperLookMsMax, false)
    })
    this.#link = linkKeeper(
      this.#options.data,
      this.#log,
      () => this.#hello(),
      message => this.#onKeeper(message),
    )
    if (!(await heard)) await this.#applySaved()
    await this.#tables.settled
    this.#server.listen(handle, () => {
      tell({ type: 'ready' })
      setInterval(() => this.#beat(), limits.process.heartbeatMs)
    })
  }

  #beat(): void {
    tell({ type: 'heartbeat', connections: this.#sockets.size, inFlight: this.#slots.pending })
    this.#trimSlots()
  }

  /** What an operator has to mend is said in a line, then the cell ends. */
  #refuse({ code, message, cause }: BerthError): void {
    this.#log.fatal({ code, err: cause }, message)
    tell({ type: 'refused', code, message }, () => process.exit(1))
  }

  onSupervisor(message: ToCell): void {
    if (message.type === 'share') {
      this.#share = message
      this.#admission.share(message.cells)
    } else if (message.type === 'retire') this.#retire()
  }

  // ── scene tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #hello(): CellToKeeper {
    this.#feed.sendAgain()
    const { current, failures } = this.#tables
    return { type: 'hello', cell: this.#ordinal, pid: process.pid, revision: current.revision, failures }
  }

  #onKeeper(message: KeeperToCell): void {
    if (message.type === 'table') {
      this.#tables.take(message.table).then(
        () => this.#tellApplied(),
        (error: unknown) => this.#log.error({ err: error, revision: message.table.revision }, 'table cannot be taken'),
      )
      this.#onKeeperHeard()
    } else if (message.type === 'prepare') this.#prepare(message.request, message.plan)
    else if (message.type === 'logsKept') this.#feed.kept(message.batch)
    else if (message.type === 'findSlot') {
      const slot = this.#slotOf(message.scene, message.version)
      this.#link?.send({ type: 'slotFound', request: message.request, cpuMs: slot && Number(slot.cpuNs) / 1e6 })
    } else if (message.type === 'profile') this.#profile(message.request, message.profile)
    else if (message.type === 'fetchProfile') this.#fetchProfile(message.request, message.profile)
    else if (message.type === 'endProfile') this.#profiler.end(message.profile)
    else this.#metrics.collect().then(metrics => this.#link?.send({ type: 'metrics', request: message.request, metrics }))
  }

  #tellApplied(): void {
    const { current, failures } = this.#tables
    this.#link?.send({ type: 'applied', revision: current.revision, failures })
  }

  async #applySaved(): Promise<void> {
    try {
      const table = (await readSavedTable(this.#options.data)) ?? emptyTable
      await this.#tables.take(table)
      this.#log.warn({ revision: table.revision }, 'keeper is away: booted from the table it saved last')
    } catch (error) {
      this.#log.error({ err: error }, 'keeper is away and the saved table cannot be read: waiting for the keeper')
    }
  }

  #onTaken(table: CompiledTable, failures: readonly SceneFailure[]): void {
    this.#forgetBundles()
    this.#admission.retain(table)
    this.#metrics.retain((scene, version) => table.scenes.get(scene)?.versions.has(version) ?? false)
    for (const failure of failures) {
      this.#log.error(failure, 'baseline cannot answer')
      this.#moduleLog.note(failure, 'error', `The baseline cannot answer: ${failure.message}`, failure.code)
    }
  }

  async #prepare(request: number, plan: SlotPlan): Promise<void> {
    try {
      await this.#slots.prepare(plan)
      this.#link?.send({ type: 'prepared', request })
    } catch (error) {
      this.#link?.send({ type: 'prepared', request, failure: loadFailure(plan, error) })
    }
  }

  #slotOf(scene: string, version: string): Slot | undefined {
    const plan = this.#tables.current.scenes.get(scene)?.versions.get(version)
    return plan && this.#slots.peek(plan)
  }

  async #profile(request: number, profile: ProfileRequest): Promise<void> {
    try {
      this.#link?.send({ type: 'profiled', request, facts: await this.#profiler.take(request, profile) })
    } catch (error) {
      this.#link?.send({ type: 'profiled', request, failure: codeAndMessage(error) })
    }
  }

  #fetchProfile(request: number, profile: number): void {
    try {
      this.#link?.send({ type: 'profilePiece', request, text: this.#profiler.fetch(profile) })
    } catch (error) {
      this.#link?.send({ type: 'profilePiece', request, failure: codeAndMessage(error) })
    }
  }

  #readBundle(digest: string): Promise<string> {
    const known = this.#bundles.get(digest)
    if (known !== undefined) return known
    const reading = readBlob(this.#options.data, digest).then(bytes => bytes.toString('utf8'))
    reading.catch(() => this.#bundles.delete(digest))
    this.#bundles.set(digest, reading)
    return reading
  }

  /** Bundles are read again for the next slot that needs them. */
  #forgetBundles(): void {
    const digests = new Set(this.#slots.plans.flatMap(plan => lockedModules(plan.lock).map(module => module.bundle)))
    for (const digest of this.#bundles.keys()) if (!digests.has(digest)) this.#bundles.delete(digest)
  }

  /** Lets slots go that have no traffic: versions that no rule names after a while, any when memory is short. */
  #trimSlots(): void {
    const stays = ({ scene, key }: SlotPlan) => this.#tables.current.scenes.get(scene)?.stays.has(key) ?? false
    const budgetBytes = this.#options.cellMemoryMB * 2 ** 20 * SLOT_MEMORY_RATIO
    const evicted = this.#slots.trim(stays, this.#readRss() > budgetBytes)
    if (evicted > 0) this.#log.info({ evicted, left: this.#slots.count }, 'idle slots evicted')
  }

  /** Bytes. To read them takes a file descriptor: when connections have taken all there are, what was read last has to do. */
  #readRss(): number {
    try {
      this.#rssBytes = process.memoryUsage.rss()
    } catch (error) {
      if (!/^E[MN]FILE$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
    return this.#rssBytes
  }

  // ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #count({ decision, scene }: Progress, code: string, seconds: number): void {
    if (decision === undefined) this.#metrics.countRefused(code, scene)
    else {
      this.#metrics.count(decision.plan.scene, decision.plan.version, code, seconds)
      if (decision.exposed) this.#metrics.countExposure(decision)
    }
  }

  /** Logs a failure for the engineer, and says how much of it the caller may see. */
  async #logFailure(error: BerthError, request: SceneRequest, { decision, token }: Progress): Promise<Readonly<Record<string, unknown>>> {
    const plan = decision?.plan
    const where = { code: error.code, scene: plan?.scene, version: plan?.version, requestId: request.requestId }
    if (error.code === 'INTERNAL') this.#log.error({ ...where, err: error.cause }, 'a defect of Berth')
    // An open breaker says so itself, once.
    if (plan === undefined || error.blame !== 'module' || error.code === 'BREAKER_OPEN') return {}
    const stack = await this.#moduleLog.fail(plan, error, request.requestId)
    return token !== undefined && holds(token, 'pin') ? { stack } : {}
  }

  #logService(service: string, method: string, error: unknown): void {
    if (this.#moduleLog.mayLogError(`service ${service}`))
      this.#log.error({ service, method, err: error }, `service failed: ${messageOf(error)}`)
  }

  #checkReady(): void {
    if (this.#retiring) throw new BerthError('BASE_DRAINING', 'Cannot take new requests: the cell is retiring')
    if (this.#tables.current.revision === 0) throw new BerthError('BASE_NOT_READY', NO_TABLE, { retryAfterSeconds: 1 })
    if (this.#tables.failures.length === 0) return
    const scenes = this.#tables.failures.map(failure => `"${failure.scene}"`).join(', ')
    throw new BerthError('BASE_NOT_READY', `Cannot answer for ${scenes}`, { extra: { failures: this.#tables.failures } })
  }

  #shouldClose(): boolean {
    if (this.#retiring) return true
    const mean = (this.#share.others + this.#sockets.size) / this.#share.cells
    if (this.#sockets.size <= mean * SHARE_FACTOR + SHARE_SLACK) return false
    return ++this.#answersOverShare % SHED_EVERY === 0
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #onKilled({ scene, version }: SlotPlan, reason: string): void {
    this.#metrics.countKill(scene, version)
    this.#log.error({ scene, version, reason }, 'slot killed')
    this.#moduleLog.note({ scene, version }, 'error', `The slot was killed: ${reason}`, 'MODULE_KILLED')
  }

  #onLost(reason: string): void {
    this.#log.fatal({ reason }, 'the cell cannot go on')
    tell({ type: 'lost', reason })
  }

  /**
   * Only the listener closes: connections live until their client has had an answer that says `Connection: close`. Closing idle ones at
   * once, as `http.Server.close` does, loses the request that is on its way on one. Tables are still taken: what comes on these connections
   * is answered by the version of the day.
   */
  async #retire(): Promise<void> {
    if (this.#retiring) return
    this.#retiring = true
    this.#tables.close()
    // Who has sent nothing for so long is not about to: a connection pool, or a person's terminal.
    setTimeout(() => setInterval(() => this.#server.closeIdleConnections(), limits.process.heartbeatMs), limits.cell.retireIdleMsMax)
    await Promise.race([
      new Promise<void>(resolve => NetServer.prototype.close.call(this.#server, () => resolve())),
      new Promise<void>(resolve => setTimeout(resolve, limits.cell.retireLingerMsMax)),
    ])
    for (const socket of this.#sockets) socket.destroy()
    await Promise.race([this.#feed.close(), new Promise<void>(resolve => setTimeout(resolve, limits.log.closeMsMax))])
    this.#link?.close()
    await this.#slots.close()
    this.#fetcher.close()
    await this.#services.stop()
    process.exit(0)
  }
}

const tell = (message: FromCell, done: () => void = () => undefined): void => {
  // Fails only when the supervisor is gone, and then this process is about to be.
  process.send?.(message, undefined, undefined, done)
}

function codeAndMessage(error: unknown): Refusal {
  const { code } = toBerthError(error)
  return { code, message: messageOf(error) }
}
