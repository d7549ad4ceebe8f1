/** The cells that are connected to the keeper. Tables and commands go down to them; acknowledgements and metrics come up. */
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Captured } from '../../capsule/capsule.ts'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import type { TableFacts, TableSource, TableState } from '../../kernel/table-facts.ts'
import type { SceneTable, SlotPlan } from '../../traffic/table.ts'
import { dispatcher } from '../../wire/dispatch.ts'
import { type Lines, openLines } from '../../wire/lines.ts'
import type {
  CellStatus,
  CellToKeeper,
  KeeperToCell,
  LoadFailure,
  LogRecord,
  OfferedService,
  ProfileFacts,
  ProfileRequest,
  SceneFailure,
  ServiceFault,
  SlotKills,
  Unkept,
  WarmUpJob,
} from '../../wire/messages.ts'
import { CellSocket } from './cell-socket.ts'

export interface ConnectedCell {
  /** Ordinal; a retiring cell and its replacement share one. */
  readonly cell: number
  readonly pid: number
  /** The revision of the table in force there. */
  readonly revision: number
  readonly failures: readonly SceneFailure[]
  readonly serviceFaults: readonly ServiceFault[]
  /** Its feature tables. */
  readonly tables: readonly TableState[]
}

export interface Applied {
  /** Cells that have the table in force. */
  readonly applied: number
  readonly connected: number
}

/** What a cell answers to a request. */
type Reply = Extract<CellToKeeper, { readonly request: number }>
type Settle = (reply: Reply | undefined) => void

/** A cell that has said `hello`. */
interface Member extends ConnectedCell {
  revision: number
  failures: readonly SceneFailure[]
  serviceFaults: readonly ServiceFault[]
  tables: readonly TableState[]
  readonly lines: Lines<KeeperToCell>
  /** Whether it is about to be replaced, because code that it runs cannot be stopped. Nothing waits for it, but it may still answer requests. */
  isLost: boolean
  isGone: boolean
  /** Requests without a reply, by their number. Each is settled with undefined when the cell goes or its time is over. */
  readonly open: Map<number, Settle>
}

/** One connection of a cell. */
interface Connection {
  readonly lines: Lines<KeeperToCell>
  /** Undefined until the cell has said `hello`. */
  member: Member | undefined
}

export interface FoundSlot {
  readonly cell: number
  readonly pid: number
  readonly cpuMs: number
}

export interface TakenProfile {
  readonly facts: ProfileFacts
  /**
   * What V8 wrote, in pieces that are fetched from the cell one by one. Throws PROFILE_FAILED when the cell goes meanwhile. Whoever gets a
   * profile reads it to its end, or ends it.
   */
  readonly pieces: AsyncIterable<string>
  /** Lets the cell forget the profile. Idempotent. */
  end(): void
}

/** What a slot warms up with. */
export interface SlotWarmUp extends Pick<WarmUpJob, 'plan' | 'requests' | 'cpuMs'> {
  /** Whether the version has answered these requests before. */
  readonly isProven: boolean
}

export interface CellEvents {
  /** Takes what the modules of a cell have written. The cell forgets these lines once this returns. */
  onLogs?(cell: number, records: readonly LogRecord[]): void
  /** Takes the kills of slots in a cell. */
  onKills?(cell: number, kills: readonly SlotKills[]): void
  /** Called when a lost cell has not taken a table in time. It has to end before the table can be said to be in force. */
  onStale?(pid: number): void
  /** Called when more requests to the scene port had a token that is not known than an address may send. */
  onGuesses?(address: string): void
  /** Takes a captured request, and what entered its slot since the last one of the same recording. @returns whether it is kept */
  onCaptured?(captured: Captured): boolean
  /** Finds out what a cell that starts is to warm a slot up with. */
  warmUpOf?(scene: string, version: string): Promise<SlotWarmUp | undefined>
}

/** The public side of `CellConnections`, for those who use it and for tests that stand in for it. */
export type Cells = Pick<CellConnections, keyof CellConnections>

export class CellConnections {
  readonly #log: Logger
  readonly #events: CellEvents
  readonly #members = new Set<Member>()
  /** Called after every change of a cell's state. */
  readonly #watchers = new Set<() => void>()
  readonly #dispatch: (message: CellToKeeper, connection: Connection) => void
  #socket: CellSocket | undefined
  #table: SceneTable
  /** Cells that answer requests, as the supervisor sees them. */
  #answering: readonly CellStatus[] = []
  #services: readonly OfferedService[] | undefined
  /** Processes that were connected and are not now. */
  readonly #left = new Set<number>()
  /**
   * Request numbers start where no other keeper's do, because a cell may still answer a killed keeper's request, and keeps the profiles it
   * asked for.
   */
  #requests = randomInt(2 ** 40)

  private constructor(table: SceneTable, log: Logger, events: CellEvents) {
    this.#table = table
    this.#log = log
    this.#events = events
    const settle = (reply: Reply, { member }: Connection) => member?.open.get(reply.request)?.(reply)
    this.#dispatch = dispatcher<CellToKeeper, [Connection]>(
      'the keeper',
      {
        hello: (message, connection) => this.#welcome(message, connection),
        applied: (message, { member }) => member && this.#onApplied(member, message),
        lost: (_, { member }) => member && this.#onLost(member),
        serviceFaults: ({ faults }, { member }) => member && this.#onServiceFaults(member, faults),
        logs: (message, { member }) => member && this.#onLogsOf(member, message),
        features: ({ tables }, { member }) => member && this.#onFeatures(member, tables),
        tokenGuesses: ({ address }) => this.#events.onGuesses?.(address),
        captured: ({ captured }, { member }) => member && this.#onCaptured(member, captured),
        kills: ({ kills }, { member }) => member && this.#events.onKills?.(member.cell, kills),
        prepared: settle,
        warmedUp: settle,
        loaded: ({ plans }, { member }) => member && this.#onLoaded(member, plans),
        featuresPrepared: settle,
        featureRows: settle,
        metrics: settle,
        slotFound: settle,
        callsFound: settle,
        profiled: settle,
        profilePiece: settle,
      },
      sentence => log.error(sentence),
    )
  }

  /** Waits for cells on the socket at `path`, and gives each the table. */
  static async listen(path: string, table: SceneTable, log: Logger, events: CellEvents = {}): Promise<CellConnections> {
    const cells = new CellConnections(table, log, events)
    cells.#socket = await CellSocket.open(path, log, connection => cells.#connect(connection))
    return cells
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    await this.#socket?.close()
  }

  /** The table that was published last. */
  get table(): SceneTable {
    return this.#table
  }

  get connected(): ConnectedCell[] {
    return [...this.#members].map(({ cell, pid, revision, failures, serviceFaults, tables }) => {
      return { cell, pid, revision, failures, serviceFaults, tables }
    })
  }

  /** The base services that the cell offers which connected last; undefined while there was none. */
  get services(): readonly OfferedService[] | undefined {
    return this.#services
  }

  #connect(socket: Socket): void {
    const lines = openLines<CellToKeeper, KeeperToCell>(
      socket,
      message => this.#dispatch(message, connection),
      error => connection.member && this.#lose(connection.member, error),
    )
    const connection: Connection = { lines, member: undefined }
  }

  /** Takes which cells there are, whether they are connected or not. */
  expect(cells: readonly CellStatus[]): void {
    this.#answering = cells.filter(({ state }) => state !== 'starting')
    const known = new Set(cells.map(({ pid }) => pid))
    for (const pid of this.#left) if (!known.has(pid)) this.#left.delete(pid)
    this.#changed()
  }

  /**
   * Sends a table to every cell and to those that come later. Resolves when all that answer requests have it in force or are gone, also those
   * that have yet to connect to a keeper that was started again; or when `tableAckMsMax` is over. A lost cell that does not have it in force
   * within `lostAckMsMax` is made to end.
   */
  async publish(table: SceneTable): Promise<Applied> {
    this.#table = table
    for (const { lines } of this.#members) lines.send({ type: 'table', table })
    const isApplied = ({ revision }: Member) => revision >= table.revision
    const fence = setInterval(() => this.#endStale(isApplied), limits.keeper.lostAckMsMax)
    await this.#until(() => [...this.#members].every(isApplied) && this.#areAllConnected(), limits.keeper.tableAckMsMax)
    clearInterval(fence)
    const members = [...this.#members]
    return { applied: members.filter(isApplied).length, connected: members.length }
  }

  /** A retiring cell leaves when it answers nothing any more. What it still has to end, such as its services, nobody waits for. */
  #areAllConnected(): boolean {
    const connected = new Set([...this.#members].map(({ pid }) => pid))
    return this.#answering.every(({ pid, state }) => connected.has(pid) || (state === 'retiring' && this.#left.has(pid)))
  }

  #endStale(isApplied: (member: Member) => boolean): void {
    for (const member of this.#members) if (member.isLost && !isApplied(member)) this.#events.onStale?.(member.pid)
  }

  /**
   * Has every cell load the slot beside what runs there, except those that are lost.
   * @returns how many did. A cell that goes meanwhile, or is lost, is no fault of the version, unless all are.
   * @throws NO_CELLS; UPGRADE_FAILED, with the first failure as `cause` in its members.
   */
  async prepare(plan: SlotPlan): Promise<number> {
    await this.awaitCell()
    const action = `Cannot bring version "${plan.version}" of scene "${plan.scene}" online`
    const answers = this.#ask(request => ({ type: 'prepare', request, plan }), limits.keeper.prepareMsMax)
    const outcomes = answers.map(async answer => {
      const outcome = await answer
      if (outcome?.type === 'prepared' && outcome.failure !== undefined) throw upgradeFailed(action, outcome.failure)
      return outcome?.type === 'prepared'
    })
    // Rejects with the first failure: what the other cells say does not matter then.
    const prepared = (await Promise.all(outcomes)).filter(Boolean).length
    if (prepared > 0) return prepared
    throw upgradeFailed(action, { code: 'SLOT_UNAVAILABLE', message: 'every cell ended or fell silent while it loaded the version' })
  }

  /**
   * Has every cell that is not lost warm up a slot which it has loaded. When the version has not answered these requests before, one cell answers each of them
   * once before the others do, since code that cannot be stopped would cost all cells at once. If its slot has to go, those of the others stay cold. Takes `limits.capsule.warmUpMs` at most, and the time of a load
   * where the slot has to be loaded again.
   * @throws UPGRADE_FAILED when it cannot be loaded again
   */
  async warmUp({ isProven, ...warmUp }: SlotWarmUp): Promise<void> {
    const { warmUpMs } = limits.capsule
    const startedAt = performance.now()
    const [first] = this.#askable
    if (first === undefined) return
    if (!isProven && !(await this.#warmUpOne(first, { ...warmUp, msMax: warmUpMs / 2, once: true }))) return
    const job = { ...warmUp, msMax: Math.max(1, warmUpMs - (performance.now() - startedAt)), once: false }
    await Promise.all(this.#askable.map(member => this.#warmUpOne(member, job)))
  }

  /** @returns false when the slot was thrown away over it, or the cell was lost */
  async #warmUpOne(member: Member, job: WarmUpJob): Promise<boolean> {
    const request = ++this.#requests
    const answer = await askOne(member, request, { type: 'warmUp', request, job }, limits.keeper.prepareMsMax)
    if (answer?.type !== 'warmedUp') return false
    const { scene, version } = job.plan
    if (answer.failure !== undefined) throw upgradeFailed(`Cannot bring version "${version}" of scene "${scene}" online`, answer.failure)
    return answer.isGood
  }

  /** Has a cell that starts warm up one slot after the other, for as long as it waits for that, of which each gets its part. */
  async #onLoaded(member: Member, plans: Extract<CellToKeeper, { type: 'loaded' }>['plans']): Promise<void> {
    const until = performance.now() + limits.capsule.warmUpStartMs
    for (const [i, { scene, version }] of plans.entries()) {
      const msMax = Math.min(limits.capsule.warmUpMs, (until - performance.now()) / (plans.length - i))
      if (msMax <= 0 || member.isGone || member.isLost) break
      try {
        const found = await this.#events.warmUpOf?.(scene, version)
        if (found === undefined) continue
        const { plan, requests, cpuMs } = found
        await this.#warmUpOne(member, { plan, requests, cpuMs, msMax, once: false })
      } catch (error) {
        this.#log.warn({ err: error, cell: member.cell, scene, version }, 'a slot cannot be warmed up')
      }
    }
    member.lines.send({ type: 'warmUpsOver' })
  }

  /**
   * Waits for a cell, so that what comes right after a start does not fail.
   * @param action what it is needed for, for the error
   * @throws NO_CELLS after `cellAwaitMsMax`
   */
  async awaitCell(action = 'Cannot load the version'): Promise<void> {
    if (await this.#until(() => this.#askable.length > 0, limits.keeper.cellAwaitMsMax)) return
    throw new BerthError('NO_CELLS', `${action}: no cell is connected`, { retryAfterSeconds: 5 })
  }

  /**
   * Has every cell read a feature table beside the one in force.
   * @throws NO_CELLS; FEATURES_INVALID saying what is wrong with it, with the line; DATA_DAMAGED
   */
  async prepareFeatures(table: TableSource): Promise<TableFacts> {
    const action = `Cannot use the file as feature table "${table.name}"`
    await this.awaitCell(action)
    const answers = await Promise.all(this.#ask(request => ({ type: 'prepareFeatures', request, table }), limits.features.prepareMsMax))
    const prepared = answers.flatMap(answer => (answer?.type === 'featuresPrepared' ? answer : []))
    const failure = prepared.find(({ failure }) => failure !== undefined)?.failure
    if (failure !== undefined) throw new BerthError(failure.code, `${action}: ${failure.message}`)
    const facts = prepared.find(({ facts }) => facts !== undefined)?.facts
    if (facts !== undefined) return facts
    throw new BerthError('NO_CELLS', `${action}: every cell ended or fell silent while it read it`, { retryAfterSeconds: 5 })
  }

  /**
   * Waits until every cell that is not lost has this version of a feature table in force, at most `tableAckMsMax`.
   * @param version undefined when there is to be no uploaded one
   */
  async awaitFeatures(name: string, version: string | undefined): Promise<Applied> {
    const isApplied = ({ tables }: Member) => uploadedVersion(tables, name) === version
    await this.#until(() => this.#askable.every(isApplied), limits.keeper.tableAckMsMax)
    const members = [...this.#members]
    return { applied: members.filter(isApplied).length, connected: members.length }
  }

  /**
   * Rows of a feature table, as some cell has it: JSON of an object with its version and the rows.
   * @param keys undefined for the first rows
   * @throws NO_CELLS; as the service `features`
   */
  async readFeatures(table: string, keys: readonly string[] | undefined): Promise<string> {
    const action = `Cannot show rows of feature table "${table}"`
    await this.awaitCell(action)
    const [member] = this.#askable
    const request = ++this.#requests
    const message = { type: 'readFeatures', request, table, ...(keys === undefined ? {} : { keys }) } as const
    const answer = member && (await askOne(member, request, message, limits.keeper.tableAckMsMax))
    if (answer?.type === 'featureRows' && answer.json !== undefined) return answer.json
    const failure = answer?.type === 'featureRows' ? answer.failure : undefined
    if (failure !== undefined) throw new BerthError(failure.code, failure.message)
    throw new BerthError('NO_CELLS', `${action}: its cell has ended, or does not answer`, { retryAfterSeconds: 1 })
  }

  /** What `getMetricsAsJSON()` gives in each cell that answers within `metricsMsMax`. */
  async collectMetrics(): Promise<(readonly unknown[])[]> {
    const answers = await Promise.all(this.#ask(request => ({ type: 'collectMetrics', request }), limits.keeper.metricsMsMax))
    return answers.flatMap(answer => (answer?.type === 'metrics' ? [answer.metrics] : []))
  }

  /** Cells that have a slot of the version loaded, with the milliseconds of CPU it has used; of those cells that answer within `metricsMsMax`. */
  async findSlots(scene: string, version: string): Promise<FoundSlot[]> {
    const members = this.#askable
    const answers = await Promise.all(this.#ask(request => ({ type: 'findSlot', request, scene, version }), limits.keeper.metricsMsMax))
    return answers.flatMap((answer, index) => {
      const member = members[index]
      if (member === undefined || answer?.type !== 'slotFound' || answer.cpuMs === undefined) return []
      return { cell: member.cell, pid: member.pid, cpuMs: answer.cpuMs }
    })
  }

  /**
   * Milliseconds since each version of a scene was called last, as far as the cells that answer within `metricsMsMax` know: a version is known
   * for as long as a slot of it is loaded.
   */
  async lastCalls(scene: string): Promise<Map<string, number>> {
    const answers = await Promise.all(this.#ask(request => ({ type: 'findCalls', request, scene }), limits.keeper.metricsMsMax))
    const latest = new Map<string, number>()
    for (const answer of answers) {
      if (answer?.type !== 'callsFound') continue
      for (const [version, ms] of Object.entries(answer.calledMsAgo)) latest.set(version, Math.min(ms, latest.get(version) ?? ms))
    }
    return latest
  }

  /**
   * Has a cell take a profile.
   * @param pid of the cell, from `findSlots`
   * @throws SLOT_IDLE, PROFILE_BUSY, PROFILE_FAILED, HEAP_TOO_LARGE
   */
  async profile(pid: number, profile: ProfileRequest, signal: AbortSignal): Promise<TakenProfile> {
    const member = [...this.#members].find(one => one.pid === pid)
    if (member === undefined) throw profileFailed('its cell has ended')
    const id = ++this.#requests
    const end = () => member.lines.send({ type: 'endProfile', profile: id })
    signal.addEventListener('abort', end)
    const msMax = profile.seconds * 1000 + limits.profile.heapMsMax + limits.profile.answerMsMax
    const answer = await askOne(member, id, { type: 'profile', request: id, profile }, msMax)
    if (answer?.type !== 'profiled') {
      end()
      throw profileFailed('its cell has ended, or does not answer')
    }
    const { facts, failure } = answer
    if (facts === undefined) throw new BerthError(failure?.code ?? 'PROFILE_FAILED', failure?.message ?? 'Cannot profile the slot')
    return { facts, end, pieces: this.#fetchProfile(member, id) }
  }

  /** Each piece is asked for when the one before has been used, so a slow reader fills no memory here. */
  async *#fetchProfile(member: Member, profile: number): AsyncGenerator<string> {
    for (;;) {
      const request = ++this.#requests
      const answer = await askOne(member, request, { type: 'fetchProfile', request, profile }, limits.profile.answerMsMax)
      if (answer?.type !== 'profilePiece') throw profileFailed('its cell has ended')
      if (answer.failure !== undefined) throw new BerthError(answer.failure.code, answer.failure.message)
      if (answer.text === undefined) return
      yield answer.text
    }
  }

  #welcome(
    { cell, pid, revision, failures, services, isLost = false }: Extract<CellToKeeper, { type: 'hello' }>,
    connection: Connection,
  ): void {
    const { lines } = connection
    this.#services = services ?? this.#services
    connection.member = { cell, pid, revision, failures, serviceFaults: [], tables: [], lines, isLost, isGone: false, open: new Map() }
    this.#members.add(connection.member)
    this.#left.delete(pid)
    this.#log.info({ cell, pid, revision }, 'cell connected')
    lines.send({ type: 'table', table: this.#table })
    this.#changed()
  }

  #onApplied(member: Member, { revision, failures }: Extract<CellToKeeper, { type: 'applied' }>): void {
    const known = new Set(member.failures.map(({ scene, version }) => `${scene}/${version}`))
    member.revision = revision
    member.failures = failures
    const fresh = failures.filter(({ scene, version }) => !known.has(`${scene}/${version}`))
    for (const failure of fresh) this.#log.warn({ cell: member.cell, ...failure }, 'a baseline cannot answer')
    this.#changed()
  }

  /** What it was asked is answered as if it had gone: it may never get to it. */
  #onLost(member: Member): void {
    member.isLost = true
    this.#settleAll(member)
    this.#changed()
  }

  #settleAll({ open }: Member): void {
    for (const settle of [...open.values()]) settle(undefined)
  }

  #onServiceFaults(member: Member, faults: readonly ServiceFault[]): void {
    member.serviceFaults = faults
    this.#changed()
  }

  #onFeatures(member: Member, tables: readonly TableState[]): void {
    member.tables = tables
    this.#changed()
  }

  #onLogsOf(member: Member, { batch, records }: Extract<CellToKeeper, { type: 'logs' }>): void {
    this.#keepLogs(member, records)
    member.lines.send({ type: 'logsKept', batch })
  }

  /** Takes what a cell that has ended had nobody to tell. */
  takeUnkept({ cell, records, kills }: Unkept): void {
    this.#keepLogs({ cell }, records)
    this.#events.onKills?.(cell, kills)
  }

  /** Lines that cannot be kept are dropped: they would fail again if the cell sent them again. */
  #keepLogs({ cell }: Pick<Member, 'cell'>, records: readonly LogRecord[]): void {
    try {
      this.#events.onLogs?.(cell, records)
    } catch (error) {
      this.#log.error({ err: error, cell, lines: records.length }, 'lines of modules could not be kept')
    }
  }

  /** Says to every cell that a recording takes no more: the one that makes it begins another. */
  endRecording(recording: string): void {
    for (const member of this.#members) member.lines.send({ type: 'recordingOver', recording })
  }

  #onCaptured(member: Member, captured: readonly Captured[]): void {
    for (const one of captured)
      if (this.#events.onCaptured?.(one) !== true) member.lines.send({ type: 'recordingOver', recording: one.recording })
  }

  #lose(member: Member, error: Error | undefined): void {
    this.#members.delete(member)
    this.#left.add(member.pid)
    member.isGone = true
    this.#settleAll(member)
    this.#log.info({ cell: member.cell, pid: member.pid, ...(error === undefined ? {} : { err: error }) }, 'cell disconnected')
    this.#changed()
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look()
  }

  /** Resolves with true once the condition holds, and with false when it does not in time. */
  #until(holds: () => boolean, msMax: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true)
    return new Promise(resolve => {
      const end = (outcome: boolean) => {
        clearTimeout(timer)
        this.#watchers.delete(look)
        resolve(outcome)
      }
      const look = () => holds() && end(true)
      const timer = setTimeout(end, msMax, false)
      this.#watchers.add(look)
    })
  }

  /** The cells that can be expected to do something. */
  get #askable(): Member[] {
    return [...this.#members].filter(({ isLost }) => !isLost)
  }

  /** Asks every cell that is not lost. A cell that went or did not answer in time gives undefined. */
  #ask(message: (request: number) => KeeperToCell, msMax: number): Promise<Reply | undefined>[] {
    const request = ++this.#requests
    return this.#askable.map(member => askOne(member, request, message(request), msMax))
  }
}

function askOne(member: Member, request: number, message: KeeperToCell, msMax: number): Promise<Reply | undefined> {
  return new Promise(resolve => {
    const settle: Settle = answer => {
      clearTimeout(timer)
      member.open.delete(request)
      resolve(answer)
    }
    const timer = setTimeout(settle, msMax, undefined)
    if (member.isGone) return settle(undefined)
    member.open.set(request, settle)
    member.lines.send(message)
  })
}

const uploadedVersion = (tables: readonly TableState[], name: string): string | undefined =>
  tables.find(table => table.name === name && table.file === null)?.version ?? undefined

const profileFailed = (why: string): BerthError => new BerthError('PROFILE_FAILED', `Cannot profile the slot: ${why}`)

function upgradeFailed(action: string, failure: Omit<LoadFailure, 'scene' | 'version'>): BerthError {
  const { code, message, stack, frame, at } = failure
  return new BerthError('UPGRADE_FAILED', `${action}: ${message} (${code})`, { extra: { cause: { code, message }, stack, frame, at } })
}
