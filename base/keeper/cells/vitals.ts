/** The state of the base: what the supervisor and the cells themselves say of the cells, and the counts of the keeper. */
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry as MetricsRegistry } from 'prom-client'
import { type ControlRoot, controlLinks } from '../../contract/root-api.ts'
import type { BaseStatus, Readiness } from '../../contract/status-api.ts'
import type { UpgradeLog } from '../../folder/upgrade-files.ts'
import { BerthError } from '../../kernel/errors.ts'
import type { Guesses } from '../../kernel/guesses.ts'
import type { Options } from '../../kernel/options.ts'
import manifest from '../../package.json' with { type: 'json' }
import type { SceneFailure, ToKeeper } from '../../wire/messages.ts'
import type { Book } from '../book/book.ts'
import type { DiskUse, DiskUsed } from '../disk-use.ts'
import type { Cells } from './cells.ts'
import { featureTables } from './feature-views.ts'

const CELL_STATES = ['starting', 'ready', 'retiring'] as const

type Report = Extract<ToKeeper, { type: 'cells' }>
type VitalOptions = Pick<Options, 'mode' | 'cells' | 'cellMemoryMB'>

export class Vitals {
  readonly #options: VitalOptions
  readonly #book: Book
  readonly #cells: Cells
  readonly #storageFault: () => string | null
  readonly #disk: DiskUse
  readonly #metrics = new MetricsRegistry()
  readonly #durations = new Histogram({
    name: 'berth_control_request_duration_seconds',
    help: 'Requests of the control API',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers: [this.#metrics],
  })
  /** The last report of the supervisor. */
  #reported: (Pick<Report, 'cells' | 'port'> & Partial<Report>) | undefined
  /** How often each cell was replaced after a crash or kill; one that has not started again yet is in no report. */
  readonly #crashes = new Map<number, number>()
  /** Where the control API answers; known once it listens. */
  controlPort = 0

  constructor(
    options: VitalOptions,
    book: Book,
    cells: Cells,
    guesses: Pick<Guesses, 'total'>,
    disk: DiskUse,
    storageFault: () => string | null,
  ) {
    this.#options = options
    this.#book = book
    this.#cells = cells
    this.#storageFault = storageFault
    this.#disk = disk
    addDiskGauges(disk, this.#metrics)
    const registers = [this.#metrics]
    this.#metrics.setDefaultLabels({ process: 'keeper' })
    collectDefaultMetrics({ register: this.#metrics })
    this.#nameRelease()
    this.#measureCells()
    this.#measureFaults()
    this.#measureMemory()
    this.#countUpgrades()
    new Counter({
      name: 'berth_token_guesses_total',
      help: 'Requests whose token was not known',
      registers,
      collect() {
        this.reset()
        this.inc(guesses.total)
      },
    })
    addBookGauges(book, this.#metrics)
  }

  #gauge(name: string, help: string, read: () => number): void {
    const registers = [this.#metrics]
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }

  #measureCells(): void {
    const registers = [this.#metrics]
    const reported = () => this.#reported?.cells ?? []
    const crashes = this.#crashes
    new Gauge({
      name: 'berth_cells',
      help: 'Cells by state, as the supervisor sees them',
      labelNames: ['state'],
      registers,
      collect() {
        for (const state of CELL_STATES) this.set({ state }, reported().filter(cell => cell.state === state).length)
      },
    })
    this.#gauge('berth_cells_configured', 'Cells that the base should have', () => this.#options.cells)
    new Counter({
      name: 'berth_cell_crashes_total',
      help: 'How often each cell was replaced after a crash or kill',
      labelNames: ['cell'],
      registers,
      collect() {
        this.reset()
        for (const [cell, count] of crashes) this.inc({ cell }, count)
      },
    })
    this.#gauge('berth_table_revision', 'Revision of the scene table in force', () => this.#cells.table.revision)
  }

  /** Gives what is measured the release beside it, as exporters of Prometheus do. */
  #nameRelease(): void {
    const { mode } = this.#options
    const release = () => this.#reported?.release
    new Gauge({
      name: 'berth_build_info',
      help: 'The release that the base runs, and its mode: always 1',
      labelNames: ['version', 'mode', 'digest', 'commit', 'modified'],
      registers: [this.#metrics],
      collect() {
        const { version = manifest.version, digest, commit, modified } = release() ?? {}
        this.reset()
        this.set({ version, mode, digest: digest ?? '', commit: commit ?? '', modified: String(modified ?? '') }, 1)
      },
    })
  }

  /** What `status` says in words, as numbers that alerts can watch. */
  #measureFaults(): void {
    this.#gauge('berth_storage_fault', 'Whether something keeps the data folder from being written: 1, else 0', () =>
      this.#storageFault() === null ? 0 : 1,
    )
    this.#gauge('berth_troubles', 'Processes of the base that cannot run as they should', () => this.#reported?.troubles?.length ?? 0)
    const connected = () => this.#cells.connected
    new Gauge({
      name: 'berth_baseline_faults',
      help: 'Cells in which the baseline of a scene cannot answer; a scene that answers everywhere has no series',
      labelNames: ['scene', 'version', 'code'],
      registers: [this.#metrics],
      collect() {
        this.reset()
        for (const { scene, version, code } of connected().flatMap(cell => cell.failures)) this.inc({ scene, version, code })
      },
    })
  }

  #measureMemory(): void {
    const memory = () => this.#reported?.memory ?? null
    this.#gauge(
      'berth_memory_limit_bytes',
      'Memory that all processes of the base may use together',
      () => (memory()?.limitMB ?? 0) * 2 ** 20,
    )
    this.#gauge(
      'berth_cell_memory_limit_bytes',
      'Resident memory above which a cell is replaced',
      () => this.#options.cellMemoryMB * 2 ** 20,
    )
    this.#gauge(
      'berth_kernel_kills',
      'Cells and keepers that the kernel has killed for want of memory since the base started',
      () => memory()?.kernelKills ?? 0,
    )
  }

  /** The counts are of the data folder, so that they go on over all releases. */
  #countUpgrades(): void {
    const registers = [this.#metrics]
    const reported = () => this.#reported
    new Counter({
      name: 'berth_upgrades_total',
      help: 'Upgrades of the base, by whether the other release took over',
      labelNames: ['result'],
      registers,
      collect() {
        this.reset()
        const { done = 0, failed = 0 } = reported()?.upgrade?.counts ?? {}
        this.inc({ result: 'done' }, done)
        this.inc({ result: 'failed' }, failed)
      },
    })
  }

  /** Takes a report of the supervisor. */
  report(report: Pick<Report, 'cells' | 'port'> & Partial<Report>): void {
    this.#reported = report
    for (const { cell, crashes } of report.cells) this.#crashes.set(cell, crashes)
  }

  observe(method: string, route: string, status: number, seconds: number): void {
    this.#durations.observe({ method, route, status }, seconds)
  }

  /** @throws CELL_NOT_FOUND */
  requireCell(cell: number): void {
    const known = (this.#reported?.cells ?? []).map(status => status.cell)
    if (known.includes(cell)) return
    throw new BerthError('CELL_NOT_FOUND', `Cannot find cell ${cell}: the base has ${known.join(', ') || 'none'}`)
  }

  /** What anybody may know of the base. */
  root(): ControlRoot {
    const { version } = manifest
    const is = 'the control API of a base'
    return { name: 'berth', is, version, mode: this.#options.mode, id: this.#reported?.base ?? null, links: controlLinks }
  }

  async status(): Promise<BaseStatus> {
    const disk = await this.#disk.look()
    return {
      mode: this.#options.mode,
      port: this.#reported?.port ?? null,
      controlPort: this.controlPort,
      revision: this.#book.revision,
      tableRevision: this.#cells.table.revision,
      keeper: { pid: process.pid, uptimeSeconds: Math.round(process.uptime()) },
      release: this.#reported?.release ?? null,
      upgrade: lastUpgrade(this.#reported?.upgrade),
      storageFault: this.#storageFault(),
      memory: this.#reported?.memory ?? null,
      disk: disk && diskView(disk),
      largestModules: (disk?.largest ?? []).map(({ bytes, ...rest }) => ({ ...rest, MB: asMB(bytes) })),
      wall: [...(this.#reported?.wall ?? [])],
      troubles: [...(this.#reported?.troubles ?? [])],
      serviceFaults: this.#mergeServiceFaults(),
      features: featureTables(this.#book, this.#cells).map(({ name, source, rows, bytes, version, since, byLabel, note }) => {
        return { name, source, rows, bytes, version, since, byLabel, note }
      }),
      quarantined: this.#book.scenes.quarantined(),
      cells: this.#mergeCells(),
    }
  }

  /**
   * @returns what is amiss in spite of that: the scenes that cannot answer in some cell, each once, and processes that cannot run as they should
   * @throws BASE_NOT_READY unless a cell has the current table in force and can answer for a scene, and while the base is being set up
   */
  checkReady(): Readiness {
    if (this.#reported?.isSettingUp)
      throw new BerthError('BASE_NOT_READY', 'Cannot answer for every scene yet: the first ones are being published')
    const { troubles = [] } = this.#reported ?? {}
    const failures = this.#findFailures()
    return { status: 'ok', ...(failures.length > 0 && { failures }), ...(troubles.length > 0 && { troubles: [...troubles] }) }
  }

  #findFailures(): SceneFailure[] {
    const { connected, table } = this.#cells
    const current = connected.filter(({ revision }) => revision >= table.revision)
    const failures = firstOfEach(current.flatMap(cell => cell.failures))
    const scenes = table.scenes.filter(({ baseline }) => baseline !== null).length
    if (current.some(cell => cell.failures.length === 0 || cell.failures.length < scenes)) return failures
    const none = `of ${connected.length} connected cells none has table ${table.revision} in force`
    const problems = (this.#reported?.troubles ?? []).map(({ process, problem }) => `${process}: ${problem}`)
    const why = current.length > 0 ? describeFailures(failures) : [none, ...problems].join('; ')
    const extra = { failures, cells: { connected: connected.length, current: current.length } }
    throw new BerthError('BASE_NOT_READY', `Cannot answer for any scene: ${why}`, { extra })
  }

  /** The metrics of the keeper and of every cell that answers in time, in the text format of Prometheus. */
  async metrics(): Promise<{ readonly type: string; readonly text: string }> {
    const own = await this.#metrics.getMetricsAsJSON()
    const all = AggregatorRegistry.aggregate([own, ...(await this.#cells.collectMetrics())])
    return { type: all.contentType, text: await all.metrics() }
  }

  #mergeServiceFaults(): BaseStatus['serviceFaults'] {
    const faults = this.#cells.connected.flatMap(({ cell, serviceFaults }) => serviceFaults.map(fault => ({ ...fault, cell })))
    return [...Map.groupBy(faults, ({ service, name }) => `${service} ${name}`).values()].flatMap(same => {
      // A cell that retires and its replacement share an ordinal.
      const cells = [...new Set(same.map(({ cell }) => cell))].sort((a, b) => a - b)
      return same.slice(0, 1).map(({ service, name }) => ({ service, name, cells }))
    })
  }

  #mergeCells(): BaseStatus['cells'] {
    const connected = new Map(this.#cells.connected.map(cell => [cell.pid, cell]))
    const reported = new Map((this.#reported?.cells ?? []).map(cell => [cell.pid, cell]))
    return [...new Set([...reported.keys(), ...connected.keys()])].map(pid => {
      const seen = connected.get(pid)
      return {
        cell: reported.get(pid)?.cell ?? seen?.cell ?? 0,
        pid,
        state: 'unknown',
        ...reported.get(pid),
        connected: seen !== undefined,
        revision: seen?.revision ?? null,
        failures: [...(seen?.failures ?? [])],
      }
    })
  }
}

function lastUpgrade(upgrade: UpgradeLog | undefined): BaseStatus['upgrade'] {
  if (upgrade === undefined) return null
  const { counts: _, steps, ...shown } = upgrade
  return { ...shown, steps: [...steps] }
}

const asMB = (bytes: number): number => Math.round((bytes / 2 ** 20) * 100) / 100

const diskView = ({ bytes, freeBytes, storeFreeBytes }: DiskUsed): NonNullable<BaseStatus['disk']> => ({
  freeMB: asMB(freeBytes),
  bundlesMB: asMB(bytes.bundles),
  sourceMapsMB: asMB(bytes.sourceMaps),
  whitelistsMB: asMB(bytes.whitelists),
  unusedBlobsMB: asMB(bytes.unusedBlobs),
  storeMB: asMB(bytes.store),
  storeFreeMB: asMB(storeFreeBytes),
  logsMB: asMB(bytes.logs),
  capsulesMB: asMB(bytes.capsules),
  featureTablesMB: asMB(bytes.featureTables),
  otherMB: asMB(bytes.other),
})

function addBookGauges(book: Book, registry: MetricsRegistry): void {
  const registers = [registry]
  new Gauge({
    name: 'berth_version_quarantined',
    help: 'Versions that are online and get no requests, because they kept killing their slots or cells: 1 for each',
    labelNames: ['scene', 'version'],
    registers,
    collect() {
      this.reset()
      for (const { scene, version } of book.scenes.quarantined()) this.set({ scene, version }, 1)
    },
  })
  new Gauge({
    name: 'berth_store_revision',
    help: 'Commits of the store',
    registers,
    collect() {
      this.set(book.revision)
    },
  })
}

function addDiskGauges(disk: DiskUse, registry: MetricsRegistry): void {
  const registers = [registry]
  new Gauge({
    name: 'berth_disk_used_bytes',
    help: 'Bytes of the data folder by kind, as of a minute ago at most',
    labelNames: ['kind'],
    registers,
    async collect() {
      for (const [kind, bytes] of Object.entries((await disk.look())?.bytes ?? {})) this.set({ kind }, bytes)
    },
  })
  new Gauge({
    name: 'berth_disk_free_bytes',
    help: 'Bytes that the base may still write to the disk of its data folder',
    registers,
    async collect() {
      const used = await disk.look()
      if (used !== null) this.set(used.freeBytes)
    },
  })
}

const describeFailures = (failures: readonly SceneFailure[]): string =>
  failures.map(({ scene, version, code, message }) => `${scene}/${version}: ${message} (${code})`).join('; ')

const firstOfEach = (failures: readonly SceneFailure[]): SceneFailure[] =>
  [...Map.groupBy(failures, ({ scene }) => scene).values()].flatMap(([first]) => first ?? [])
