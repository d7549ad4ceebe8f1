/** The cells that are connected to the keeper: tables and commands down, acknowledgements and metrics up. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { BerthError } from '../../kernel/errors.ts'
import { limits } from '../../kernel/limits.ts'
import type { Logger } from '../../kernel/log.ts'
import type { SceneTable, SlotPlan } from '../../traffic/table.ts'
import { type Lines, openLines } from '../../wire/lines.ts'
import type { CellToKeeper, KeeperToCell, LogRecord, ProfileFacts, ProfileRequest, SceneFailure } from '../../wire/messages.ts'

export interface ConnectedCell {
  /** Ordinal; a retiring cell and its replacement share one. */
  readonly cell: number
  readonly pid: number
  /** Of the table in force there. */
  readonly revision: number
  readonly failures: readonly SceneFailure[]
}

export interface Applied {
  /** Cells that have the table in force. */
  readonly applied: number
  readonly connected: number
}

type Settle = (answer: Answer | undefined) => void
type Answer = Extract<CellToKeeper, { readonly request: number }>

/** A connection that has said `hello`. */
interface Link extends ConnectedCell {
  revision: number
  failures: readonly SceneFailure[]
  readonly lines: Lines<KeeperToCell>
  isGone: boolean
  /** By request id; settled with nothing when the cell goes or the time is over. */
  readonly open: Map<number, Settle>
}

export interface Cells {
  readonly connected: readonly ConnectedCell[]
  /** The last table that was published. */
  readonly table: SceneTable

  /** Sends a table to every cell and to those that come later. Resolves when all have it in force, are gone, or `tableAckMsMax` is over. */
  publish(table: SceneTable): Promise<Applied>

  /**
   * Has every cell load the slot beside what runs there.
   * @returns how many did. A cell that goes meanwhile is no fault of the version, unless all do.
   * @throws NO_CELLS; UPGRADE_FAILED, with the first failure as `cause` in its members.
   */
  prepare(plan: SlotPlan): Promise<number>

  /** Waits for a cell, so that what comes right after a start does not fail. @throws NO_CELLS after `cellAwaitMsMax` */
  awaitCell(): Promise<void>

  /** What `getMetricsAsJSON()` gives in each cell that answers within `metricsMsMax`. */
  collectMetrics(): Promise<(readonly unknown[])[]>

  /** Cells that have a slot of the version loaded, with the milliseconds of CPU it has used; of those that answer within `metricsMsMax`. */
  findSlots(scene: string, version: string): Promise<readonly FoundSlot[]>

  /**
   * Has a cell take a profile.
   * @param pid of the cell, as `findSlots` told it
   * @throws SLOT_IDLE, PROFILE_BUSY, PROFILE_FAILED, HEAP_TOO_LARGE
   */
  profile(pid: number, profile: ProfileRequest, signal: AbortSignal): Promise<TakenProfile>

  /** Ends every connection. */
  close(): Promise<void>
}

export interface FoundSlot {
  readonly cell: number
  readonly pid: number
  readonly cpuMs: number
}

export interface TakenProfile {
  readonly facts: ProfileFacts
  /** What V8 wrote, in pieces that are fetched from the cell one by one. Throws PROFILE_FAILED when the cell goes meanwhile. Read it, or end it. */
  readonly pieces: AsyncIterable<string>
  /** Has the cell forget it. Idempotent. */
  end(): void
}

/**
 * Listens for cells on the socket, which only this user may open, in place of one that a killed keeper has left; and again when it is gone, since
 * there are programs that tidy temporary folders.
 * @param onLogs is given what the modules of a cell have written; the cell lets go of it once this returns
 */
export async function listenForCells(
  path: string,
  table: SceneTable,
  log: Logger,
  onLogs: (cell: number, records: readonly LogRecord[]) => void = () => undefined,
): Promise<Cells> {
  const board = new Board(table, log, onLogs)
  let server = await listen(path, board)
  const look = async () => {
    if (process.platform === 'win32' || existsSync(path)) return
    log.warn({ path }, 'the socket for cells was removed: it is made again')
    // First, since closing removes what has the name.
    server.close()
    server = await listen(path, board)
  }
  const failed = (error: unknown) =>
    log.error({ err: error }, 'the socket for cells cannot be made: cells that start do not find the keeper')
  let looking = Promise.resolve()
  const looks = setInterval(() => (looking = looking.then(look).catch(failed)), limits.keeper.socketLookMs).unref()
  return {
    get connected() {
      return board.connected
    },
    get table() {
      return board.table
    },
    publish: next => board.publish(next),
    prepare: plan => board.prepare(plan),
    awaitCell: () => board.awaitCell(),
    collectMetrics: () => board.collectMetrics(),
    findSlots: (scene, version) => board.findSlots(scene, version),
    profile: (pid, profile, signal) => board.profile(pid, profile, signal),
    close: async () => {
      clearInterval(looks)
      await looking
      const closed = server.listening ? once(server, 'close') : undefined
      server.close()
      board.disconnect()
      await closed
    },
  }
}

async function listen(path: string, board: Board): Promise<Server> {
  const server = createServer(socket => board.connect(socket))
  if (process.platform !== 'win32') await rm(path, { force: true })
  server.listen(path)
  await once(server, 'listening')
  try {
    if (process.platform !== 'win32') await chmod(path, 0o600)
  } catch (error) {
    // Removed again already: nobody could find it, and nobody else closes it.
    server.close()
    throw error
  }
  return server
}

class Board {
  readonly #log: Logger
  readonly #onLogs: (cell: number, records: readonly LogRecord[]) => void
  readonly #links = new Set<Link>()
  readonly #sockets = new Set<Socket>()
  /** Called after every change of a cell's state. */
  readonly #watchers = new Set<() => void>()
  #table: SceneTable
  /** Numbers that no other keeper uses: a cell may still answer what one asked that was killed meanwhile, and keep its profiles. */
  #requests = randomInt(2 ** 40)

  constructor(table: SceneTable, log: Logger, onLogs: (cell: number, records: readonly LogRecord[]) => void) {
    this.#table = table
    this.#log = log
    this.#onLogs = onLogs
  }

  get table(): SceneTable {
    return this.#table
  }

  get connected(): ConnectedCell[] {
    return [...this.#links].map(({ cell, pid, revision, failures }) => ({ cell, pid, revision, failures }))
  }

  connect(socket: Socket): void {
    let link: Link | undefined
    this.#sockets.add(socket)
    const lines = openLines<CellToKeeper, KeeperToCell>(
      socket,
      message => {
        if (message.type === 'hello') link = this.#welcome(message, lines)
        else if (link !== undefined) this.#onMessage(link, message)
      },
      error => {
        this.#sockets.delete(socket)
        if (link !== undefined) this.#lose(link, error)
      },
    )
  }

  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async publish(table: SceneTable): Promise<Applied> {
    this.#table = table
    for (const { lines } of this.#links) lines.send({ type: 'table', table })
    const isApplied = ({ revision }: Link) => revision >= table.revision
    await this.#until(() => [...this.#links].every(isApplied), limits.keeper.tableAckMsMax)
    const links = [...this.#links]
    return { applied: links.filter(isApplied).length, connected: links.length }
  }

  async prepare(plan: SlotPlan): Promise<number> {
    await this.awaitCell()
    const action = `Cannot bring version "${plan.version}" of scene "${plan.scene}" online`
    const answers = this.#ask(request => ({ type: 'prepare', request, plan }), limits.slot.loadMsMax)
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

  async awaitCell(): Promise<void> {
    if (await this.#until(() => this.#links.size > 0, limits.keeper.cellAwaitMsMax)) return
    throw new BerthError('NO_CELLS', 'Cannot load the version: no cell is connected', { retryAfterSeconds: 5 })
  }

  async collectMetrics(): Promise<(readonly unknown[])[]> {
    const answers = await Promise.all(this.#ask(request => ({ type: 'collectMetrics', request }), limits.keeper.metricsMsMax))
    return answers.flatMap(answer => (answer?.type === 'metrics' ? [answer.metrics] : []))
  }

  async findSlots(scene: string, version: string): Promise<FoundSlot[]> {
    const links = [...this.#links]
    const answers = await Promise.all(this.#ask(request => ({ type: 'findSlot', request, scene, version }), limits.keeper.metricsMsMax))
    return answers.flatMap((answer, index) => {
      const link = links[index]
      if (link === undefined || answer?.type !== 'slotFound' || answer.cpuMs === undefined) return []
      return { cell: link.cell, pid: link.pid, cpuMs: answer.cpuMs }
    })
  }

  async profile(pid: number, profile: ProfileRequest, signal: AbortSignal): Promise<TakenProfile> {
    const link = [...this.#links].find(one => one.pid === pid)
    if (link === undefined) throw profileFailed('its cell has ended')
    const id = ++this.#requests
    const end = () => link.lines.send({ type: 'endProfile', profile: id })
    signal.addEventListener('abort', end)
    const msMax = profile.seconds * 1000 + limits.profile.heapMsMax + limits.profile.answerMsMax
    const answer = await askOne(link, id, { type: 'profile', request: id, profile }, msMax)
    if (answer?.type !== 'profiled') {
      end()
      throw profileFailed('its cell has ended, or does not answer')
    }
    const { facts, failure } = answer
    if (facts === undefined) throw new BerthError(failure?.code ?? 'PROFILE_FAILED', failure?.message ?? 'Cannot profile the slot')
    return { facts, end, pieces: this.#fetchProfile(link, id) }
  }

  /** Each piece is asked for when the one before has been used: whoever reads slowly fills no memory here. */
  async *#fetchProfile(link: Link, profile: number): AsyncGenerator<string> {
    for (;;) {
      const request = ++this.#requests
      const answer = await askOne(link, request, { type: 'fetchProfile', request, profile }, limits.profile.answerMsMax)
      if (answer?.type !== 'profilePiece') throw profileFailed('its cell has ended')
      if (answer.failure !== undefined) throw new BerthError(answer.failure.code, answer.failure.message)
      if (answer.text === undefined) return
      yield answer.text
    }
  }

  #welcome({ cell, pid, revision, failures }: Extract<CellToKeeper, { type: 'hello' }>, lines: Lines<KeeperToCell>): Link {
    const link = { cell, pid, revision, failures, lines, isGone: false, open: new Map() }
    this.#links.add(link)
    this.#log.info({ cell, pid, revision }, 'cell connected')
    lines.send({ type: 'table', table: this.#table })
    this.#changed()
    return link
  }

  #onMessage(link: Link, message: Exclude<CellToKeeper, { type: 'hello' }>): void {
    if (message.type === 'applied') {
      link.revision = message.revision
      link.failures = message.failures
      for (const failure of message.failures) this.#log.warn({ cell: link.cell, ...failure }, 'a baseline cannot answer')
      this.#changed()
    } else if (message.type === 'logs') {
      this.#keepLogs(link, message.records)
      link.lines.send({ type: 'logsKept', batch: message.batch })
    } else link.open.get(message.request)?.(message)
  }

  /** Lines that cannot be kept are lost: sent again they would fail again, and the connection with them. */
  #keepLogs({ cell }: Link, records: readonly LogRecord[]): void {
    try {
      this.#onLogs(cell, records)
    } catch (error) {
      this.#log.error({ err: error, cell, lines: records.length }, 'lines of modules could not be kept')
    }
  }

  #lose(link: Link, error: Error | undefined): void {
    this.#links.delete(link)
    link.isGone = true
    for (const settle of [...link.open.values()]) settle(undefined)
    this.#log.info({ cell: link.cell, pid: link.pid, ...(error === undefined ? {} : { err: error }) }, 'cell disconnected')
    this.#changed()
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look()
  }

  /** Resolves with true once the condition holds, with false when it does not in time. */
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

  /** Asks every cell; undefined stands for one that went or did not answer in time. */
  #ask(message: (request: number) => KeeperToCell, msMax: number): Promise<Answer | undefined>[] {
    const request = ++this.#requests
    return [...this.#links].map(link => askOne(link, request, message(request), msMax))
  }
}

function askOne(link: Link, request: number, message: KeeperToCell, msMax: number): Promise<Answer | undefined> {
  return new Promise(resolve => {
    const settle: Settle = answer => {
      clearTimeout(timer)
      link.open.delete(request)
      resolve(answer)
    }
    const timer = setTimeout(settle, msMax, undefined)
    if (link.isGone) return settle(undefined)
    link.open.set(request, settle)
    link.lines.send(message)
  })
}

const profileFailed = (why: string): BerthError => new BerthError('PROFILE_FAILED', `Cannot profile the slot: ${why}`)

function upgradeFailed(action: string, { code, message }: Pick<SceneFailure, 'code' | 'message'>): BerthError {
  return new BerthError('UPGRADE_FAILED', `${action}: ${message} (${code})`, { extra: { cause: { code, message } } })
}
