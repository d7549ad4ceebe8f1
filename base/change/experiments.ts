/** Experiments and layers of a scene are made, started, flipped, reverted and stopped here. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { PastFlip, ScenePayloads } from '../contract/change-api.ts'
import type { Applied } from '../contract/common-api.ts'
import type { ArmView, ExperimentView, Flipped } from '../contract/experiment-api.ts'
import { BerthError } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import {
  type FlipStep,
  findExperiment,
  flipTo,
  freeSegments,
  layOut,
  newPhase,
  type Flip as PlannedFlip,
  planFlip,
  type Redesign,
} from '../traffic/flip.ts'
import { BUCKETS } from '../traffic/hash.ts'
import { common, joined, MOVED_OF, type Range, showRanges, showShare, sizeOf, takeFirst } from '../traffic/ranges.ts'
import {
  type Arm,
  allExperiments,
  type BusinessExperiment,
  type CodeExperiment,
  type Experiment,
  inForce,
  type Layer,
  type SceneRules,
} from '../traffic/rules.ts'
import { isJson } from './parameters.ts'
import type { RulesRecord } from './records.ts'
import { type Next, type SceneState, withRules } from './scene-state.ts'

type NewExperiment = ScenePayloads['create experiment']
type NewArm = NewExperiment['arms'][number]
/** A change of an experiment. All parts are made together. */
type Flip = ScenePayloads['flip experiment']['flip']
/** How much of something is asked for: a number of buckets, wherever they are free, or exactly these. */
type Amount = NonNullable<NewExperiment['segments']>
type AddedArm = NonNullable<Flip['add']>[number]

/** What a flip did, or would do. */
export type FlipOutcome = Omit<Flipped, keyof Applied>

export function viewExperiments({ rules }: SceneState): ExperimentView[] {
  return allExperiments(rules).map(({ experiment, layer }) => view(experiment, layer))
}

/** @throws EXPERIMENT_NOT_FOUND */
export function viewExperiment({ rules }: SceneState, id: string): ExperimentView {
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

/** The experiments that share a space of segments with this one. */
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

// Making an experiment

/**
 * A new experiment, a draft: nobody is in it until it is started. When it is there exactly as it is asked for, in whatever state, nothing changes.
 * @throws EXPERIMENT_INVALID, EXPERIMENT_EXISTS for another one of this id, LAYER_NOT_FOUND, SEGMENTS_TAKEN; `checkRules` finds the rest
 */
export function createExperiment(before: SceneState, request: NewExperiment, salt: string): Next<{ readonly experiment: ExperimentView }> {
  const { rules } = before
  const { id, description, layer, unit = 'unit', segments = BUCKETS, where = [], versions } = request
  const there = allExperiments(rules).find(({ experiment }) => experiment.id === id)
  if (there !== undefined) return { ...unchanged(before, 'create experiment'), outcome: { experiment: asWanted(there, request) } }
  requireRoom(before, neighbours(rules, id, layer), 'experiment', limits.scene.experimentsMax)
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
  const experiment = findExperiment(next, id)
  return {
    scene: { ...before, rules: next },
    action: 'create experiment',
    before: null,
    after: experiment,
    outcome: { experiment: view(experiment, layerOf(next, id)) },
  }
}

/** The experiment that is there. @throws EXPERIMENT_EXISTS unless it is as it would be made, or was only started or stopped since */
function asWanted({ experiment, layer }: ReturnType<typeof allExperiments>[number], wanted: NewExperiment): ExperimentView {
  const { id, description, segments = BUCKETS, unit = 'unit', where = [], versions } = wanted
  const arms = layOutArms(id, wanted.arms).map(arm => (wanted.layer === undefined ? versionArm(id, arm) : valuesArm(id, arm)))
  const hasSegments =
    typeof segments === 'number' ? sizeOf(experiment.segments) === segments : isDeepStrictEqual(experiment.segments, segments)
  const meant = [wanted.layer, 1, description, unit, where, versions, arms]
  const only = 'versions' in experiment ? experiment.versions : undefined
  const is = [layer?.id, experiment.phase, experiment.description, experiment.unit, experiment.where, only, experiment.arms]
  if (hasSegments && isDeepStrictEqual(is, meant)) return view(experiment, layer)
  const message = `Cannot make experiment "${id}": the scene has another one of that id, and results are kept by it`
  throw new BerthError('EXPERIMENT_EXISTS', message)
}

/** What is asked for is so already. */
const unchanged = (scene: SceneState, action: string) => ({ scene, action, before: null, after: null })

/** @throws SCENE_FULL, naming those that may be deleted */
function requireRoom(
  { definition }: SceneState,
  there: readonly { readonly id: string; readonly state: string }[],
  what: 'experiment' | 'layer',
  max: number,
): void {
  if (there.length < max) return
  const done = there.filter(({ state }) => state === 'stopped' || state === 'retired').map(({ id }) => id)
  const names = done.slice(0, 3).join(', ')
  const advice =
    done.length === 0
      ? 'all of them are in use'
      : `${done.length} of them are done, such as ${names}: "sdk ${what} delete ${definition.id} ${done[0]}"`
  throw new BerthError('SCENE_FULL', `Cannot make one more ${what} in scene "${definition.id}": it has ${max}, and ${advice}`)
}

function addCode(rules: RulesRecord, experiment: CodeExperiment, versions: readonly string[] | undefined): RulesRecord {
  if (versions !== undefined) throw invalid(experiment.id, 'only an experiment of a layer is for certain versions')
  return withRules(rules, { experiments: [...rules.experiments, experiment] })
}

function addBusiness(rules: RulesRecord, id: string, experiment: BusinessExperiment): RulesRecord {
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

/** `checkRules` says what else may be wrong with ranges. Of a range that is out of bounds it could say only that its shape is wrong. */
function inBounds(id: string, whose: string, ranges: readonly Range[]): readonly Range[] {
  const wrong = ranges.find(([from, to]) => from < 0 || to > BUCKETS || from >= to)
  if (wrong === undefined) return ranges
  const [from, to] = wrong
  const why = from < to ? `buckets go from 0 to ${BUCKETS}` : 'that is empty: ranges are half-open, [from, to)'
  throw invalid(id, `${whose} has the range ${from}–${to}, and ${why}`)
}

/** Takes segments of drafts only when no others are left. */
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

// Changing an experiment

const refuse = (id: string, why: string): BerthError => new BerthError('FLIP_REFUSED', `Cannot change experiment "${id}": ${why}`)

/**
 * Starts or stops an experiment, unless that was done already. A draft whose segments were taken meanwhile gets as many others, since nobody was in it yet.
 * @throws EXPERIMENT_NOT_FOUND, FLIP_REFUSED, SEGMENTS_TAKEN
 */
export function switchExperiment(before: SceneState, id: string, to: 'start' | 'stop'): Next<FlipOutcome> {
  const experiment = findExperiment(before.rules, id)
  const layer = layerOf(before.rules, id)
  if (to === 'start' && layer?.state === 'retired') throw refuse(id, `its layer "${layer.id}" is retired`)
  const isDone = experiment.state === (to === 'start' ? 'running' : 'stopped')
  const steps: FlipStep[] = isDone ? [] : [{ kind: to }]
  if (to === 'start' && experiment.state === 'draft') {
    const running = neighbours(before.rules, id, layer?.id).filter(({ state }) => state === 'running')
    const taken = running.some(other => common(other.segments, experiment.segments).length > 0)
    if (taken) steps.unshift({ kind: 'segments', segments: freeSegments(running, sizeOf(experiment.segments)) })
  }
  return flipped(before, planFlip(before.rules, id, steps), `${to} experiment`)
}

/** What a flip has to know besides the scene. */
export interface FlipFacts {
  /** For a new phase. */
  readonly salt: string
  /** Whether the flip is only tried; then it need not say that it lets a new phase begin. */
  readonly preview?: boolean
  /** Arms to drop that an earlier flip has dropped: that is done already. Rows of earlier releases have none. */
  readonly dropped?: readonly string[]
}

/** @throws EXPERIMENT_NOT_FOUND, FLIP_REFUSED, EXPERIMENT_INVALID, SEGMENTS_TAKEN */
export function flipExperiment(
  before: SceneState,
  { experiment: id, flip: request }: ScenePayloads['flip experiment'],
  { salt, preview = false, dropped = [] }: FlipFacts,
): Next<FlipOutcome> {
  const wanted = request.drop === undefined ? request : { ...request, drop: request.drop.filter(arm => !dropped.includes(arm)) }
  const steps = stepsOf(before.rules, findExperiment(before.rules, id), wanted, salt)
  const next = flipped(before, planFlip(before.rules, id, steps), 'flip experiment')
  const { newPhase: reasons } = next.outcome
  if (preview || reasons.length === 0 || request.newPhase) return next
  const message = `Cannot change experiment "${id}": a new phase would begin, as ${reasons.join(', and ')}; say so with "newPhase": true`
  throw new BerthError('FLIP_REFUSED', message, { extra: { newPhase: reasons } })
}

function stepsOf(rules: SceneRules, experiment: Experiment, request: Flip, salt: string): FlipStep[] {
  const { drop = [], add = [], set = {}, segments, where, unit, arms = {} } = request
  if (Object.values(request).every(wish => wish === undefined || wish === false)) throw refuse(experiment.id, 'the request changes nothing')
  const there = add.filter(arm => isThere(experiment, arm)).map(({ name }) => name)
  const isOther = (name: string) => !there.includes(name)
  const [dropped, added] = [drop.filter(isOther), add.filter(({ name }) => isOther(name))]
  const meaning = { ...(where === undefined ? {} : { where: [...where] }), ...(unit === undefined ? {} : { unit }) }
  const to = { ...meaning, arms: redesigned(experiment, dropped, added, set) } as Redesign
  const steps: FlipStep[] = []
  if (beginsPhase(experiment, request.newPhase) || isRedesign(experiment, to)) steps.push({ kind: 'redesign', salt, to })
  else steps.push(...dropped.map((arm): FlipStep => ({ kind: 'drop', arm })))
  const given = add.flatMap(({ name, share = isOther(name) ? 0 : undefined }) => (share === undefined ? [] : [[name, share] as const]))
  const shares = { ...Object.fromEntries(given), ...arms }
  if (Object.keys(shares).length > 0) steps.push({ kind: 'shares', shares })
  if (segments !== undefined) steps.push({ kind: 'segments', segments: resized(rules, experiment, segments) })
  return steps
}

/** Whether an arm that is to be added is there already, with the same meaning: then it keeps its buckets. */
function isThere({ arms }: Experiment, { name, version, values }: AddedArm): boolean {
  return arms.some(arm => arm.name === name && ('version' in arm ? arm.version === version : isDeepStrictEqual(arm.values, values)))
}

/**
 * Whether a new phase is asked for by itself. One that has its number is asked for once, however often that is.
 * @throws FLIP_REFUSED for a number that is not the next
 */
function beginsPhase({ id, phase, state }: Experiment, wanted: boolean | number = false): boolean {
  if (typeof wanted === 'boolean' || state === 'draft') return wanted !== false
  if (wanted === phase || wanted === phase + 1) return wanted > phase
  throw refuse(id, `it is in phase ${phase}, so that phase ${wanted} cannot begin`)
}

/** Whether arms, units or conditions would mean something else. What is so already begins no new phase. */
function isRedesign(experiment: Experiment, to: Redesign): boolean {
  const after = { ...experiment, ...to, state: 'running' } as Experiment
  return newPhase({ ...experiment, state: 'running' }, after).length > 0
}

/** The arms that stay, with what they mean from now on, and the new arms, which have no bucket yet. */
function redesigned(experiment: Experiment, drop: readonly string[], add: readonly AddedArm[], set: NonNullable<Flip['set']>): Arm[] {
  const { id, arms } = experiment
  const isCode = arms.some(arm => 'version' in arm)
  const shape = (arm: LaidOut): Arm => (isCode ? versionArm(id, arm) : valuesArm(id, arm))
  const unknown = [...drop, ...Object.keys(set)].find(name => !arms.some(arm => arm.name === name))
  if (unknown !== undefined) throw refuse(id, `it has no arm "${unknown}", it has ${arms.map(({ name }) => name).join(', ')}`)
  const both = drop.find(name => Object.hasOwn(set, name))
  if (both !== undefined) throw refuse(id, `arm "${both}" is to be dropped and to mean something else`)
  const stay = arms.filter(({ name }) => !drop.includes(name))
  if (stay.length + add.length === 0) throw refuse(id, 'it would lose its last arm: stop it instead')
  const kept = stay.map(arm =>
    Object.hasOwn(set, arm.name) ? shape({ name: arm.name, reserve: arm.reserve, share: arm.share, ...set[arm.name] }) : arm,
  )
  return [...kept, ...add.map(arm => shape({ ...arm, reserve: [], share: 0 }))]
}

/** The segments of the experiment with more on top, or only the first of them. */
function resized(rules: SceneRules, { id, segments }: Experiment, amount: Amount): readonly Range[] {
  if (typeof amount !== 'number') return inBounds(id, 'it', amount)
  const missing = amount - sizeOf(segments)
  if (missing <= 0) return takeFirst(segments, amount)
  const own = { ...findExperiment(rules, id), state: 'running' as const }
  return joined([...segments, ...freeSegments([...neighbours(rules, id, layerOf(rules, id)?.id), own], missing)])
}

/**
 * Checks that no running experiment has segments of this one. `checkRules` finds that too, but might name either of the two as at fault.
 * @throws SEGMENTS_TAKEN
 */
function requireFree(rules: SceneRules, { id, state, segments }: Experiment): void {
  const running = state === 'running' ? neighbours(rules, id, layerOf(rules, id)?.id).filter(other => other.state === 'running') : []
  for (const other of running) {
    const taken = common(segments, other.segments)
    if (taken.length === 0) continue
    const message = `Cannot run experiment "${id}" on segments ${showRanges(taken)}: experiment "${other.id}" owns them`
    throw new BerthError('SEGMENTS_TAKEN', message, { extra: { experiment: id, owner: other.id, segments: taken } })
  }
}

function flipped(
  before: SceneState,
  { before: was, after: is, rules, movement, newPhase: reasons }: PlannedFlip,
  action: string,
): Next<FlipOutcome> {
  requireFree(rules, is)
  return {
    scene: { ...before, rules },
    action,
    before: was,
    after: is,
    outcome: {
      experiment: view(is, layerOf(rules, is.id)),
      before: armsOf(was),
      after: armsOf(is),
      segments: { before: was.segments, after: is.segments },
      moved: { ...movement, of: MOVED_OF, share: movement.moved / MOVED_OF },
      newPhase: reasons,
    },
  }
}

// Going back

/**
 * Undoes what a flip changed, and nothing else. To undo a change of meaning is a change of meaning, too: a new phase begins, with the salt
 * of the phase that it goes back to. What was flipped in a draft has never run. If its meaning goes back after the start, that begins a new
 * phase like any other change of meaning.
 * @throws EXPERIMENT_NOT_FOUND, SEGMENTS_TAKEN
 */
export function revertExperiment(before: SceneState, id: string, { flip, salt, isDone }: RevertFacts): Next<FlipOutcome> {
  const now = findExperiment(before.rules, id)
  const next = isDone ? flipped(before, planFlip(before.rules, id, []), 'revert experiment') : undo(before, now, flip, salt)
  const { revision, at, who } = flip
  return { ...next, outcome: { ...next.outcome, undoes: { revision, at, who } } }
}

/** What a revert has to know of the past. */
export interface RevertFacts {
  readonly flip: PastFlip
  /** Whether the flip is undone already, so that nothing is left to do. */
  readonly isDone?: true
  /** For a new phase that goes back to none. */
  readonly salt: string
}

function undo(before: SceneState, now: Experiment, flip: PastFlip, salt: string): Next<FlipOutcome> {
  const { before: earlier, after: later } = flip
  const undone = Object.entries(earlier).filter(([member, value]) => !isDeepStrictEqual(value, later[member as keyof Experiment]))
  const back = { ...now, ...Object.fromEntries(undone), state: now.state, phase: now.phase }
  const opens = earlier.phase !== later.phase || (earlier.state === 'draft' && newPhase(now, back).length > 0)
  const target = opens ? { ...back, phase: now.phase + 1, salt: back.salt === now.salt ? salt : back.salt } : back
  const next = flipped(before, flipTo(before.rules, now, target), 'revert experiment')
  const outcome = { ...next.outcome, newPhase: opens ? next.outcome.newPhase : [] }
  return { ...next, after: { ...target, reverts: flip.revision }, outcome }
}

// Layers

/**
 * A new layer. When it is there with exactly these parameters, nothing changes.
 * @throws RULES_INVALID for another one of this id; SCENE_FULL; LAYER_KEY_TAKEN when it is checked
 */
export function createLayer(before: SceneState, id: string, keys: readonly string[], salt: string): Next<{ readonly layer: Layer }> {
  const there = before.rules.layers.find(each => each.id === id)
  if (there?.state === 'live' && isDeepStrictEqual(new Set(there.keys), new Set(keys))) {
    return { ...unchanged(before, 'create layer'), outcome: { layer: there } }
  }
  if (there !== undefined) {
    const owns = there.state === 'live' ? 'owns' : 'is retired and owned'
    throw new BerthError('RULES_INVALID', `Cannot make layer "${id}": the scene has one of that id, which ${owns} ${there.keys.join(', ')}`)
  }
  requireRoom(before, before.rules.layers, 'layer', limits.scene.layersMax)
  const layer: Layer = { id, state: 'live', salt, keys: [...keys], experiments: [] }
  const rules = withRules(before.rules, { layers: [...before.rules.layers, layer] })
  return { scene: { ...before, rules }, action: 'create layer', before: null, after: { id, keys }, outcome: { layer } }
}

/**
 * Lets other layers own the parameters of a layer.
 * @throws LAYER_NOT_FOUND; LAYER_IN_USE while an experiment of the layer runs
 */
export function retireLayer(before: SceneState, id: string): Next<{ readonly layer: Layer }> {
  const layer = requireLayer(before.rules, id)
  const running = layer.experiments.filter(({ state }) => state === 'running').map(experiment => experiment.id)
  if (running.length > 0) {
    throw new BerthError('LAYER_IN_USE', `Cannot retire layer "${id}": its experiments ${running.join(', ')} run`, { extra: { running } })
  }
  const retired: Layer = { ...layer, state: 'retired' }
  const rules = withRules(before.rules, { layers: before.rules.layers.map(each => (each === layer ? retired : each)) })
  const state = ({ keys, state: now }: Layer) => ({ id, keys, state: now })
  return { scene: { ...before, rules }, action: 'retire layer', before: state(layer), after: state(retired), outcome: { layer: retired } }
}
