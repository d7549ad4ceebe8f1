/**
 * Works out which version should answer a unit, from the rules as the control API returns them and from the documentation. It shares no code with
 * the base, because its purpose is to check the base.
 */
import murmurhash from 'murmurhash'

type Range = readonly [from: number, to: number]

export interface ArmRule {
  readonly name: string
  readonly version: string
  /** The buckets in force; ranges are half-open. */
  readonly ranges: readonly Range[]
}

export interface ExperimentRule {
  readonly id: string
  readonly phase: number
  readonly salt: string
  readonly segments: readonly Range[]
  readonly arms: readonly ArmRule[]
}

/** What is in force in one scene. */
export interface Routing {
  readonly baseline: string
  /** What the module of each version answers as `tag`, by version. */
  readonly tags: Readonly<Record<string, string>>
  /** Versions by unit id. */
  readonly whitelist: Readonly<Record<string, string>>
  readonly segmentSalt: string
  readonly experiments: readonly ExperimentRule[]
  readonly cutover: { readonly version: string; readonly share: number; readonly salt: string } | undefined
  /** The parameter `step`, which is in every answer. */
  readonly step: unknown
}

export interface Asked {
  readonly unit?: string | undefined
  readonly pin?: string | undefined
}

export interface Expected {
  readonly version: string
  readonly because: 'pin' | 'whitelist' | 'experiment' | 'cutover' | 'baseline'
  /** The bucket in the experiment or the cutover that decided. */
  readonly bucket?: number
}

export const bucketOf = (id: string, salt: string): number => murmurhash.v3(id, murmurhash.v3(salt, 0)) % 10_000

const has = (ranges: readonly Range[], bucket: number): boolean => ranges.some(([from, to]) => bucket >= from && bucket < to)

export function expectedOf(routing: Routing, { unit, pin }: Asked): Expected {
  if (pin !== undefined) return { version: pin, because: 'pin' }
  if (unit === undefined) return { version: routing.baseline, because: 'baseline' }
  const listed = routing.whitelist[unit]
  if (listed !== undefined) return { version: listed, because: 'whitelist' }
  const experiment = experimentOf(routing, unit)
  const bucket = experiment && bucketOf(unit, experiment.salt)
  const arm = experiment?.arms.find(({ ranges }) => bucket !== undefined && has(ranges, bucket))
  if (arm !== undefined && bucket !== undefined) return { version: arm.version, because: 'experiment', bucket }
  const { cutover } = routing
  const cutoverBucket = cutover && bucketOf(unit, cutover.salt)
  if (cutover !== undefined && cutoverBucket !== undefined && cutoverBucket < cutover.share) {
    return { version: cutover.version, because: 'cutover', bucket: cutoverBucket }
  }
  return { version: routing.baseline, because: 'baseline' }
}

/** The experiment whose segment the unit is in. */
function experimentOf({ experiments, segmentSalt }: Routing, unit: string): ExperimentRule | undefined {
  const segment = bucketOf(unit, segmentSalt)
  return experiments.find(({ segments }) => has(segments, segment))
}

/** The units that a change may move: those on the whitelist, those in experiments, all others (`rest`), or none. */
export type Scope = 'whitelist' | 'experiments' | 'rest' | 'nobody'

/** The rules that answer units of each scope. A unit that leaves the whitelist or an arm is answered by the next rule. */
const reasonsOf: Readonly<Record<Scope, readonly Expected['because'][]>> = {
  whitelist: ['whitelist'],
  experiments: ['experiment'],
  rest: ['cutover', 'baseline'],
  nobody: [],
}

/**
 * Describes what a change did without announcing it: units that moved outside of its scope, salts that changed (which changes every bucket), and
 * units that left an arm although it only grew.
 */
export function unannounced(before: Routing, after: Routing, scope: Scope, units: readonly string[]): string[] {
  return [...saltsChanged(before, after), ...units.flatMap(unit => movedUnannounced(before, after, scope, unit))]
}

function saltsChanged(before: Routing, after: Routing): string[] {
  const wrong: string[] = []
  if (before.segmentSalt !== after.segmentSalt) wrong.push('the salt of the segments changed')
  for (const { id, phase, salt } of after.experiments) {
    const was = before.experiments.find(experiment => experiment.id === id && experiment.phase === phase)
    if (was !== undefined && was.salt !== salt) wrong.push(`the salt of experiment "${id}" changed within phase ${phase}`)
  }
  const [was, is] = [before.cutover, after.cutover]
  if (was?.version === is?.version && was?.salt !== is?.salt) wrong.push(`the salt of the cutover to ${is?.version} changed`)
  return wrong
}

function movedUnannounced(before: Routing, after: Routing, scope: Scope, unit: string): string[] {
  const [was, is] = [expectedOf(before, { unit }), expectedOf(after, { unit })]
  if (was.version === is.version && was.because === is.because) return []
  const reasons = reasonsOf[scope]
  const announced =
    scope === 'rest' ? reasons.includes(was.because) && reasons.includes(is.because) : [was, is].some(one => reasons.includes(one.because))
  const move = `unit "${unit}" moved from ${was.version} (${was.because}) to ${is.version} (${is.because})`
  if (!announced) return [`${move} by a change of ${scope}`]
  return leftGrowingArm(before, after, unit, was) ? [`${move}, though its arm only grew`] : []
}

function leftGrowingArm(before: Routing, after: Routing, unit: string, was: Expected): boolean {
  if (was.because !== 'experiment' || was.bucket === undefined) return false
  const [then, now] = [experimentOf(before, unit), experimentOf(after, unit)]
  if (then === undefined || now === undefined || then.id !== now.id || then.phase !== now.phase) return false
  const bucket = was.bucket
  const arm = then.arms.find(({ ranges }) => has(ranges, bucket))
  const grown = now.arms.find(({ name }) => name === arm?.name)
  return arm !== undefined && grown !== undefined && sizeOf(grown.ranges) >= sizeOf(arm.ranges) && !has(grown.ranges, bucket)
}

const sizeOf = (ranges: readonly Range[]): number => ranges.reduce((size, [from, to]) => size + to - from, 0)
