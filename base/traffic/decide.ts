/**
 * Decides which version answers a request, with which parameters, and why. Deciding is pure: it does no I/O and reads no clock. The rules are
 * asked in this order, and the first that has an answer chooses the version; then the layers set parameters for that version:
 *
 *   pin ─▶ load-test mark ─▶ whitelist ─▶ code experiment ─▶ cutover ─▶ baseline       then: layers
 *
 * A request without a unit id is answered by the baseline, or by an experiment that hashes request ids. A request for a version in quarantine is
 * answered by the baseline, or by the previous one while the baseline itself is in quarantine; unless it was pinned.
 */
import { BerthError } from '../kernel/errors.ts'
import { HashedId } from './hash.ts'
import type { MergedParams } from './params.ts'
import { quarantineError } from './quarantine-words.ts'
import type { CodeArm, CompiledCutover, LayerArm, Route, RunningExperiment, SegmentSpace } from './routing.ts'
import type { Scene } from './scene.ts'
import type { SlotPlan } from './table.ts'
import type { Attribute, CompiledCondition } from './targeting.ts'

export type Rule = 'pin' | 'loadtest' | 'whitelist' | 'experiment' | 'cutover' | 'baseline'

/** The rule that chose the version, or `quarantine` when another version answers because the one that was chosen is in quarantine. */
export type Because = Rule | 'quarantine'

export interface Decision {
  readonly plan: SlotPlan
  readonly because: Because
  /** The bucket of the request in the experiment or the cutover that chose the version, 0 to 9999. */
  readonly bucket: number | undefined
  /** The arm of the code experiment that chose the version. */
  readonly arm: CodeArm | undefined
  /** The arms of business experiments that set parameters, in the order of their layers. */
  readonly layers: readonly LayerArm[]
  /** JSON of the parameters, as it crosses into the slot. */
  readonly params: string
  /**
   * Whether the request counts as exposed to `arm`, to `layers`, and to its side of the cutover when there is one and no experiment decided.
   * False for a request that was pinned, whitelisted, marked as a load test or answered by another version because of a quarantine, and when
   * there is nothing to be exposed to.
   */
  readonly exposed: boolean
}

/** What a decision needs to know of a request. Whether the caller may pin or mark a load test has been checked before. */
export interface DecisionInput {
  readonly pin: string | undefined
  readonly loadtest: boolean
  /** At most `limits.request.unitIdBytesMax` bytes, and not empty. */
  readonly unit: string | undefined
  readonly requestId: string
  /** Reads an attribute of the request; the value may have any type. Called only when a condition has to be tested. `decide` throws what it throws. */
  attribute(attribute: Attribute): unknown
}

export type AnyArm = CodeArm | LayerArm

/**
 * Is called for every rule that a decision asks, with the rule's answer. `explain` passes a witness and `decide` passes none; both run the same
 * code, so they cannot disagree.
 */
export interface Witness {
  pin(version: string, route: Route | undefined): void
  loadtest(marked: boolean, route: Route | undefined): void
  whitelist(route: Route | undefined): void
  /** @param segment undefined when the request has no id that could be hashed */
  segment(space: SegmentSpace<AnyArm>, segment: number | undefined, owner: RunningExperiment<AnyArm> | undefined): void
  /** The experiment that owns the segment does not take the request. */
  refused(space: SegmentSpace<AnyArm>, owner: RunningExperiment<AnyArm>, why: Refusal): void
  bucket(space: SegmentSpace<AnyArm>, owner: RunningExperiment<AnyArm>, bucket: number, arm: AnyArm | undefined): void
  cutover(cutover: CompiledCutover, bucket: number | undefined): void
  baseline(route: Route | undefined): void
}

/**
 * @throws VERSION_NOT_FOUND for a pin to a version that is not online
 * @throws SCENE_WITHOUT_BASELINE before the first version
 * @throws VERSION_QUARANTINED for a pin to a version in quarantine, and when no version is left that could answer in its place
 * @throws whatever `asked.attribute` throws
 */
export function decide(scene: Scene, input: DecisionInput): Decision {
  return decideWithWitness(scene, input, undefined)
}

/** Decides as `decide` does, and reports each step to the witness. */
export function decideWithWitness(scene: Scene, input: DecisionInput, witness: Witness | undefined): Decision {
  const { routing } = scene
  const { unit } = input
  if (routing.hashes && unit !== undefined) hashedUnit.set(unit)

  if (input.pin !== undefined) return conclude(scene, input, witness, pinned(scene, input.pin, witness), 'pin')

  witness?.loadtest(input.loadtest, routing.loadtest)
  if (input.loadtest) return conclude(scene, input, witness, routing.loadtest ?? baseline(scene, witness), 'loadtest')

  if (routing.whitelist !== undefined && unit !== undefined) {
    const listed = routing.whitelist.get(unit)
    witness?.whitelist(listed)
    if (listed !== undefined) return conclude(scene, input, witness, listed, 'whitelist')
  }

  if (routing.experiments !== undefined) {
    const owner = ownerOf(routing.experiments, input, undefined, witness)
    if (owner !== undefined) {
      const bucket = hashed(input, owner.byRequest).bucket(owner.seed)
      const arm = owner.arms.find(bucket)
      witness?.bucket(routing.experiments, owner, bucket, arm)
      if (arm !== undefined) return conclude(scene, input, witness, arm.route, 'experiment', bucket, arm)
    }
  }

  if (routing.cutover !== undefined) {
    const bucket = unit === undefined ? undefined : hashedUnit.bucket(routing.cutover.seed)
    witness?.cutover(routing.cutover, bucket)
    if (bucket !== undefined && bucket < routing.cutover.share) {
      return conclude(scene, input, witness, routing.cutover.route, 'cutover', bucket)
    }
  }

  return conclude(scene, input, witness, baseline(scene, witness), 'baseline')
}

function conclude(
  scene: Scene,
  input: DecisionInput,
  witness: Witness | undefined,
  route: Route,
  rule: Rule,
  bucket?: number,
  arm?: CodeArm,
): Decision {
  const { quarantine } = route
  if (quarantine === undefined) return parameterise(scene, input, witness, route, rule, bucket, arm)
  if (quarantine.isRefused)
    throw quarantineError(`Cannot serve scene "${scene.id}", which has no other version left to answer: ${quarantine.message}`)
  // A load test stays one, so that it opens no breaker.
  return parameterise(scene, input, witness, route, rule === 'loadtest' ? rule : 'quarantine')
}

function parameterise(
  scene: Scene,
  input: DecisionInput,
  witness: Witness | undefined,
  { plan, params }: Route,
  because: Because,
  bucket?: number,
  arm?: CodeArm,
): Decision {
  const { layers, cutover } = scene.routing
  let merged: MergedParams<LayerArm> = params
  for (const layer of layers) merged = throughLayer(layer, input, plan.version, merged, witness)
  const counted = because === 'experiment' || because === 'cutover' || because === 'baseline'
  const subject = arm !== undefined || merged.arms.length > 0 || (cutover !== undefined && cutover.share > 0 && input.unit !== undefined)
  return { plan, because, bucket, arm, layers: merged.arms, params: merged.json, exposed: counted && subject }
}

function throughLayer(
  layer: SegmentSpace<LayerArm>,
  input: DecisionInput,
  version: string,
  params: MergedParams<LayerArm>,
  witness: Witness | undefined,
): MergedParams<LayerArm> {
  const owner = ownerOf(layer, input, version, witness)
  if (owner === undefined) return params
  const bucket = hashed(input, owner.byRequest).bucket(owner.seed)
  const arm = owner.arms.find(bucket)
  witness?.bucket(layer, owner, bucket, arm)
  return arm === undefined ? params : params.with(arm)
}

/**
 * The experiment that owns the segment of the request, if it takes the request. The segment is that of the unit id when there is one, even if
 * the experiment then hashes request ids.
 */
function ownerOf<A extends AnyArm>(
  space: SegmentSpace<A>,
  input: DecisionInput,
  version: string | undefined,
  witness: Witness | undefined,
): RunningExperiment<A> | undefined {
  const nothing = input.unit === undefined && !space.takesRequests
  const segment = nothing ? undefined : hashed(input, false).bucket(space.seed)
  const owner = segment === undefined ? undefined : space.owners.find(segment)
  witness?.segment(space, segment, owner)
  if (owner === undefined) return undefined
  const why = refusal(owner, input, version)
  if (why === undefined) return owner
  witness?.refused(space, owner, why)
  return undefined
}

/** Why an experiment refuses a request in its segment: there is no unit id, it is for other versions, or this condition does not hold. */
export type Refusal = 'unit' | 'version' | CompiledCondition

function refusal<A>(
  { byRequest, versions, conditions }: RunningExperiment<A>,
  input: DecisionInput,
  version: string | undefined,
): Refusal | undefined {
  if (!byRequest && input.unit === undefined) return 'unit'
  if (versions !== undefined && (version === undefined || !versions.has(version))) return 'version'
  for (const condition of conditions) if (!condition.holds(input.attribute(condition.attribute))) return condition
  return undefined
}

// All decisions share these two objects, so that hashing allocates nothing. This is safe because a decision is synchronous and keeps no reference
// to them. The unit id is prepared once for all rules of a decision; the request id is rarely needed.
const hashedUnit = new HashedId()
const hashedRequest = new HashedId()

/** The id to hash, ready. `decideWithWitness` has set the unit id before. */
function hashed({ unit, requestId }: DecisionInput, byRequest: boolean): HashedId {
  if (unit !== undefined && !byRequest) return hashedUnit
  hashedRequest.set(requestId)
  return hashedRequest
}

function baseline({ id, routing }: Scene, witness: Witness | undefined): Route {
  witness?.baseline(routing.baseline)
  if (routing.baseline !== undefined) return routing.baseline
  throw new BerthError('SCENE_WITHOUT_BASELINE', `Cannot serve scene "${id}": it has no baseline version yet`)
}

function pinned({ id, routing }: Scene, version: string, witness: Witness | undefined): Route {
  const route = routing.routes.get(version)
  witness?.pin(version, route)
  if (route?.quarantine !== undefined) throw quarantineError(`Cannot serve the version that was asked for: ${route.quarantine.message}`)
  if (route !== undefined) return route
  throw new BerthError('VERSION_NOT_FOUND', `Cannot serve version "${version.slice(0, 64)}" of scene "${id}": no such version online`)
}
