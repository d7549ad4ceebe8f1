/** Compiles the rules of a scene, so that each step of `decide` is a map access, a hash with a binary search, or a prepared condition. */
import { limits } from '../kernel/limits.ts'
import { seedOf } from './hash.ts'
import { type MergedParams, ParamsMemory } from './params.ts'
import { describeQuarantine, liftAdvice } from './quarantine-words.ts'
import { type Range, RangeMap } from './ranges.ts'
import { type Cutover, type Experiment, inForce, type Layer, type SceneRules } from './rules.ts'
import { type SceneEntry, type SlotPlan, slotPlan } from './table.ts'
import { type Attribute, type CompiledCondition, compileCondition } from './targeting.ts'
import { indexWhitelist, type VersionByUnit } from './whitelist.ts'

/** Where a version that rules name leads to. */
export interface Route {
  /** Of the version that answers: the one that rules name, unless that one is in quarantine. */
  readonly plan: SlotPlan
  /** Its parameters before any layer. */
  readonly params: MergedParams<LayerArm>
  /** Set when the version that rules name is in quarantine. */
  readonly quarantine: RouteQuarantine | undefined
}

export interface RouteQuarantine {
  /** The version in quarantine. */
  readonly version: string
  /** Why it is in quarantine, and what to do. */
  readonly message: string
  /** Whether no other version answers in its place. If so, `plan` is its own, and must not be loaded. */
  readonly isRefused: boolean
}

/** An arm of a code experiment. */
export interface CodeArm {
  readonly experiment: string
  readonly phase: number
  readonly arm: string
  readonly route: Route
}

/** An arm of a business experiment. */
export interface LayerArm {
  readonly layer: string
  readonly experiment: string
  readonly phase: number
  readonly arm: string
  readonly values: Readonly<Record<string, unknown>>
}

/** A running experiment, compiled. */
export interface RunningExperiment<A> {
  readonly experiment: string
  /** Whether it hashes the request id instead of the unit id. */
  readonly byRequest: boolean
  readonly salt: string
  readonly seed: number
  readonly segments: readonly Range[]
  readonly conditions: readonly CompiledCondition[]
  /** The versions whose requests may take part; undefined means all. */
  readonly versions: ReadonlySet<string> | undefined
  readonly arms: RangeMap<A>
  /** The buckets in force, by the name of the arm. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>
}

/** A space of 10,000 segments and the running experiments that own parts of it. A unit has one segment, and so is in at most one of them. */
export interface SegmentSpace<A> {
  /** Id of the layer; undefined for the code experiments of a scene. */
  readonly layer: string | undefined
  readonly salt: string
  readonly seed: number
  /** Whether a request without a unit id may be in one of the experiments. */
  readonly takesRequests: boolean
  readonly owners: RangeMap<RunningExperiment<A>>
}

export interface CompiledCutover {
  readonly route: Route
  readonly share: number
  readonly salt: string
  readonly seed: number
}

/** The compiled rules of a scene. `decide` skips every rule that is undefined or empty. */
export interface Routing {
  readonly routes: ReadonlyMap<string, Route>
  readonly baseline: Route | undefined
  readonly loadtest: Route | undefined
  readonly whitelist: { get(unit: string): Route | undefined } | undefined
  readonly experiments: SegmentSpace<CodeArm> | undefined
  readonly cutover: CompiledCutover | undefined
  readonly layers: readonly SegmentSpace<LayerArm>[]
  /** Whether any rule hashes an id. */
  readonly hashes: boolean
}

/**
 * Compiles the rules of a scene. Every version that rules name should be online, which `checkRules` ensures; a rule to any other version is left
 * out, and the next rule decides.
 * @param whitelist the whitelist that is stored apart from the rules; undefined means the one inside the rules
 */
export function compileRouting(
  { definition, versions, baseline, rules }: SceneEntry,
  attributes: Attributes,
  whitelist: VersionByUnit | undefined,
): Routing {
  const memory = new ParamsMemory<LayerArm>(limits.scene.paramsMemoryCharsMax)
  const routeOf = (version: SceneEntry['versions'][number]): Route => ({
    plan: slotPlan(definition, version),
    params: memory.root({ ...definition.params, ...rules?.versionParams?.[version.id] }),
    quarantine: undefined,
  })
  const online = new Map(versions.map(version => [version.id, routeOf(version)]))
  const routes = leadAround(online, rules?.quarantined, [baseline, rules?.previousBaseline])
  const find = (version: string | null | undefined) => (version == null ? undefined : routes.get(version))
  const experiments = rules && compileCode(rules, attributes, routes)
  const cutover = compileCutover(rules?.cutover, routes)
  const layers = (rules?.layers ?? []).flatMap(layer => compileLayer(layer, attributes) ?? [])
  return {
    routes,
    baseline: find(baseline),
    loadtest: find(rules?.loadtest),
    whitelist: compileWhitelist(whitelist ?? indexWhitelist(rules?.whitelist ?? {}), routes),
    experiments,
    cutover,
    layers,
    hashes: experiments !== undefined || cutover !== undefined || layers.length > 0,
  }
}

/**
 * The routes, where those of versions in quarantine lead to the first of `standIns` that may answer. Requests are led around the quarantine when
 * the table is compiled, so that they pay nothing for it.
 */
function leadAround(
  online: ReadonlyMap<string, Route>,
  quarantined: SceneRules['quarantined'] = {},
  standIns: readonly (string | null | undefined)[],
): ReadonlyMap<string, Route> {
  if (Object.keys(quarantined).length === 0) return online
  const standIn = standIns.find(version => version != null && online.has(version) && quarantined[version] === undefined)
  const around = ([id, own]: [string, Route]): [string, Route] => {
    const why = quarantined[id]
    if (why === undefined) return [id, own]
    const { scene } = own.plan
    const message = `version "${id}" of scene "${scene}" is ${describeQuarantine(why)}; ${liftAdvice(scene, id)}`
    const other = standIn == null ? undefined : online.get(standIn)
    return [id, { ...(other ?? own), quarantine: { version: id, message, isRefused: other === undefined } }]
  }
  return new Map([...online].map(around))
}

/** Looks up a unit in two steps, first its version and then the route, so that a change of rules need not rebuild a long whitelist. */
function compileWhitelist(versions: VersionByUnit, routes: Routing['routes']): Routing['whitelist'] {
  if (versions.size === 0) return undefined
  const get = (unit: string): Route | undefined => {
    const version = versions.get(unit)
    return version === undefined ? undefined : routes.get(version)
  }
  return { get }
}

function compileCutover(cutover: Cutover | undefined, routes: Routing['routes']): CompiledCutover | undefined {
  const route = cutover && routes.get(cutover.version)
  return route && { route, share: cutover.share, salt: cutover.salt, seed: seedOf(cutover.salt) }
}

function compileCode(rules: SceneRules, attributes: Attributes, routes: Routing['routes']): SegmentSpace<CodeArm> | undefined {
  const running = rules.experiments.filter(isRunning).map(experiment => {
    const { id, phase } = experiment
    return compileExperiment(experiment, attributes, undefined, ({ name, version }): CodeArm | undefined => {
      const route = routes.get(version)
      return route && { experiment: id, phase, arm: name, route }
    })
  })
  return segmentSpace(undefined, rules.segmentSalt, running)
}

function compileLayer({ id: layer, state, salt, experiments }: Layer, attributes: Attributes): SegmentSpace<LayerArm> | undefined {
  if (state !== 'live') return undefined
  const running = experiments.filter(isRunning).map(experiment => {
    const { id, phase, versions } = experiment
    const only = versions && new Set(versions)
    return compileExperiment(
      experiment,
      attributes,
      only,
      ({ name, values }): LayerArm => ({ layer, experiment: id, phase, arm: name, values }),
    )
  })
  return segmentSpace(layer, salt, running)
}

type Attributes = ReadonlyMap<string, Attribute>

const isRunning = ({ state }: Experiment): boolean => state === 'running'

function compileExperiment<E extends Experiment, A>(
  { id, unit, salt, segments, where, arms }: E,
  attributes: Attributes,
  versions: ReadonlySet<string> | undefined,
  compileArm: (arm: E['arms'][number]) => A | undefined,
): RunningExperiment<A> {
  const compiled = arms.flatMap((arm: E['arms'][number]) => {
    const made = compileArm(arm)
    return made === undefined ? [] : [{ name: arm.name, ranges: inForce(arm), made }]
  })
  return {
    experiment: id,
    byRequest: unit === 'request',
    salt,
    seed: seedOf(salt),
    segments,
    conditions: where.map(condition => compileWhere(condition, attributes)),
    versions,
    arms: new RangeMap(compiled.map(({ ranges, made }) => [ranges, made])),
    ranges: new Map(compiled.map(({ name, ranges }) => [name, ranges])),
  }
}

/** Compiles a condition. One on an attribute that the scene no longer declares never holds. */
function compileWhere(condition: Experiment['where'][number], attributes: Attributes): CompiledCondition {
  const attribute = attributes.get(condition.attribute)
  if (attribute !== undefined) return compileCondition(condition, attribute)
  const missing: Attribute = { name: condition.attribute, type: 'string', header: undefined, path: [] }
  return { condition, attribute: missing, holds: () => false }
}

function segmentSpace<A>(layer: string | undefined, salt: string, running: readonly RunningExperiment<A>[]): SegmentSpace<A> | undefined {
  if (running.length === 0) return undefined
  return {
    layer,
    salt,
    seed: seedOf(salt),
    takesRequests: running.some(({ byRequest }) => byRequest),
    owners: new RangeMap(running.map(each => [each.segments, each])),
  }
}
