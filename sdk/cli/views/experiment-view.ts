/** Experiments, flips and explanations as lines for people. Pure. */
import type { ArmView, ArmViews, ExperimentView, Flipped } from '../../../base/contract/experiment-api.ts'
import type { Explanation, Step } from '../../../base/contract/explain-api.ts'
import { BUCKETS } from '../../../base/traffic/hash.ts'
import { joined, type Range, showRanges, showShare, sizeOf } from '../../../base/traffic/ranges.ts'
import { showCondition } from '../arguments.ts'

type Arm = ExperimentView['arms'][number]

export const showMeaning = (arm: Arm): string => ('version' in arm ? arm.version : JSON.stringify(arm.values))

/** `the scene`, or `layer "ui"`. */
export const showSpace = ({ layer }: Pick<ExperimentView, 'layer'>): string => (layer === null ? 'the scene' : `layer "${layer}"`)

/** A line such as `exp-7: running, phase 2, 40% of the units of the scene`. */
export function describeExperiment(experiment: ExperimentView): string {
  const { id, state, phase, traffic, unit } = experiment
  const by = unit === 'request' ? ', by request id' : ''
  return `${id}: ${state}, phase ${phase}, ${showShare(traffic)} of the units of ${showSpace(experiment)}${by}`
}

/** The line `where     country in CN,US, and age > 30`, when there is a condition. */
export function describeWhere({ where }: ExperimentView): string[] {
  return where.length === 0 ? [] : [`where     ${where.map(showCondition).join(', and ')}`]
}

/** Lines that say who takes part. */
export function describeTargeting(experiment: ExperimentView): string[] {
  const { segments, description } = experiment
  return [
    ...(description === undefined ? [] : [`  ${description}`]),
    `  segments  ${showRanges(segments)}`,
    ...describeWhere(experiment).map(line => `  ${line}`),
    ...('versions' in experiment && experiment.versions ? [`  only      of ${experiment.versions.join(', ')}`] : []),
  ]
}

/** The share of all units of the scene or layer that buckets of an experiment are: `8%` for 2000 buckets and 4000 segments. */
export const showPart = (buckets: number, segments: number): string => exactPercent(buckets * segments, BUCKETS ** 2)

export const armHead = ['arm', 'is', 'share', 'of all units', 'buckets'] as const

/**
 * One row for each arm: its name, its meaning, its share, that share of all units, and its buckets. The last row is for buckets of no arm.
 */
export function armRows({ arms, inForce, traffic }: ExperimentView): string[][] {
  const rows = arms.map(arm => {
    const { share, ranges } = inForce[arm.name] ?? nothing
    return [arm.name, showMeaning(arm), showShare(share), showPart(share, traffic), showBuckets(ranges)]
  })
  const rest = BUCKETS - arms.reduce((sum, { name }) => sum + (inForce[name]?.share ?? 0), 0)
  return rest === 0 ? rows : [...rows, ['(no arm)', '', showShare(rest), showPart(rest, traffic), '']]
}

const nothing: ArmView = { share: 0, ranges: [] }

/** One row for each arm, with its share before and after; arms that were dropped or added have a row too. */
export function flipRows({ experiment, before, after }: Pick<Flipped, 'experiment' | 'before' | 'after'>): string[][] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names].map(name => {
    const arm = experiment.arms.find(each => each.name === name)
    return [name, arm === undefined ? '(dropped)' : showMeaning(arm), ...[before, after].flatMap(states => showArm(states, name))]
  })
}

export const flipHead = ['arm', 'is', 'before', 'buckets', 'after', 'buckets'] as const

function showArm(states: ArmViews, name: string): [share: string, ranges: string] {
  const arm = states[name]
  return arm === undefined ? ['–', '–'] : [showShare(arm.share), showBuckets(arm.ranges)]
}

/** Ranges that touch are shown as one, because an arm that has grown several times has many of them. */
const showBuckets = (ranges: readonly Range[]): string => showRanges(joined(ranges.toSorted(([a], [b]) => a - b)))

/** A line such as `8% of all units of the scene move: 6% enter, 2% change arms`, exact to the last digit. */
export function describeMovement({ experiment, moved }: Pick<Flipped, 'experiment' | 'moved'>): string {
  const space = showSpace(experiment)
  if (moved.moved === 0) return `No unit of ${space} moves${experiment.state === 'draft' ? ': it is not started' : ''}`
  const part = (count: number) => exactPercent(count, moved.of)
  const parts = [
    [moved.entering, 'enter'],
    [moved.leaving, 'leave'],
    [moved.switching, 'change arms'],
  ] as const
  const kinds = parts.filter(([count]) => count > 0).map(([count, what]) => `${part(count)} ${what}`)
  const conditional = experiment.where.length > 0 ? ', those among them that fit its conditions' : ''
  return `${part(moved.moved)} of all units of ${space} move: ${kinds.join(', ')}${conditional}`
}

/** `count` is at most 10^12, so no digit is lost on the way. */
export function exactPercent(count: number, of: number): string {
  return `${((count * 100) / of).toFixed(10).replace(/\.?0+$/, '')}%`
}

/** The line `segments 0–4000 → 0–6000`, when they change. */
export function describeSegments({ segments: { before, after } }: Pick<Flipped, 'segments'>): string[] {
  const [was, is] = [before, after].map(showRanges)
  return was === is ? [] : [`segments  ${was} → ${is} (${showShare(sizeOf(before))} → ${showShare(sizeOf(after))})`]
}

// Explanations

/** Lines for a step: what the rule said, then how the id came to its buckets. */
export function describeStep({ rule, name, layer, decided, said, draws }: Step, mark: (decided: boolean) => string): string[] {
  const who = rule === 'layer' ? `layer ${layer ?? name}` : rule
  const what = name === undefined || (rule === 'layer' && layer === undefined) ? said : `${name}: ${said}`
  const hashes = draws.map(({ of, hash, bucket, ranges, salt }, index) => {
    const place = index === 0 && (rule === 'experiment' || rule === 'layer') ? 'segment' : 'bucket'
    return `      ${of} id → hash ${hash} → ${place} ${bucket}, takes ${showRanges(ranges)}   (salt ${salt})`
  })
  return [`${mark(decided)} ${who.padEnd(12)} ${what}`, ...hashes]
}

/** The outcome, in the words of the answer's headers. */
export function describeOutcome({ version, because, bucket, experiment, layers, params, exposed }: Explanation): string[] {
  const chosen = experiment === null ? because : `${because} ${experiment.id}, arm "${experiment.arm}", phase ${experiment.phase}`
  return [
    `${version} answers, because of: ${chosen}${bucket === null ? '' : `, bucket ${bucket}`}`,
    ...layers.map(({ layer, experiment: id, arm, phase }) => `  in layer "${layer}": experiment ${id}, arm "${arm}", phase ${phase}`),
    `  params ${JSON.stringify(params)}`,
    `  ${exposed ? 'counts' : 'does not count'} as an exposure`,
  ]
}
