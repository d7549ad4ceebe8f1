/**
 * Works out what a change of an experiment or a cutover would do, before it is made: the ranges before and after, the exact share of units that
 * move, and whether a new phase begins.
 */
import { isDeepStrictEqual } from 'node:util'
import { BerthError } from '../kernel/errors.ts'
import { BUCKETS } from './hash.ts'
import { common, joined, type Range, showShare, sizeOf, sorted, takeFirst, WHOLE, without } from './ranges.ts'
import { type Arm, allExperiments, type CodeExperiment, type Cutover, type Experiment, inForce, type SceneRules } from './rules.ts'

/** A single step of a flip. Shares are in buckets: hundredths of a percent of the units in its segments. */
export type FlipStep =
  /** Sets the shares of arms. Arms that are not named keep theirs. */
  | { readonly kind: 'shares'; readonly shares: Readonly<Record<string, number>> }
  | { readonly kind: 'drop'; readonly arm: string }
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** Sets how much of the traffic it has. Units in segments that it keeps stay in it. */
  | { readonly kind: 'segments'; readonly segments: readonly Range[] }
  /** Gives it another meaning. An experiment that has run goes on in a new phase, and the new salt shuffles its units. */
  | { readonly kind: 'redesign'; readonly salt: string; readonly to: Redesign }

export type Redesign = Partial<Pick<Experiment, 'unit' | 'where' | 'arms'>>

/**
 * How many of all units of the scene or layer are in another arm afterwards than before: exact counts out of `MOVED_OF`. Units that a
 * whitelist or conditions keep out, and requests without a unit id, are not subtracted.
 */
export interface Movement {
  readonly entering: number
  readonly leaving: number
  /** From one arm to another, or to another meaning of the same arm. */
  readonly switching: number
  /** The three together. */
  readonly moved: number
}

export interface Flip {
  readonly before: Experiment
  readonly after: Experiment
  /** The rules of the scene with the changed experiment. They still have to pass `checkRules`. */
  readonly rules: SceneRules
  readonly movement: Movement
  /** Reasons in words why a new phase begins; empty when none does. */
  readonly newPhase: readonly string[]
}

/**
 * Works out a flip of one experiment, in the scene or in a layer: its steps are done one after the other and count as one change.
 * @throws EXPERIMENT_NOT_FOUND
 * @throws FLIP_REFUSED for an arm that it does not have, for shares over 100 % together, for starting it when it runs or stopping it when it does not
 */
export function planFlip(rules: SceneRules, id: string, steps: readonly FlipStep[]): Flip {
  const before = findExperiment(rules, id)
  return flipTo(rules, before, steps.reduce(applyStep, before))
}

/** The flip that replaces an experiment of these rules by a changed one. */
export function flipTo(rules: SceneRules, before: Experiment, after: Experiment): Flip {
  return { before, after, rules: withExperiment(rules, after), movement: movementOf(before, after), newPhase: newPhase(before, after) }
}

/** @throws EXPERIMENT_NOT_FOUND */
export function findExperiment(rules: SceneRules, id: string): Experiment {
  const experiments = allExperiments(rules).map(({ experiment }) => experiment)
  const found = experiments.find(experiment => experiment.id === id)
  if (found !== undefined) return found
  const known = experiments.map(experiment => experiment.id).join(', ') || 'none'
  throw new BerthError('EXPERIMENT_NOT_FOUND', `Cannot find experiment "${id}": the scene has ${known}`)
}

/** The rules with the experiment of this id replaced. */
export function withExperiment(rules: SceneRules, changed: Experiment): SceneRules {
  const put = <E extends Experiment>(experiments: readonly E[]): E[] =>
    experiments.map(experiment => (experiment.id === changed.id ? (changed as E) : experiment))
  return {
    ...rules,
    experiments: put(rules.experiments),
    layers: rules.layers.map(layer => ({ ...layer, experiments: put(layer.experiments) })),
  }
}

function applyStep(before: Experiment, change: FlipStep): Experiment {
  switch (change.kind) {
    case 'shares':
      return withArms(before, setShares(before, change.shares))
    case 'drop':
      return withArms(before, dropArm(before, change.arm))
    case 'start':
      if (before.state === 'running') throw refuse(before, 'it is running already')
      return { ...before, state: 'running' }
    case 'stop':
      if (before.state !== 'running') throw refuse(before, `it is not running, it is ${before.state}`)
      return { ...before, state: 'stopped' }
    case 'segments':
      return { ...before, segments: mutable(change.segments) }
    case 'redesign':
      return redesign(before, change)
  }
}

function redesign(before: Experiment, { salt, to }: Extract<FlipStep, { kind: 'redesign' }>): Experiment {
  if (before.state === 'draft') return { ...before, ...to } as Experiment
  if (salt === before.salt) throw refuse(before, 'a new phase needs a new salt')
  return { ...before, ...to, salt, phase: before.phase + 1 } as Experiment
}

const withArms = (experiment: Experiment, arms: readonly Arm[]): Experiment => ({ ...experiment, arms }) as Experiment

function dropArm(experiment: Experiment, name: string): Arm[] {
  requireArm(experiment, name)
  if (experiment.arms.length === 1) throw refuse(experiment, `"${name}" is its last arm: stop it instead`)
  return experiment.arms.filter(arm => arm.name !== name)
}

function requireArm(experiment: Experiment, name: string): void {
  if (experiment.arms.some(arm => arm.name === name)) return
  throw refuse(experiment, `it has no arm "${name}", it has ${experiment.arms.map(arm => arm.name).join(', ')}`)
}

function setShares(experiment: Experiment, shares: Readonly<Record<string, number>>): Arm[] {
  for (const name of Object.keys(shares)) requireArm(experiment, name)
  const wanted = experiment.arms.map(
    (arm): Arm => ({ ...arm, share: Object.hasOwn(shares, arm.name) ? (shares[arm.name] ?? 0) : arm.share }),
  )
  for (const { name, share } of wanted) {
    if (!Number.isInteger(share) || share < 0 || share > BUCKETS) {
      throw refuse(experiment, `the share of "${name}" must be from 0% to 100% in steps of 0.01%`)
    }
  }
  const total = wanted.reduce((sum, { share }) => sum + share, 0)
  if (total > BUCKETS) {
    const parts = wanted.map(({ name, share }) => `${name} ${showShare(share)}`).join(', ')
    throw refuse(experiment, `its arms would have ${showShare(total)} together (${parts})`)
  }
  return wanted.reduce(growReserve, wanted).map(compact)
}

/** Ranges that the reserve of an arm may have before it is tidied up: half of what the schema of rules allows. */
const PIECES_MAX = 128

/**
 * Shares that often go up and down cut reserves into ever more pieces. Beyond `PIECES_MAX` pieces, the buckets in force are sorted and joined,
 * and so are the others. No unit moves by that. But a smaller share later gives up the highest buckets, and no longer those that were added last.
 */
function compact(arm: Arm): Arm {
  if (arm.reserve.length <= PIECES_MAX) return arm
  const taken = inForce(arm)
  return { ...arm, reserve: mutable([...sorted(taken), ...sorted(without(arm.reserve, taken))]) }
}

const mutable = (ranges: readonly Range[]): [number, number][] => ranges.map(([from, to]) => [from, to])

/**
 * Makes the reserve of one arm large enough for its share. The missing buckets are taken from those that no arm has reserved, then from those
 * that other arms have reserved but do not use, the last ones first. No unit is in any of these, so no unit moves.
 */
function growReserve(arms: readonly Arm[], { name, share }: Arm): Arm[] {
  const reserve = arms.find(arm => arm.name === name)?.reserve ?? []
  const lacking = share - sizeOf(reserve)
  if (lacking <= 0) return [...arms]
  const others = arms.filter(arm => arm.name !== name)
  const free = without(
    [WHOLE],
    arms.flatMap(arm => arm.reserve),
  )
  const idle = others.flatMap(arm => backwards(without(arm.reserve, inForce(arm))))
  const unreserved = takeFirst(free, lacking)
  const taken = [...unreserved, ...takeLast(idle, lacking - sizeOf(unreserved))]
  return arms.map(arm => {
    const kept = arm.name === name ? joined([...arm.reserve, ...taken]) : without(arm.reserve, taken)
    return { ...arm, reserve: mutable(kept) }
  })
}

const backwards = (ranges: readonly Range[]): Range[] => ranges.toReversed()

/** Takes `count` buckets in the order of the ranges, like `takeFirst`, but from the end of each range. */
function takeLast(ranges: readonly Range[], count: number): Range[] {
  let left = count
  return ranges.flatMap(([from, to]): Range[] => {
    const size = Math.min(left, to - from)
    left -= size
    return size > 0 ? [[to - size, to]] : []
  })
}

const refuse = ({ id }: Experiment, why: string): BerthError => new BerthError('FLIP_REFUSED', `Cannot change experiment "${id}": ${why}`)

// Phases

/**
 * Reasons in words why results after the change cannot be added to results before it, so that a new phase has to begin. Shares, states and
 * segments may change within a phase.
 */
export function newPhase(before: Experiment, after: Experiment): string[] {
  if (before.state === 'draft') return []
  const changed = (what: keyof Experiment) => !isDeepStrictEqual(before[what], after[what])
  const redefined = after.arms.filter(arm => {
    const earlier = before.arms.find(({ name }) => name === arm.name)
    return earlier === undefined || !isDeepStrictEqual(meaningOf(earlier), meaningOf(arm))
  })
  return [
    ...(changed('salt') ? ['its salt changes, so every unit is shuffled anew'] : []),
    ...(changed('unit') ? [`it hashes the ${after.unit === 'unit' ? 'unit' : 'request'} id from now on`] : []),
    ...(changed('where') ? ['its conditions change, so other units take part'] : []),
    ...redefined.map(arm => `arm "${arm.name}" means ${showMeaning(arm)} from now on`),
  ]
}

const meaningOf = (arm: Arm): unknown => ('version' in arm ? arm.version : arm.values)

const showMeaning = (arm: Arm): string => ('version' in arm ? arm.version : JSON.stringify(arm.values))

// Movement

/** Which units go where: the arms, and the buckets that they take of the units in some segments. */
interface Allocation {
  readonly segments: readonly Range[]
  readonly salt: string
  readonly arms: readonly { readonly name: string; readonly meaning: unknown; readonly ranges: readonly Range[] }[]
}

/** How many units move when an experiment changes from `before` to `after`. */
export function movementOf(before: Experiment, after: Experiment): Movement {
  return compare(allocationOf(before), allocationOf(after), before.unit === after.unit && before.salt === after.salt)
}

/**
 * How many units move when the cutover changes from `before` to `after`; undefined means that there is no cutover.
 * @param experiments the code experiments of the scene: a unit in an arm of one never reaches the cutover
 */
export function cutoverMovement(
  before: Cutover | undefined,
  after: Cutover | undefined,
  experiments: readonly CodeExperiment[] = [],
): Movement {
  return outsideOf(experiments, compare(cutoverAllocation(before), cutoverAllocation(after), before?.salt === after?.salt))
}

/** Who answers where no other rule decides. */
interface Answering {
  readonly baseline: string
  readonly cutover: Cutover | undefined
}

/**
 * How many units another version answers when the baseline changes, and with it maybe the cutover. A cutover that stays keeps its salt.
 * @param experiments the code experiments of the scene: a unit in an arm of one never reaches the cutover and the baseline
 */
export function baselineMovement(before: Answering, after: Answering, experiments: readonly CodeExperiment[]): Movement {
  return outsideOf(experiments, compare(answeringAllocation(before), answeringAllocation(after), true))
}

/** The part of a movement that is of units in no arm. */
function outsideOf(experiments: readonly CodeExperiment[], { entering, leaving, switching, moved }: Movement): Movement {
  const always = experiments.filter(({ unit, where }) => unit === 'unit' && where.length === 0).map(allocationOf)
  const taken = always.reduce((sum, allocation) => sum + sizeOf(allocation.segments) * enrolled(allocation), 0)
  const left = (count: number) => (count / BUCKETS ** 2) * (BUCKETS ** 2 - taken)
  return { entering: left(entering), leaving: left(leaving), switching: left(switching), moved: left(moved) }
}

function allocationOf({ state, segments, salt, arms }: Experiment): Allocation {
  const taken = arms.map(arm => ({ name: arm.name, meaning: meaningOf(arm), ranges: inForce(arm) }))
  return { segments: state === 'running' ? segments : [], salt, arms: taken }
}

function cutoverAllocation(cutover: Cutover | undefined): Allocation {
  if (cutover === undefined) return { segments: [], salt: '', arms: [] }
  const { version, share, salt } = cutover
  return { segments: [WHOLE], salt, arms: [{ name: version, meaning: version, ranges: [[0, share]] }] }
}

function answeringAllocation({ baseline, cutover }: Answering): Allocation {
  const share = cutover?.share ?? 0
  const arm = (version: string, ranges: readonly Range[]) => ({ name: version, meaning: version, ranges })
  const over = cutover === undefined ? [] : [arm(cutover.version, [[0, share]])]
  return { segments: [WHOLE], salt: '', arms: [...over, arm(baseline, [[share, BUCKETS]])] }
}

/** Segments and buckets are hashed with different salts and so are independent: the size of a set of both is the product of the two sizes. */
function compare(before: Allocation, after: Allocation, sameBuckets: boolean): Movement {
  const both = sizeOf(common(before.segments, after.segments))
  const had = enrolled(before)
  const has = enrolled(after)
  const stays = overlapOf(before, after, sameBuckets, () => true)
  const keeps = overlapOf(before, after, sameBuckets, (a, b) => a.name === b.name && isDeepStrictEqual(a.meaning, b.meaning))
  const entering = sizeOf(after.segments) * has * BUCKETS - both * stays
  const leaving = sizeOf(before.segments) * had * BUCKETS - both * stays
  const switching = both * (stays - keeps)
  return { entering, leaving, switching, moved: entering + leaving + switching }
}

const enrolled = ({ arms }: Allocation): number => arms.reduce((sum, { ranges }) => sum + sizeOf(ranges), 0)

type TakenArm = Allocation['arms'][number]

/**
 * How many pairs of a bucket before and a bucket after are in two arms for which `counts` holds. Under one salt a unit has the same bucket before
 * and after; under two salts, any pair of buckets is equally likely.
 */
function overlapOf(before: Allocation, after: Allocation, sameBuckets: boolean, counts: (a: TakenArm, b: TakenArm) => boolean): number {
  const pairs = before.arms.flatMap(a => after.arms.filter(b => counts(a, b)).map(b => ({ a, b })))
  const size = ({ a, b }: { a: TakenArm; b: TakenArm }) =>
    sameBuckets ? sizeOf(common(a.ranges, b.ranges)) * BUCKETS : sizeOf(a.ranges) * sizeOf(b.ranges)
  return pairs.reduce((sum, pair) => sum + size(pair), 0)
}

// Making room

/** Lays out the reserves of arms one after the other by weight, in buckets. No bucket is in force yet: every share is 0. */
export function layOut(
  weights: readonly { readonly name: string; readonly weight: number }[],
): { name: string; reserve: [number, number][]; share: number }[] {
  let from = 0
  return weights.map(({ name, weight }) => {
    const start = from
    from += weight
    return { name, reserve: weight > 0 ? [[start, from]] : [], share: 0 }
  })
}

/**
 * The first `count` segments that none of these experiments owns, as far as they run.
 * @throws SEGMENTS_TAKEN when fewer are free
 */
export function freeSegments(experiments: readonly Experiment[], count: number): Range[] {
  const running = experiments.filter(({ state }) => state === 'running')
  const free = without(
    [WHOLE],
    running.flatMap(({ segments }) => segments),
  )
  if (sizeOf(free) >= count) return takeFirst(free, count)
  const owners = running.map(({ id, segments }) => `${id} ${showShare(sizeOf(segments))}`).join(', ')
  const message = `Cannot find room for ${showShare(count)} of the traffic: ${showShare(sizeOf(free))} is free, the rest has ${owners}`
  throw new BerthError('SEGMENTS_TAKEN', message)
}
