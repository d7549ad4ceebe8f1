/** Experiments and layers of a scene: made, started, flipped, reverted, stopped. Pure, as `rules.ts`. */
import { isDeepStrictEqual } from 'node:util'
import { BerthError } from '../kernel/errors.ts'
import type { AuditRow } from '../store/store.ts'
import {
  type Change,
  findExperiment,
  freeSegments,
  layOut,
  MOVED_OF,
  type Movement,
  movementOf,
  newPhase,
  planFlip,
  type Redesign,
  withExperiment,
} from '../traffic/flip.ts'
import { BUCKETS } from '../traffic/hash.ts'
import { common, joined, type Range, showRanges, showShare, sizeOf, takeFirst } from '../traffic/ranges.ts'
import {
  type Arm,
  allExperiments,
  type BusinessExperiment,
  type CodeExperiment,
  type Condition,
  type Experiment,
  inForce,
  type Layer,
  type SceneRules,
} from '../traffic/rules.ts'
import type { Params } from '../traffic/schema.ts'
import { isJson } from './parameters.ts'
import { type Planned, type SceneTraffic, withRules } from './versions.ts'

/** How much of something: so many buckets, wherever they are free, or exactly these. */
export type Amount = number | readonly (readonly [from: number, to: number])[]

export interface NewArm {
  readonly name: string
  readonly version?: string | undefined
  readonly values?: Params | undefined
  /** What is kept for the arm, in buckets or as ranges of them. @default its share */
  readonly weight?: Amount | undefined
  /** How much of that is in force, in buckets. @default all */
  readonly share?: number | undefined
}

export interface NewExperiment {
  readonly id: string
  readonly description?: string | undefined
  /** Makes it a business experiment of this layer. */
  readonly layer?: string | undefined
  readonly unit?: Experiment['unit'] | undefined
  /** Of the scene's or the layer's. @default all */
  readonly segments?: Amount | undefined
  readonly where?: readonly Condition[] | undefined
  /** Of a business experiment: only requests that these versions answer. */
  readonly versions?: readonly string[] | undefined
  readonly arms: readonly NewArm[]
}

/** An arm of an experiment that has arms already: what it gets is what those leave. */
export type AddedArm = Omit<NewArm, 'weight'>

/** A change of a flip. All parts are made together. */
export interface FlipRequest {
  /** Buckets in force by arm; arms that are not named keep theirs. */
  readonly arms?: Readonly<Record<string, number>> | undefined
  readonly drop?: readonly string[] | undefined
  readonly add?: readonly AddedArm[] | undefined
  /** What arms mean from now on. */
  readonly set?: Readonly<Record<string, Pick<NewArm, 'version' | 'values'>>> | undefined
  readonly segments?: Amount | undefined
  readonly where?: readonly Condition[] | undefined
  readonly unit?: Experiment['unit'] | undefined
  /** Lets a new phase begin; by itself, begins one. */
  readonly newPhase?: boolean | undefined
}

/** An experiment as it is shown. */
export type ExperimentView = Experiment & {
  readonly layer: string | null
  /** Of the segments it owns. */
  readonly traffic: number
  /** What each arm has in force. */
  readonly inForce: Readonly<Record<string, ArmView>>
}

export interface ArmView {
  readonly share: number
  readonly ranges: readonly Range[]
}

/** What a flip came to, or would. */
export interface Flipped {
  readonly experiment: ExperimentView
  readonly before: Readonly<Record<string, ArmView>>
  readonly after: Readonly<Record<string, ArmView>>
  readonly segments: { readonly before: readonly Range[]; readonly after: readonly Range[] }
  /** `share` is of all units of the scene or the layer, 0 to 1, and exact: `moved` out of `of`. */
  readonly moved: Movement & { readonly of: number; readonly share: number }
  /** Why a new phase begins, in words; empty: none does. */
  readonly newPhase: readonly string[]
}

export function viewExperiments({ rules }: SceneTraffic): ExperimentView[] {
  return allExperiments(rules).map(({ experiment, layer }) => view(experiment, layer))
}

/** @throws EXPERIMENT_NOT_FOUND */
export function viewExperiment({ rules }: SceneTraffic, id: string): ExperimentView {
  const experiment = findExperiment(rules, id)
  return view(experiment, layerOf(rules, id))
}

function view(experiment: Experiment, layer: Layer | undefined): ExperimentView {
  return { ...experiment, layer: layer?.id ?? null, traffic: sizeOf(experiment.segments), inForce: armsOf(experiment) }
}

const armsOf = ({ arms }: Experiment): Record<string, ArmView> =>
  Object.fromEntries(arms.map((arm): [string, ArmView] => [arm.name, { share: arm.share, ranges: inForce(arm) }]))

const layerOf = (rules: SceneRules, id: string): Layer | undefined =>
  allExperiments(rules).find(({ experiment }) => experiment.id === id)?.layer

/** Those that share a space of segments with the experiment. */
function neighbours(rules: SceneRules, id: string, layer: string | undefined): Experiment[] {
  const all: readonly Experiment[] = layer === undefined ? rules.experiments : requireLayer(rules, layer).experiments
  return all.filter(other => other.id !== id)
}

/** @throws LAYER_NOT_FOUND */
function requireLayer(rules: SceneRules, id: string): Layer {
  const layer = rules.layers.find(each => each.id === id)
  if (layer !== undefined) return layer
  const known = rules.layers.map(each => each.id).join(', ') || 'none'
  throw new BerthError('LAYER_NOT_FOUND', `Cannot find layer "${id}": the scene has ${known}`)
}

// Making one

/**
 * A new experiment, a draft: nobody is in it until it is started.
 * @throws EXPERIMENT_INVALID, EXPERIMENT_EXISTS, LAYER_NOT_FOUND, SEGMENTS_TAKEN; the rest is for `checkRules`
 */
export function createExperiment(
  before: SceneTraffic,
  request: NewExperiment,
  salt: string,
): Planned<{ readonly experiment: ExperimentView }> {
  const { rules } = before
  const { id, description, layer, unit = 'unit', segments = BUCKETS, where = [], versions } = request
  if (allExperiments(rules).some(({ experiment }) => experiment.id === id)) {
    throw new BerthError(
      'EXPERIMENT_EXISTS',
      `Cannot make experiment "${id}": the scene has one of that id already, and results are kept by it`,
    )
  }
  const common = {
    ...{ id, phase: 1, salt, unit, state: 'draft' as const, where: [...where] },
    ...(description === undefined ? {} : { description }),
    segments: mutable(allocate(id, segments, neighbours(rules, id, layer))),
  }
  const arms = layOutArms(id, request.arms)
  const next =
    layer === undefined
      ? addCode(rules, { ...common, arms: arms.map(arm => versionArm(id, arm)) }, versions)
      : addBusiness(rules, layer, {
          ...common,
          arms: arms.map(arm => valuesArm(id, arm)),
          ...(versions === undefined ? {} : { versions: [...versions] }),
        })
  const traffic = { ...before, rules: next }
  const experiment = findExperiment(next, id)
  return {
    traffic,
    action: 'create experiment',
    before: null,
    after: experiment,
    told: { experiment: view(experiment, layerOf(next, id)) },
  }
}

function addCode(rules: SceneTraffic['rules'], experiment: CodeExperiment, versions: readonly string[] | undefined): SceneTraffic['rules'] {
  if (versions !== undefined) throw invalid(experiment.id, 'only an experiment of a layer is for certain versions')
  return withRules(rules, { experiments: [...rules.experiments, experiment] })
}

function addBusiness(rules: SceneTraffic['rules'], id: string, experiment: BusinessExperiment): SceneTraffic['rules'] {
  const layer = requireLayer(rules, id)
  if (layer.state !== 'live') throw invalid(experiment.id, `layer "${id}" is retired`)
  const changed = { ...layer, experiments: [...layer.experiments, experiment] }
  return withRules(rules, { layers: rules.layers.map(each => (each === layer ? changed : each)) })
}

const invalid = (id: string, why: string): BerthError => new BerthError('EXPERIMENT_INVALID', `Cannot use experiment "${id}": ${why}`)

type LaidOut = NewArm & { readonly reserve: readonly Range[]; readonly share: number }

function layOutArms(id: string, arms: readonly NewArm[]): LaidOut[] {
  const byWeight = arms.map(({ name, share = 0, weight = share }) => ({ name, weight: typeof weight === 'number' ? weight : 0 }))
  const total = byWeight.reduce((sum, { weight }) => sum + weight, 0)
  if (total > BUCKETS) throw invalid(id, `the weights of its arms come to ${showShare(total)}, over 100%`)
  if (total > 0 && arms.some(({ weight }) => Array.isArray(weight))) throw invalid(id, 'give every arm a weight, or every arm ranges')
  const laidOut = layOut(byWeight)
  return arms.map((arm, index) => {
    const reserve = Array.isArray(arm.weight) ? inBounds(id, `arm "${arm.name}"`, arm.weight) : (laidOut[index]?.reserve ?? [])
    return { ...arm, reserve, share: arm.share ?? sizeOf(reserve) }
  })
}

/** `checkRules` says what else may be wrong with ranges; what is outside it could only call a wrong shape. */
function inBounds(id: string, whose: string, ranges: readonly Range[]): readonly Range[] {
  const wrong = ranges.find(([from, to]) => from < 0 || to > BUCKETS || from >= to)
  if (wrong === undefined) return ranges
  const [from, to] = wrong
  const why = from < to ? `buckets go from 0 to ${BUCKETS}` : 'that is empty: ranges are half-open, [from, to)'
  throw invalid(id, `${whose} has the range ${from}–${to}, and ${why}`)
}

/** Segments of the drafts are left alone as long as there are others. */
function allocate(id: string, amount: Amount, others: readonly Experiment[]): readonly Range[] {
  if (typeof amount !== 'number') return inBounds(id, 'it', amount)
  const waiting = others.map((other): Experiment => (other.state === 'draft' ? { ...other, state: 'running' } : other))
  try {
    return freeSegments(waiting, amount)
  } catch (error) {
    if (!(error instanceof BerthError)) throw error
    return freeSegments(others, amount)
  }
}

function versionArm(id: string, { name, version, values, reserve, share }: LaidOut): CodeExperiment['arms'][number] {
  if (version === undefined || values !== undefined)
    throw invalid(id, `arm "${name}" has to name a version, and no values, as it is in no layer`)
  return { name, version, reserve: mutable(reserve), share }
}

function valuesArm(id: string, { name, version, values, reserve, share }: LaidOut): BusinessExperiment['arms'][number] {
  if (values === undefined || version !== undefined)
    throw invalid(id, `arm "${name}" has to set values, and no version, as it is in a layer`)
  if (!isJson(values)) throw invalid(id, `the values of arm "${name}" hold what JSON cannot, such as 1e999`)
  return { name, values, reserve: mutable(reserve), share }
}

const mutable = (ranges: readonly Range[]): [number, number][] => ranges.map(([from, to]) => [from, to])

// Changing one

const refuse = (id: string, why: string): BerthError => new BerthError('FLIP_REFUSED', `Cannot change experiment "${id}": ${why}`)

/**
 * Starts or stops an experiment. A draft whose segments were taken meanwhile gets as many others: nobody was in it yet.
 * @throws EXPERIMENT_NOT_FOUND, FLIP_REFUSED, SEGMENTS_TAKEN
 */
export function switchExperiment(before: SceneTraffic, id: string, to: 'start' | 'stop'): Planned<Flipped> {
  const experiment = findExperiment(before.rules, id)
  const layer = layerOf(before.rules, id)
  if (to === 'start' && layer?.state === 'retired') throw refuse(id, `its layer "${layer.id}" is retired`)
  const changes: Change[] = [{ kind: to }]
  if (to === 'start' && experiment.state === 'draft') {
    const running = neighbours(before.rules, id, layer?.id).filter(({ state }) => state === 'running')
    const taken = running.some(other => common(other.segments, experiment.segments).length > 0)
    if (taken) changes.unshift({ kind: 'segments', segments: freeSegments(running, sizeOf(experiment.segments)) })
  }
  return flipped(before, id, applyAll(before.rules, id, changes), `${to} experiment`)
}

/**
 * @param salt for a new phase
 * @throws EXPERIMENT_NOT_FOUND, FLIP_REFUSED, EXPERIMENT_INVALID, SEGMENTS_TAKEN
 */
export function flipExperiment(before: SceneTraffic, id: string, request: FlipRequest, salt: string, dryRun: boolean): Planned<Flipped> {
  const planned = flipped(
    before,
    id,
    applyAll(before.rules, id, changesOf(before.rules, findExperiment(before.rules, id), request, salt)),
    'flip experiment',
  )
  const { newPhase: reasons } = planned.told
  if (dryRun || reasons.length === 0 || request.newPhase === true) return planned
  const message = `Cannot change experiment "${id}": a new phase would begin, as ${reasons.join(', and ')}; say so with "newPhase": true`
  throw new BerthError('FLIP_REFUSED', message, { extra: { newPhase: reasons } })
}

function changesOf(rules: SceneRules, experiment: Experiment, request: FlipRequest, salt: string): Change[] {
  const { drop = [], add = [], set = {}, segments, where, unit, arms = {} } = request
  const given = Object.fromEntries(add.map(arm => [arm.name, arm.share ?? 0]))
  const redesigns = add.length > 0 || Object.keys(set).length > 0 || where !== undefined || unit !== undefined || request.newPhase === true
  const changes: Change[] = []
  if (redesigns) {
    const meaning = { ...(where === undefined ? {} : { where: [...where] }), ...(unit === undefined ? {} : { unit }) }
    const to = { ...meaning, arms: redesigned(experiment, drop, add, set) } as Redesign
    changes.push({ kind: 'redesign', salt, to })
  } else changes.push(...drop.map((arm): Change => ({ kind: 'drop', arm })))
  const shares = { ...given, ...arms }
  if (Object.keys(shares).length > 0) changes.push({ kind: 'shares', shares })
  if (segments !== undefined) changes.push({ kind: 'segments', segments: resized(rules, experiment, segments) })
  if (changes.length > 0) return changes
  throw refuse(experiment.id, 'the request changes nothing')
}

/** The arms that stay, with what they mean from now on, and new ones, which have no bucket yet. */
function redesigned(
  experiment: Experiment,
  drop: readonly string[],
  add: readonly AddedArm[],
  set: NonNullable<FlipRequest['set']>,
): Arm[] {
  const { id, arms } = experiment
  const isCode = arms.some(arm => 'version' in arm)
  const shape = (arm: LaidOut): Arm => (isCode ? versionArm(id, arm) : valuesArm(id, arm))
  const unknown = [...drop, ...Object.keys(set)].find(name => !arms.some(arm => arm.name === name))
  if (unknown !== undefined) throw refuse(id, `it has no arm "${unknown}", it has ${arms.map(({ name }) => name).join(', ')}`)
  const both = drop.find(name => Object.hasOwn(set, name))
  if (both !== undefined) throw refuse(id, `arm "${both}" is to be dropped and to mean something else`)
  const stay = arms.filter(({ name }) => !drop.includes(name))
  if (stay.length + add.length === 0) throw refuse(id, 'it would have no arm left: stop it instead')
  const kept = stay.map(arm =>
    Object.hasOwn(set, arm.name) ? shape({ name: arm.name, reserve: arm.reserve, share: arm.share, ...set[arm.name] }) : arm,
  )
  return [...kept, ...add.map(arm => shape({ ...arm, reserve: [], share: 0 }))]
}

/** More segments on top of those it has, or the first of them. */
function resized(rules: SceneRules, { id, segments }: Experiment, amount: Amount): readonly Range[] {
  if (typeof amount !== 'number') return inBounds(id, 'it', amount)
  const missing = amount - sizeOf(segments)
  if (missing <= 0) return takeFirst(segments, amount)
  const own = { ...findExperiment(rules, id), state: 'running' as const }
  return joined([...segments, ...freeSegments([...neighbours(rules, id, layerOf(rules, id)?.id), own], missing)])
}

function applyAll(rules: SceneTraffic['rules'], id: string, changes: readonly Change[]): SceneTraffic['rules'] {
  return changes.reduce((now, change): SceneTraffic['rules'] => planFlip(now, id, change).rules, rules)
}

/** `checkRules` would name either of the two. @throws SEGMENTS_TAKEN */
function requireFree(rules: SceneRules, { id, state, segments }: Experiment): void {
  const running = state === 'running' ? neighbours(rules, id, layerOf(rules, id)?.id).filter(other => other.state === 'running') : []
  for (const other of running) {
    const taken = common(segments, other.segments)
    if (taken.length === 0) continue
    const message = `Cannot run experiment "${id}" on segments ${showRanges(taken)}: experiment "${other.id}" owns them`
    throw new BerthError('SEGMENTS_TAKEN', message, { extra: { experiment: id, owner: other.id, segments: taken } })
  }
}

function flipped(before: SceneTraffic, id: string, rules: SceneTraffic['rules'], action: string): Planned<Flipped> {
  const was = findExperiment(before.rules, id)
  const is = findExperiment(rules, id)
  requireFree(rules, is)
  const movement = movementOf(was, is)
  return {
    traffic: { ...before, rules },
    action,
    before: was,
    after: is,
    told: {
      experiment: view(is, layerOf(rules, id)),
      before: armsOf(was),
      after: armsOf(is),
      segments: { before: was.segments, after: is.segments },
      moved: { ...movement, of: MOVED_OF, share: movement.moved / MOVED_OF },
      newPhase: newPhase(was, is),
    },
  }
}

// Going back

/**
 * Undoes the last flip that was not undone yet: what it changed, and nothing else. A change of meaning that is undone is one again, so a new phase
 * begins, with the salt of the phase that it goes back to. What was flipped in the draft has never run: if its meaning goes back after the
 * start, that is a new phase like any other.
 * @param rows audit rows of the scene, newest first
 * @param salt for a new phase that has none to go back to
 * @throws EXPERIMENT_NOT_FOUND; NOTHING_TO_ROLL_BACK when it was never flipped, or all flips are undone
 */
export function revertExperiment(before: SceneTraffic, id: string, rows: Iterable<AuditRow>, salt: string): Planned<Flipped> {
  const now = findExperiment(before.rules, id)
  const flip = lastFlip(id, rows)
  if (flip === undefined) {
    throw new BerthError('NOTHING_TO_ROLL_BACK', `Cannot revert experiment "${id}": there is no flip of it that was not reverted`)
  }
  // Only this file writes such rows.
  const [earlier, later] = [flip.before, flip.after] as [Experiment, Experiment]
  const undone = Object.entries(earlier).filter(([member, value]) => !isDeepStrictEqual(value, later[member as keyof Experiment]))
  const back = { ...now, ...Object.fromEntries(undone), state: now.state, phase: now.phase }
  const opens = earlier.phase !== later.phase || (earlier.state === 'draft' && newPhase(now, back).length > 0)
  const target = opens ? { ...back, phase: now.phase + 1, salt: back.salt === now.salt ? salt : back.salt } : back
  const planned = flipped(before, id, withExperiment(before.rules, target), 'revert experiment')
  const told = { ...planned.told, newPhase: opens ? planned.told.newPhase : [] }
  return { ...planned, after: { ...target, reverts: flip.revision }, told }
}

function lastFlip(id: string, rows: Iterable<AuditRow>): AuditRow | undefined {
  const undone = new Set<number>()
  for (const row of rows) {
    const after = row.after as { readonly id?: unknown; readonly reverts?: number } | null
    if (after?.id !== id) continue
    if (row.action === 'revert experiment' && after.reverts !== undefined) undone.add(after.reverts)
    if (row.action === 'flip experiment' && !undone.has(row.revision)) return row
  }
  return undefined
}

// Layers

/** @throws RULES_INVALID, LAYER_KEY_TAKEN when it is checked */
export function createLayer(before: SceneTraffic, id: string, keys: readonly string[], salt: string): Planned<{ readonly layer: Layer }> {
  const layer: Layer = { id, state: 'live', salt, keys: [...keys], experiments: [] }
  const rules = withRules(before.rules, { layers: [...before.rules.layers, layer] })
  return { traffic: { ...before, rules }, action: 'create layer', before: null, after: { id, keys }, told: { layer } }
}

/** Lets other layers own its parameters. @throws LAYER_NOT_FOUND; LAYER_IN_USE while an experiment of it runs */
export function retireLayer(before: SceneTraffic, id: string): Planned<{ readonly layer: Layer }> {
  const layer = requireLayer(before.rules, id)
  const running = layer.experiments.filter(({ state }) => state === 'running').map(experiment => experiment.id)
  if (running.length > 0) {
    throw new BerthError('LAYER_IN_USE', `Cannot retire layer "${id}": its experiments ${running.join(', ')} run`, { extra: { running } })
  }
  const retired: Layer = { ...layer, state: 'retired' }
  const rules = withRules(before.rules, { layers: before.rules.layers.map(each => (each === layer ? retired : each)) })
  const state = ({ keys, state: now }: Layer) => ({ id, keys, state: now })
  return { traffic: { ...before, rules }, action: 'retire layer', before: state(layer), after: state(retired), told: { layer: retired } }
}
