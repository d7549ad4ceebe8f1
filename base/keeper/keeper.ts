/** The keeper: owns state and control, never runs module code, and may be killed and started again at any moment. */
import type { FastifyInstance } from 'fastify'
import { capsulesPath, type Generation, keeperSocketPath, logsPath, tablePath, tokenPath } from '../folder/paths.ts'
import { readSavedTable } from '../folder/saved-table.ts'
import { BerthError, toBerthError } from '../kernel/errors.ts'
import { Guesses } from '../kernel/guesses.ts'
import { limits } from '../kernel/limits.ts'
import { createLog, type Logger } from '../kernel/log.ts'
import { isThrifty } from '../kernel/memory-plan.ts'
import { type Options, offeredServices } from '../kernel/options.ts'
import { holdSnapshot } from '../process/code-snapshot.ts'
import { roleCommand } from '../process/roles.ts'
import { Wall } from '../process/wall.ts'
import { type BaseStore, openBaseStore, referencedBlobs } from '../store/base-store.ts'
import { Blobs } from '../store/blobs.ts'
import { storeFault } from '../store/faults.ts'
import { hasRoom, writeWhole } from '../store/files.ts'
import { capsuleDefaults } from '../traffic/schema.ts'
import { dispatcher } from '../wire/dispatch.ts'
import type { FromKeeper, Start, ToKeeper } from '../wire/messages.ts'
import { Book } from './book/book.ts'
import { newSecret } from './book/token-book.ts'
import { Capsules } from './capsules/capsules.ts'
import { RecordingFiles } from './capsules/recording-files.ts'
import { CellConnections } from './cells/cells.ts'
import { startTrials, type Trials } from './cells/trials.ts'
import { Validators } from './cells/validators.ts'
import { Vitals } from './cells/vitals.ts'
import { DiskUse } from './disk-use.ts'
import { addToken, BaseDriver } from './driver/base-driver.ts'
import { FeatureDriver } from './driver/feature-driver.ts'
import { GuessAudit } from './driver/guess-audit.ts'
import { Judge } from './driver/judge.ts'
import { SceneDriver } from './driver/scene-driver.ts'
import { TablePublisher } from './driver/table-publisher.ts'
import { WarmUps } from './driver/warm-ups.ts'
import { Gate } from './gate.ts'
import { createApi } from './http/server.ts'
import { LogFiles } from './logs/log-files.ts'
import { Logs, numberOf } from './logs/logs.ts'
import { Past } from './past.ts'
import { proveFolder } from './proof.ts'
import { Upgrades } from './upgrades.ts'

/**
 * Becomes the keeper: waits for the supervisor's `start`. Exits 0 when the supervisor stops it, and 1 when it cannot start or its disk has
 * failed.
 */
export function runKeeper(): void {
  // A terminal's Ctrl-C reaches the whole process group, but when to end is the supervisor's decision.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.on('disconnect', () => process.exit(1))
  process.once('message', (message: ToKeeper, handle) => {
    if (message.type !== 'start') throw new Error(`A keeper starts with "start", not "${message.type}"`)
    const log = createLog('keeper', message.options.logLevel)
    const wall = new Wall(message.wall, why => log.error(why))
    const thrifty = isThrifty(message.options)
    const command = roleCommand('trial', message.options.data, { wall, isThrifty: thrifty })
    const trials = startTrials(command, { atOnce: thrifty ? 1 : limits.module.trialsMax })
    process.on('exit', () => trials.close())
    const { generation, takesChanges } = message
    const place = { generation, takesChanges, handle }
    const folder = message.isHeir ? standBy(message.options.data) : Promise.resolve()
    follow(
      folder.then(() => startKeeper(message.options, log, sendToSupervisor, { trials, wall }, place)),
      log,
    )
  })
}

/**
 * Proves that this release can read the data folder on a copy of its database, and waits until the folder is free.
 * @throws as `proveFolder`
 */
async function standBy(data: string): Promise<void> {
  // What is compiled and loaded now need not be while no keeper runs.
  const about = await proveFolder(data)
  const free = new Promise<void>(resolve => {
    const listen = (message: ToKeeper) => {
      if (message.type !== 'takeOver') return
      process.off('message', listen)
      resolve()
    }
    process.on('message', listen)
  })
  sendToSupervisor({ type: 'proved', about })
  await free
}

/** The message leaves before anything else can end the process. */
const sendToSupervisor = (message: FromKeeper, done: () => void = () => undefined): void => {
  process.send?.(message, undefined, undefined, done)
}

/** Passes on what the supervisor says once the keeper has started, in order. */
function follow(starting: Promise<Keeper>, log: Logger): void {
  const dispatch = dispatcher<Exclude<ToKeeper, Start>, [Keeper]>(
    'the keeper',
    {
      cells: (report, keeper) => {
        keeper.vitals.report(report)
        keeper.cells.expect(report.cells)
        keeper.upgrades.report(report.release, report.upgrade)
      },
      losses: ({ losses }, { judge }) => {
        // What could not be kept is sent again with the next loss.
        judge.lost(losses).then(
          upTo => sendToSupervisor({ type: 'lossesKept', upTo }),
          (error: unknown) => log.error({ err: error, losses }, 'lost cells could not be judged'),
        )
      },
      // This is what has started the keeper.
      takeOver: () => undefined,
      takeChanges: (_, { changes }) => changes.open(),
      unkept: (unkept, { cells }) => cells.takeUnkept(unkept),
      stop: async (_, keeper) => {
        await keeper.stop()
        process.exit(0)
      },
    },
    sentence => log.error(sentence),
  )
  // A keeper that cannot start gets no messages: it says why below, and ends.
  process.on('message', (message: Exclude<ToKeeper, Start>) =>
    starting.then(
      keeper => dispatch(message, keeper),
      () => undefined,
    ),
  )
  starting.then(
    ({ vitals }) => {
      sendToSupervisor({ type: 'ready', controlPort: vitals.controlPort })
      setInterval(() => sendToSupervisor({ type: 'heartbeat' }), limits.process.heartbeatMs)
    },
    (thrown: unknown) => {
      const { code, message, cause } = toBerthError(thrown)
      log.fatal({ err: cause ?? thrown, code }, message)
      sendToSupervisor({ type: 'refused', code, message }, () => process.exit(1))
    },
  )
}

export interface Keeper {
  readonly vitals: Vitals
  readonly changes: Gate
  readonly upgrades: Upgrades
  readonly judge: Judge
  readonly cells: CellConnections
  /** Lets requests finish (bounded), then closes everything. */
  stop(): Promise<void>
}

/** Where a keeper is found. */
export interface Place {
  readonly generation: Generation
  /** Whether it takes changes before `changes` is opened. */
  readonly takesChanges: boolean
  /** The listening handle of the control port. Without one, the keeper listens where the options say. */
  readonly handle?: unknown
}

/** What runs module code, and what confines it from outside. */
export interface Confined {
  readonly trials: Trials
  readonly wall?: Wall | undefined
}

/**
 * Starts a keeper in this process.
 * @throws DATA_UNWRITABLE, DATA_FORMAT_NEWER, DATA_DAMAGED, STORE_FULL, PORT_TAKEN, PORT_DENIED
 */
export async function startKeeper(
  options: Options,
  log: Logger,
  send: (message: FromKeeper) => void,
  { trials, wall }: Confined,
  place: Place = { generation: 0, takesChanges: true },
): Promise<Keeper> {
  const { data } = options
  const kept = await openKept(data, log, () => cells)
  const { store, book, blobs, logs, capsules } = kept
  const table = book.tables.build()
  const audit = new GuessAudit(book, log)
  const guesses = new Guesses(address => audit.note(address, 'control'))
  const warmUps = new WarmUps(book, capsules, log, options.mode)
  const cells = await CellConnections.listen(keeperSocketPath(data, place.generation), table, log, {
    onLogs: (cell, records) => logs.take(cell, records),
    onCaptured: captured => capsules.take(captured),
    onKills: (cell, kills) => judge.killed(cell, kills),
    onStale: pid => send({ type: 'endStale', pid }),
    onGuesses: address => audit.note(address, 'scene'),
    warmUpOf: (scene, version) => warmUps.ofVersion(scene, version),
  })
  const tables = new TablePublisher(data, book, cells, log)
  const disk = new DiskUse(data, store, () => ({ logs: kept.logFiles.bytes, capsules: capsules.bytes }))
  const vitals = new Vitals(options, book, cells, guesses, disk, () => tables.fault)
  const validators = startValidators(options, wall, book, capsules)
  const common = { book, blobs, cells, tables }
  const validation = { capsules, answering: validators }
  const driver = new SceneDriver({ ...common, services: offeredServices(options), validation, warmUps })
  const judge = new Judge(book, driver, log)
  const featureDriver = new FeatureDriver(common)
  const baseDriver = new BaseDriver({ book, blobs, trials, tables, retire: cell => send({ type: 'retire', cell }) })
  // A failure to save is only logged: on a full disk it is better to have a keeper that shows this and serves tables than none.
  await tables.save()
  const changes = new Gate(place.takesChanges)
  const upgrades = new Upgrades({ data, book, cells, log, ask: message => send(message) })
  const drivers = { driver, baseDriver, featureDriver, validators }
  const parts = { book, blobs, vitals, logs, capsules, cells, guesses, changes, upgrades, log, ...drivers }
  // Whether there is room is seen by saving the table, which is tried until there is.
  const faults = { onStoreFailed: (error: BerthError) => endForDisk(error, log), onStoreFull: () => void tables.save() }
  const app = await createApi({ ...parts, ...faults })
  vitals.controlPort = await listen(app, options, place.handle)
  log.info({ controlPort: vitals.controlPort, revision: book.revision }, 'control API listens')
  const past = new Past(limits.control.keptAnswerMsMin)
  past.date(performance.now(), Date.now())
  const looking = store.isAlone ? restartOnceThereIsRoom(data, log) : undefined
  const tidying = setInterval(() => tidy({ blobs, store, past, capsules }, log), limits.keeper.unusedBlobMsMin).unref()
  return {
    vitals,
    changes,
    upgrades,
    judge,
    cells,
    stop: async () => {
      clearInterval(tidying)
      clearInterval(looking)
      // The drain would wait for those who follow a log.
      logs.close()
      // What is validated is not changed then: nobody waits for a minute for a keeper to stop.
      validators.close()
      await bounded(app.close(), limits.keeper.drainMsMax)
      trials.close()
      await cells.close()
      store.close()
    },
  }
}

/**
 * Opens what the data folder has, and lets in whoever has the token in it.
 * @param cells is not called before the keeper has started
 */
async function openKept(data: string, log: Logger, cells: () => CellConnections) {
  const store = openBaseStore(data)
  await requireWhole(data, store, log)
  const blobs = new Blobs(data)
  const book: Book = new Book(store, undefined, ({ action, target, kind, ...by }) => {
    log.info(by, `${action} ${target}`)
    if (kind === 'delete scene' || kind === 'delete versions') for (const kept of [logs, capsules]) kept.removeDeleted()
  })
  await blobs.sweep()
  await ensureAdminToken(data, book, log)
  const { logs, logFiles } = openLogs(data, book, log)
  const capsules = openCapsules(data, book, log, cells)
  return { store, blobs, book, logs, logFiles, capsules }
}

function startValidators(options: Options, wall: Wall | undefined, book: Book, recordings: Capsules): Validators {
  const { data } = options
  const command = roleCommand('validator', data, { wall, isThrifty: isThrifty(options) })
  return new Validators(command, { data, recordings, tables: () => book.tables.build().features ?? [] })
}

function openLogs(data: string, book: Book, log: Logger): { readonly logs: Logs; readonly logFiles: LogFiles } {
  const logFiles = new LogFiles(logsPath(data), numberOf, error => log.error({ err: error }, 'the logs of modules cannot be kept'))
  const logs = new Logs(logFiles, {
    hasScene: scene => book.scenes.find(scene) !== undefined,
    hasVersion: (scene, version) => book.scenes.hasVersion(scene, version),
  })
  // A keeper that was killed may not have come to it.
  logs.removeDeleted()
  return { logs, logFiles }
}

function openCapsules(data: string, book: Book, log: Logger, cells: () => CellConnections): Capsules {
  const scenes = {
    boundsOf: (scene: string) => {
      const definition = book.scenes.find(scene)?.definition
      return definition && (definition.capsules ?? capsuleDefaults)
    },
    hasVersion: (scene: string, version: string) => book.scenes.hasVersion(scene, version),
  }
  const onFailed = (error: unknown, path?: string) =>
    log.error(
      { err: error, ...(path !== undefined && { path }) },
      path === undefined ? 'capsules cannot be kept' : 'a recording cannot be read',
    )
  return new Capsules(new RecordingFiles(capsulesPath(data)), scenes, onFailed, recording => cells().endRecording(recording))
}

/**
 * Makes a token that may do everything when there is none, because otherwise nobody could let anybody in. That happens at the first start,
 * and at the start after the last such token was revoked.
 */
async function ensureAdminToken(data: string, book: Book, log: Logger): Promise<void> {
  if (book.tokens.list().some(({ rights }) => rights.includes('admin'))) return
  const secret = newSecret()
  // The file is written first: a token that is in the store and nowhere else would lock everybody out.
  await writeWhole(tokenPath(data), `${secret}\n`).catch((error: unknown) => {
    throw storeFault('write the first token', error)
  })
  addToken(book, secret, ['admin'], 'the first token', { who: 'base' })
  log.info({ file: tokenPath(data) }, 'admin token made')
}

function endForDisk(error: BerthError, log: Logger): void {
  log.fatal({ err: error }, 'the disk failed: the keeper ends, so that it reads what was kept when it is started again')
  setImmediate(() => process.exit(1))
}

/** The store was opened without room, and is for this process alone. Opened again, it can be backed up while the base runs. */
function restartOnceThereIsRoom(data: string, log: Logger): NodeJS.Timeout {
  log.error(`the data folder "${data}" has no room: what it has is served, and nothing can be changed`)
  return setInterval(async () => {
    if (!(await hasRoom(data, limits.keeper.roomBytes))) return
    log.warn('the data folder has room again: the keeper ends, to be started again')
    process.exit(1)
  }, limits.keeper.roomLookMs).unref()
}

/**
 * Checks that the saved table is not ahead of the database. A table is saved once its changes are in the database, so one that is ahead
 * shows that the database has lost some, with its write-ahead log or because an older copy took its place. Cells take no older tables, so
 * changes made on top of such a database would be acknowledged and never be in force.
 * @throws DATA_DAMAGED
 */
async function requireWhole(data: string, { revision }: BaseStore, log: Logger): Promise<void> {
  // A damaged table is no reason to fail: it is about to be written anew.
  const saved = await readSavedTable(data).catch((error: unknown) => void log.warn({ err: error }, 'the saved scene table is of no use'))
  if (saved === undefined || saved.revision <= revision) return
  const lost = `its database is at revision ${revision}, and had come to ${saved.revision}: changes that were acknowledged are missing`
  throw new BerthError(
    'DATA_DAMAGED',
    `Cannot use the data folder "${data}": ${lost}. To go on without them, stop the base, then remove "${tablePath(data)}"`,
  )
}

interface Tidied {
  readonly blobs: Blobs
  readonly store: BaseStore
  readonly past: Past
  readonly capsules: Capsules
}

/**
 * Removes capsules that are too old, blobs that nothing refers to, since each edit of a whitelist writes another one, and answers to requests with keys that
 * are over a day old. Otherwise they would fill the disk. The snapshot of the code must stay for as long as the base runs.
 */
async function tidy({ blobs, store, past, capsules }: Tidied, log: Logger): Promise<void> {
  holdSnapshot()
  capsules.removeDeleted()
  try {
    const forgotten = store.forgetKeyed(past.date(performance.now(), Date.now()))
    const removed = await blobs.removeUnused(() => referencedBlobs(store).union(capsules.digests()))
    store.giveBack()
    if (removed + forgotten > 0) log.info({ removed, forgotten }, 'blobs that nothing refers to and old answers were removed')
  } catch (error) {
    log.error({ err: error }, 'blobs that nothing refers to and old answers could not be removed')
  }
}

/** @param handle what to listen on instead of the port of the options */
async function listen(app: FastifyInstance, { controlHost, controlPort }: Options, handle: unknown): Promise<number> {
  try {
    // Fastify gives these options to Node's server, which takes a handle as well.
    await app.listen({ host: controlHost, port: controlPort, ...(handle !== undefined && { handle }) })
    const address = app.server.address()
    return typeof address === 'object' && address !== null ? address.port : controlPort
  } catch (error) {
    throw listenFault(error, `${controlHost}:${controlPort}`)
  }
}

function listenFault(thrown: unknown, address: string): unknown {
  const { code } = thrown as NodeJS.ErrnoException
  const action = `Cannot serve the control API on ${address}`
  if (code === 'EADDRINUSE') return new BerthError('PORT_TAKEN', `${action}: the port is in use`, { cause: thrown })
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new BerthError('PORT_DENIED', `${action}: it may not be listened on (${code})`, { cause: thrown })
  }
  return thrown
}

async function bounded(work: Promise<unknown>, msMax: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, msMax)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
