/** What a cell counts. The keeper collects it from every cell and serves it to Prometheus; the label `cell` keeps their series apart. */
import { Counter, collectDefaultMetrics, Gauge, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import type { CaptureReason } from '../capsule/capsule.ts'
import type { BreakerState } from '../traffic/admission.ts'
import type { AnyArm } from '../traffic/decide.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { ServiceFault } from '../wire/messages.ts'
import type { SkipReason } from './capture.ts'
import { Histogram, type Tally } from './histogram.ts'
import { type WarmUpOutcome, warmUpOutcomes } from './warm-up.ts'

/** Values of the gauge for the states of a breaker. */
const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, halfOpen: 1, open: 2 }

/** Bounds in seconds, from a fifth of a millisecond, which the smallest stages take, to ten seconds: most answers of algorithms take a few milliseconds. */
const LATENCY_BUCKETS = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]

/** Bounds in seconds: another host may be in the same rack or on another continent. */
const FETCH_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]

/** Bounds in seconds: a table in memory answers within microseconds, a database within milliseconds. */
const SERVICE_BUCKETS = [0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5]

/** Versions whose counts are kept. When there are more, those that are offline are forgotten: each save of `sdk dev` makes a version, and each has some 20 series. */
const VERSIONS_KEPT = 1000

/** Arms whose counts are kept here until the next collection. */
const ARMS_KEPT = 1000

/** Arms, and hosts that modules fetch from, that have series. Every phase of an experiment has arms of its own, and every module may list hosts. */
const ARM_SERIES_MAX = 10_000
const HOST_SERIES_MAX = 1000

export interface CellGauges {
  slots(): number
  inFlight(): number
  connections(): number
  revision(): number
  breakers(): Iterable<{ readonly scene: string; readonly version: string; readonly state: BreakerState }>
  serviceFaults(): readonly ServiceFault[]
  /** Whether there is such a scene, so that its series are shown. */
  hasScene(scene: string): boolean
  /** Requests whose token was not known, since the cell started. */
  tokenGuesses(): number
}

type VersionOfScene = Pick<SlotPlan, 'scene' | 'version'>

/** The counters of one version. */
interface VersionCounters {
  readonly scene: string
  readonly version: string
  /** Good answers since the last collection, and those before it. */
  answers: number
  collected: number
  readonly duration: Tally<'scene' | 'version'>
  readonly errors: Map<string, number>
  /** Codes that the registry has counted for the version. */
  readonly codes: Set<string>
}

interface ServiceCounters {
  readonly service: string
  readonly method: string
  readonly duration: Tally<'service' | 'method'>
  /** Calls by code, since the last collection. */
  readonly calls: Map<string, number>
}

interface HostCounters {
  readonly host: string
  readonly duration: Tally<'host'>
  /** Codes that the registry has counted for the host. */
  readonly codes: Set<string>
}

/** Label values that have series, so many at most: of what the owners of modules and scenes make up, the longest unused is dropped. */
class RecentLabels<Labels extends object> {
  readonly #max: number
  readonly #drop: (labels: Labels) => void
  readonly #labels = new Map<string, Labels>()

  constructor(max: number, drop: (labels: Labels) => void) {
    this.#max = max
    this.#drop = drop
  }

  /** @returns the labels that are known by the key, or those that `make` gives */
  use(key: string, make: () => Labels): Labels {
    const labels = this.#labels.get(key) ?? make()
    this.#labels.delete(key)
    this.#labels.set(key, labels)
    if (this.#labels.size > this.#max) this.#dropOldest()
    return labels
  }

  #dropOldest(): void {
    const [oldest] = this.#labels
    if (oldest === undefined) return
    this.#labels.delete(oldest[0])
    this.#drop(oldest[1])
  }
}

interface ArmLabels {
  readonly scene: string
  readonly experiment: string
  readonly phase: string
  readonly arm: string
}

type ExposedArm = Pick<AnyArm, 'experiment' | 'phase' | 'arm'>

/** Requests that the same arms had a part in, since they were last moved to the registry. */
interface Exposed {
  readonly scene: string
  readonly arms: readonly ExposedArm[]
  count: number
}

/** What is read of a decision. */
interface Exposure {
  readonly plan: Pick<SlotPlan, 'scene'>
  readonly arm: ExposedArm | undefined
  readonly layers: readonly ExposedArm[]
}

export class Metrics {
  readonly #registry = new Registry()
  readonly #hasScene: CellGauges['hasScene']
  readonly #requests: Counter<'scene' | 'version' | 'code'>
  readonly #durations: Histogram<'scene' | 'version'>
  readonly #kills: Counter<'scene' | 'version'>
  readonly #misfits: Counter<'scene' | 'version'>
  readonly #evicted: Counter<'cause'>
  readonly #warmUps: Counter<'scene' | 'version' | 'outcome'>
  readonly #serviceCalls: Counter<'service' | 'method' | 'code'>
  readonly #serviceDurations: Histogram<'service' | 'method'>
  readonly #fetches: Counter<'host' | 'code'>
  readonly #fetchDurations: Histogram<'host'>
  readonly #services = new Map<string, ServiceCounters>()
  readonly #versions = new Map<string, VersionCounters>()
  /** The same by plan, so that no request makes a text to look them up by. */
  #byPlan = new WeakMap<VersionOfScene, VersionCounters>()
  readonly #exposures: Counter<'scene' | 'experiment' | 'phase' | 'arm'>
  /** By the arm of a code experiment, and by the list of arms of layers, of which there is one for each combination. */
  readonly #exposed = new Map<ExposedArm | readonly ExposedArm[], Exposed>()
  readonly #arms: RecentLabels<ArmLabels>
  readonly #hosts: RecentLabels<HostCounters>
  readonly #dropped: Counter
  readonly #captured = capturedCounter([this.#registry])
  readonly #skipped = skippedCounter([this.#registry])
  /** Requests that got to no version, by code and by scene. */
  readonly #refused = new Map<string, Map<string, number>>()

  constructor(cell: number, gauges: CellGauges) {
    this.#hasScene = gauges.hasScene
    const registers = [this.#registry]
    this.#registry.setDefaultLabels({ cell: String(cell) })
    collectProcessMetrics(this.#registry)
    this.#requests = new Counter({
      name: 'berth_requests_total',
      help: 'Scene requests by outcome: code is OK or an error code; scene and version are each empty when the request did not get that far',
      labelNames: ['scene', 'version', 'code'],
      registers,
      collect: () => this.#flush(),
    })
    this.#durations = new Histogram({
      name: 'berth_request_duration_seconds',
      help: 'From the last byte of a scene request to its answer, by the version that was decided on',
      labelNames: ['scene', 'version'],
      buckets: LATENCY_BUCKETS,
      registers,
    })
    this.#exposures = new Counter({
      name: 'berth_exposures_total',
      help: 'Requests that an arm of a running experiment had a part in; not those that were pinned, whitelisted or load tests',
      labelNames: ['scene', 'experiment', 'phase', 'arm'],
      registers,
      collect: () => this.#flushExposures(),
    })
    this.#kills = new Counter({ name: 'berth_slot_kills_total', help: 'Slots killed', labelNames: ['scene', 'version'], registers })
    this.#misfits = misfitCounter(registers)
    this.#evicted = evictedCounter(registers)
    for (const cause of ['idle', 'memory'] as const) this.countEvicted(cause, 0)
    this.#warmUps = warmUpCounter(registers)
    this.#serviceCalls = new Counter({
      name: 'berth_service_calls_total',
      help: 'Calls of base services by outcome: code is OK or an error code',
      labelNames: ['service', 'method', 'code'],
      registers,
      collect: () => this.#flushServices(),
    })
    this.#serviceDurations = new Histogram({
      name: 'berth_service_call_duration_seconds',
      help: 'From the arrival of a service call in the cell to its outcome',
      labelNames: ['service', 'method'],
      buckets: SERVICE_BUCKETS,
      registers,
    })
    this.#fetches = new Counter({
      name: 'berth_fetches_total',
      help: 'Fetches of modules by the host they went to first and by outcome: code is OK or an error code',
      labelNames: ['host', 'code'],
      registers,
    })
    this.#fetchDurations = new Histogram({
      name: 'berth_fetch_duration_seconds',
      help: 'From the arrival of a fetch in the cell to its outcome',
      labelNames: ['host'],
      buckets: FETCH_BUCKETS,
      registers,
    })
    this.#dropped = new Counter({
      name: 'berth_metric_series_dropped_total',
      help: 'Versions, arms and hosts whose series were dropped because there were too many',
      registers,
    })
    this.#arms = new RecentLabels(ARM_SERIES_MAX, labels => {
      this.#exposures.remove(labels)
      this.#dropped.inc()
    })
    this.#hosts = new RecentLabels(HOST_SERIES_MAX, counters => this.#dropHost(counters))
    addGauges(this.#registry, gauges)
  }

  #dropHost({ host, codes, duration }: HostCounters): void {
    for (const code of codes) this.#fetches.remove({ host, code })
    this.#fetchDurations.end(duration)
    this.#dropped.inc()
  }

  /**
   * Counts one answer.
   * @param code `OK` or an error code
   */
  count(plan: VersionOfScene, code: string, seconds: number): void {
    const counters = this.#byPlan.get(plan) ?? this.#learnPlan(plan)
    counters.duration.observe(seconds)
    if (code === 'OK') counters.answers++
    else counters.errors.set(code, (counters.errors.get(code) ?? 0) + 1)
  }

  /** Good answers of a version since the cell began, or since the version was forgotten. */
  answersOf(scene: string, version: string): number {
    const { answers = 0, collected = 0 } = this.#versions.get(`${scene}/${version}`) ?? {}
    return answers + collected
  }

  /** Counts the arms that a request was exposed to, however it ended. Give the same list of layers whenever the same arms had a part. */
  countExposure({ plan, arm, layers }: Exposure): void {
    if (arm !== undefined) (this.#exposed.get(arm) ?? this.#expose(plan.scene, arm, [arm])).count++
    if (layers.length > 0) (this.#exposed.get(layers) ?? this.#expose(plan.scene, layers, layers)).count++
    // Each table brings arms of its own, and perhaps nobody ever collects the counts.
    if (this.#exposed.size > ARMS_KEPT) this.#flushExposures()
  }

  #expose(scene: string, key: ExposedArm | readonly ExposedArm[], arms: readonly ExposedArm[]): Exposed {
    const exposed = { scene, arms, count: 0 }
    this.#exposed.set(key, exposed)
    return exposed
  }

  #flushExposures(): void {
    for (const { scene, arms, count } of this.#exposed.values()) for (const arm of arms) this.#flushArm(scene, arm, count)
    this.#exposed.clear()
  }

  #flushArm(scene: string, { experiment, phase, arm }: ExposedArm, count: number): void {
    const labels = { scene, experiment, phase: String(phase), arm }
    this.#exposures.inc(labels, count)
    this.#arms.use(`${scene} ${experiment} ${phase} ${arm}`, () => labels)
  }

  /** Counts a request that never got to a version. Give `scene` only when there is such a scene: what callers make up must not become labels. */
  countRefused(code: string, scene = ''): void {
    const scenes = this.#refused.get(code) ?? new Map<string, number>()
    this.#refused.set(code, scenes)
    scenes.set(scene, (scenes.get(scene) ?? 0) + 1)
  }

  countKill(scene: string, version: string): void {
    // With its counters the version is known, and forgotten with them.
    this.#counters(scene, version)
    this.#kills.inc({ scene, version })
  }

  /** Counts slots that were let go because nobody had asked them for long, or because memory was short. */
  countEvicted(cause: 'idle' | 'memory', slots: number): void {
    this.#evicted.inc({ cause }, slots)
  }

  countWarmUp(scene: string, version: string, outcome: WarmUpOutcome): void {
    this.#counters(scene, version)
    this.#warmUps.inc({ scene, version, outcome })
  }

  /** Counts a request whose capsule is on its way to the keeper. */
  countCaptured(why: CaptureReason): void {
    this.#captured.inc({ why })
  }

  /** Counts a request that chance, or its caller, has chosen and that has no capsule. */
  countSkipped(reason: SkipReason): void {
    this.#skipped.inc({ reason })
  }

  countMisfit(scene: string, version: string): void {
    this.#counters(scene, version)
    this.#misfits.inc({ scene, version })
  }

  /** When too many versions are known, forgets those that are not online any more, the longest known first. */
  retain(isOnline: (scene: string, version: string) => boolean): void {
    if (this.#versions.size <= VERSIONS_KEPT) return
    this.#byPlan = new WeakMap()
    for (const [key, { scene, version, codes, duration }] of this.#versions) {
      if (this.#versions.size <= VERSIONS_KEPT) return
      if (isOnline(scene, version)) continue
      this.#versions.delete(key)
      this.#dropped.inc()
      this.#durations.end(duration)
      this.#kills.remove({ scene, version })
      this.#misfits.remove({ scene, version })
      for (const outcome of warmUpOutcomes) this.#warmUps.remove({ scene, version, outcome })
      for (const code of codes) this.#requests.remove({ scene, version, code })
    }
  }

  /**
   * Counts one fetch of a module.
   * @param host an origin that a module may reach
   * @param code `OK` or an error code
   */
  countFetch(host: string, code: string, seconds: number): void {
    const begin = () => ({ host, duration: this.#fetchDurations.begin({ host }), codes: new Set<string>() })
    const counters = this.#hosts.use(host, begin)
    counters.codes.add(code)
    counters.duration.observe(seconds)
    this.#fetches.inc({ host, code })
  }

  /**
   * Counts one call of a base service.
   * @param code `OK` or an error code
   */
  countService(service: string, method: string, code: string, seconds: number): void {
    const key = `${service}.${method}`
    let counters = this.#services.get(key)
    if (counters === undefined) {
      counters = { service, method, duration: this.#serviceDurations.begin({ service, method }), calls: new Map() }
      this.#services.set(key, counters)
    }
    counters.duration.observe(seconds)
    counters.calls.set(code, (counters.calls.get(code) ?? 0) + 1)
  }

  #flushServices(): void {
    for (const { service, method, calls } of this.#services.values()) {
      for (const [code, count] of calls) this.#serviceCalls.inc({ service, method, code }, count)
      calls.clear()
    }
  }

  /** Series of scenes that were deleted are left out. Their counts are among the first that are forgotten when there are too many. */
  async collect(): Promise<MetricObjectWithValues<MetricValue<string>>[]> {
    const metrics = await this.#registry.getMetricsAsJSON()
    const isShown = ({ labels: { scene } }: MetricValue<string>) => !scene || this.#hasScene(String(scene))
    return metrics.map(metric => ({ ...metric, values: metric.values.filter(isShown) }))
  }

  #learnPlan(plan: VersionOfScene): VersionCounters {
    const counters = this.#counters(plan.scene, plan.version)
    this.#byPlan.set(plan, counters)
    return counters
  }

  #counters(scene: string, version: string): VersionCounters {
    const key = `${scene}/${version}`
    let counters = this.#versions.get(key)
    if (counters === undefined) {
      counters = {
        scene,
        version,
        answers: 0,
        collected: 0,
        duration: this.#durations.begin({ scene, version }),
        errors: new Map(),
        codes: new Set(),
      }
      this.#versions.set(key, counters)
    }
    return counters
  }

  /** Moves what was counted since the last collection into the registry: to count there at once would cost each request more. */
  #flush(): void {
    for (const counters of this.#versions.values()) {
      const { scene, version } = counters
      if (counters.answers > 0) counters.errors.set('OK', counters.answers)
      counters.collected += counters.answers
      counters.answers = 0
      for (const [code, count] of counters.errors) {
        this.#requests.inc({ scene, version, code }, count)
        counters.codes.add(code)
      }
      counters.errors.clear()
    }
    for (const [code, scenes] of this.#refused) {
      for (const [scene, count] of scenes) this.#requests.inc({ scene, version: '', code }, count)
    }
    this.#refused.clear()
  }
}

const misfitCounter = (registers: Registry[]): Counter<'scene' | 'version'> =>
  new Counter({
    name: 'berth_answers_unfit_total',
    help: 'Answers that did not fit the schema of their scene, of those that were checked',
    labelNames: ['scene', 'version'],
    registers,
  })

const warmUpCounter = (registers: Registry[]): Counter<'scene' | 'version' | 'outcome'> =>
  new Counter({
    name: 'berth_warm_ups_total',
    help: 'Slots that answered capsules before they were routed to, by how that ended: warm, timeOver, wanted or refused; and newCall, failedCall, late or killed when the slot was loaded anew',
    labelNames: ['scene', 'version', 'outcome'],
    registers,
  })

const capturedCounter = (registers: Registry[]): Counter<'why'> =>
  new Counter({
    name: 'berth_capsules_captured_total',
    help: 'Requests that were captured: by chance (sampled), because they asked for it, or run again because they had failed',
    labelNames: ['why'],
    registers,
  })

const skippedCounter = (registers: Registry[]): Counter<'reason'> =>
  new Counter({
    name: 'berth_capsules_skipped_total',
    help: 'Requests that were chosen to be captured and were not, or whose capsule was lost',
    labelNames: ['reason'],
    registers,
  })

const evictedCounter = (registers: Registry[]): Counter<'cause'> =>
  new Counter({
    name: 'berth_slots_evicted_total',
    help: 'Idle slots that were let go: idle for long, or because memory was short',
    labelNames: ['cause'],
    registers,
  })

/** A cell may not read `/proc`, where prom-client looks for some of its default metrics and would report 0. Node.js itself knows one of them. */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
  const unreadable = ['process_resident_memory_bytes', 'process_virtual_memory_bytes', 'process_heap_bytes', 'process_open_fds']
  for (const name of unreadable) registry.removeSingleMetric(name)
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory size in bytes.',
    registers: [registry],
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
}

/** Adds what is read when somebody collects. */
function addGauges(registry: Registry, gauges: CellGauges): void {
  const registers = [registry]
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  gauge('berth_slots', 'Slots in the cell', gauges.slots)
  gauge('berth_requests_in_flight', 'Requests in slots, waiting ones included', gauges.inFlight)
  gauge('berth_connections', 'Open connections on the scene port', gauges.connections)
  gauge('berth_table_revision', 'Revision of the scene table in force', gauges.revision)
  new Counter({
    name: 'berth_token_guesses_total',
    help: 'Requests whose token was not known',
    registers,
    collect() {
      this.reset()
      this.inc(gauges.tokenGuesses())
    },
  })
  new Gauge({
    name: 'berth_breaker_state',
    help: 'Circuit breaker of a version that has had requests: 0 closed, 1 half open, 2 open',
    labelNames: ['scene', 'version'],
    registers,
    collect() {
      this.reset()
      for (const { scene, version, state } of gauges.breakers()) this.set({ scene, version }, BREAKER_VALUES[state])
    },
  })
  new Gauge({
    name: 'berth_service_fault',
    help: 'What a base service cannot offer as it should at present, such as a broken feature table: 1 for each',
    labelNames: ['service', 'name'],
    registers,
    collect() {
      this.reset()
      for (const { service, name } of gauges.serviceFaults()) this.set({ service, name }, 1)
    },
  })
}
