/**
 * Which version answers a request with which parameters, and why. Pure: no I/O, no clock. In order, the first that has an answer:
 *
 *   pin ─▶ load-test mark ─▶ whitelist ─▶ code experiment ─▶ cutover ─▶ baseline       then the layers, for the version that it came to
 *
 * A request without a unit id is answered by the baseline (or by an experiment that hashes request ids).
 */
import { BerthError } from '../kernel/errors.ts'
import { HashedId } from './hash.ts'
import type { MergedParams } from './params.ts'
import type { CodeArm, CompiledCutover, Diversion, Enrolment, LayerArm, Route } from './routing.ts'
import type { Scene } from './scene.ts'
import type { SlotPlan } from './table.ts'
import type { Attribute, Test } from './targeting.ts'

export type Because = 'pin' | 'loadtest' | 'whitelist' | 'experiment' | 'cutover' | 'baseline'

export interface Decision {
  readonly plan: SlotPlan
  readonly because: Because
  /** The bucket that the experiment or the cutover had for it, 0 to 9999. */
  readonly bucket: number | undefined
  /** The arm of the code experiment that decided. */
  readonly arm: CodeArm | undefined
  /** The arms of business experiments that have a part in the parameters, in the order of their layers. */
  readonly layers: readonly LayerArm[]
  /** JSON of the parameters, as it crosses into the slot. */
  readonly params: string
  /**
   * Whether the outcome counts for what the request was exposed to: `arm`, `layers`, and either side of the cutover when there is one and
   * no experiment decided. Never for a request that was pinned, whitelisted or marked as a load test, nor when there was nothing to be
   * exposed to.
   */
  readonly exposed: boolean
}

/** What the request says of itself. A pin and a mark have been authorised before they get here. */
export interface Asked {
  readonly pin: string | undefined
  readonly loadtest: boolean
  /** At most `limits.unitIdBytesMax` bytes, and not empty. */
  readonly unit: string | undefined
  readonly requestId: string
  /** What the request has at an attribute, of whatever type. Asked only when a condition of an experiment is reached; what it throws, `decide` throws. */
  attribute(attribute: Attribute): unknown
}

export type AnyArm = CodeArm | LayerArm

/**
 * Is told of every rule that was asked and what it said. `explain` is one; `decide` has none, and so the two cannot disagree.
 */
export interface Witness {
  pin(version: string, route: Route | undefined): void
  loadtest(marked: boolean, route: Route | undefined): void
  whitelist(route: Route | undefined): void
  /** @param segment undefined: nothing to hash */
  segment(diversion: Diversion<AnyArm>, segment: number | undefined, owner: Enrolment<AnyArm> | undefined): void
  /** The owner does not take the request, and why. */
  refused(diversion: Diversion<AnyArm>, owner: Enrolment<AnyArm>, why: Refusal): void
  bucket(diversion: Diversion<AnyArm>, owner: Enrolment<AnyArm>, bucket: number, arm: AnyArm | undefined): void
  cutover(cutover: CompiledCutover, bucket: number | undefined): void
  baseline(route: Route | undefined): void
}

/**
 * @throws VERSION_NOT_FOUND for a pin to a version that is not online
 * @throws SCENE_WITHOUT_BASELINE before the first version
 * @throws whatever `asked.attribute` throws
 */
export function decide(scene: Scene, asked: Asked): Decision {
  return decideBefore(scene, asked, undefined)
}

/** `decide`, with a witness. */
export function decideBefore(scene: Scene, asked: Asked, witness: Witness | undefined): Decision {
  const { routing } = scene
  const { unit } = asked
  if (routing.hashes && unit !== undefined) hashedUnit.set(unit)

  if (asked.pin !== undefined) return conclude(scene, asked, witness, pinned(scene, asked.pin, witness), 'pin')

  witness?.loadtest(asked.loadtest, routing.loadtest)
  if (asked.loadtest) return conclude(scene, asked, witness, routing.loadtest ?? baseline(scene, witness), 'loadtest')

  if (routing.whitelist !== undefined && unit !== undefined) {
    const listed = routing.whitelist.get(unit)
    witness?.whitelist(listed)
    if (listed !== undefined) return conclude(scene, asked, witness, listed, 'whitelist')
  }

  if (routing.experiments !== undefined) {
    const owner = ownerOf(routing.experiments, asked, undefined, witness)
    if (owner !== undefined) {
      const bucket = hashed(asked, owner.byRequest).bucket(owner.seed)
      const arm = owner.arms.find(bucket)
      witness?.bucket(routing.experiments, owner, bucket, arm)
      if (arm !== undefined) return conclude(scene, asked, witness, arm.route, 'experiment', bucket, arm)
    }
  }

  if (routing.cutover !== undefined) {
    const bucket = unit === undefined ? undefined : hashedUnit.bucket(routing.cutover.seed)
    witness?.cutover(routing.cutover, bucket)
    if (bucket !== undefined && bucket < routing.cutover.share) {
      return conclude(scene, asked, witness, routing.cutover.route, 'cutover', bucket)
    }
  }

  return conclude(scene, asked, witness, baseline(scene, witness), 'baseline')
}

function conclude(
  scene: Scene,
  asked: Asked,
  witness: Witness | undefined,
  { plan, params }: Route,
  because: Because,
  bucket?: number,
  arm?: CodeArm,
): Decision {
  const { layers, cutover } = scene.routing
  let merged: MergedParams<LayerArm> = params
  for (const layer of layers) merged = throughLayer(layer, asked, plan.version, merged, witness)
  const counted = because === 'experiment' || because === 'cutover' || because === 'baseline'
  const subject = arm !== undefined || merged.arms.length > 0 || (cutover !== undefined && cutover.share > 0 && asked.unit !== undefined)
  return { plan, because, bucket, arm, layers: merged.arms, params: merged.json, exposed: counted && subject }
}

function throughLayer(
  layer: Diversion<LayerArm>,
  asked: Asked,
  version: string,
  params: MergedParams<LayerArm>,
  witness: Witness | undefined,
): MergedParams<LayerArm> {
  const owner = ownerOf(layer, asked, version, witness)
  if (owner === undefined) return params
  const bucket = hashed(asked, owner.byRequest).bucket(owner.seed)
  const arm = owner.arms.find(bucket)
  witness?.bucket(layer, owner, bucket, arm)
  return arm === undefined ? params : params.with(arm)
}

/** The experiment that owns the segment of the request, if it takes the request. Segments are of units, whatever the owner hashes then. */
function ownerOf<A extends AnyArm>(
  diversion: Diversion<A>,
  asked: Asked,
  version: string | undefined,
  witness: Witness | undefined,
): Enrolment<A> | undefined {
  const nothing = asked.unit === undefined && !diversion.takesRequests
  const segment = nothing ? undefined : hashed(asked, false).bucket(diversion.seed)
  const owner = segment === undefined ? undefined : diversion.owners.find(segment)
  witness?.segment(diversion, segment, owner)
  if (owner === undefined) return undefined
  const why = refusal(owner, asked, version)
  if (why === undefined) return owner
  witness?.refused(diversion, owner, why)
  return undefined
}

/** Why an experiment does not take a request whose segment it owns: there is no unit id, it is for other versions, or a condition fails. */
export type Refusal = 'unit' | 'version' | Test

function refusal<A>({ byRequest, versions, tests }: Enrolment<A>, asked: Asked, version: string | undefined): Refusal | undefined {
  if (!byRequest && asked.unit === undefined) return 'unit'
  if (versions !== undefined && (version === undefined || !versions.has(version))) return 'version'
  for (const test of tests) if (!test.holds(asked.attribute(test.attribute))) return test
  return undefined
}

// One decision is made at a time, and what it hashes is gone when it is made. The unit id is hashed for every rule, the request id rarely.
const hashedUnit = new HashedId()
const hashedRequest = new HashedId()

/** `decideBefore` has set the unit id. */
function hashed({ unit, requestId }: Asked, byRequest: boolean): HashedId {
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
  if (route !== undefined) return route
  throw new BerthError('VERSION_NOT_FOUND', `Cannot serve version "${version.slice(0, 64)}" of scene "${id}": no such version online`)
}
