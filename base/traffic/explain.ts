/** Explains a decision: every rule that was asked, in order, with its answer in words. */
import { type AnyArm, type Because, type DecisionInput, decideWithWitness, type Refusal, type Rule, type Witness } from './decide.ts'
import { HashedId, seedOf } from './hash.ts'
import { type Range, showRanges, showShare } from './ranges.ts'
import type { CompiledCutover, LayerArm, Route, RunningExperiment, SegmentSpace } from './routing.ts'
import type { Scene } from './scene.ts'
import type { CompiledCondition } from './targeting.ts'

/** How an id got its bucket: `murmur3(id, seed = murmur3(salt, 0)) % 10000`. */
export interface Draw {
  readonly of: 'unit' | 'request'
  readonly salt: string
  readonly hash: number
  readonly bucket: number
  /** The buckets that the rule takes; ranges are half-open. */
  readonly ranges: readonly Range[]
}

export interface Step {
  readonly rule: Rule | 'layer'
  /** Id of the experiment that was asked. */
  readonly name?: string
  /** Id of the layer that the experiment is in. */
  readonly layer?: string
  /** Whether this rule chose the version; for a layer, whether it set parameters. */
  readonly decided: boolean
  /** The answer of the rule in words. */
  readonly said: string
  /** The arm that the request is in. */
  readonly arm?: string
  readonly draws: readonly Draw[]
}

/** A decision as JSON, with the steps that led to it. */
export interface Explanation {
  readonly version: string
  readonly because: Because
  readonly bucket: number | null
  readonly experiment: { readonly id: string; readonly phase: number; readonly arm: string } | null
  readonly layers: readonly Omit<LayerArm, 'values'>[]
  readonly params: unknown
  readonly exposed: boolean
  /** The rules in the order in which they were asked; rules after the one that chose the version were not asked. */
  readonly steps: readonly Step[]
}

/**
 * Decides as `decide` does, and explains the decision.
 * @throws the errors of `decide`
 */
export function explain(scene: Scene, input: DecisionInput): Explanation {
  const describer = new Describer(input)
  const { plan, because, bucket, arm, layers, params, exposed } = decideWithWitness(scene, input, describer)
  return {
    version: plan.version,
    because,
    bucket: bucket ?? null,
    experiment: arm === undefined ? null : { id: arm.experiment, phase: arm.phase, arm: arm.arm },
    layers: layers.map(({ values: _, ...rest }) => rest),
    params: JSON.parse(params) as unknown,
    exposed,
    steps: describer.steps,
  }
}

class Describer implements Witness {
  readonly steps: Step[] = []
  readonly #input: DecisionInput
  /** How the request got its segment. It is kept until the experiment that owns the segment has answered. */
  #segment: Draw | undefined

  constructor(input: DecisionInput) {
    this.#input = input
  }

  pin(version: string, route: Route | undefined): void {
    this.#add('pin', route !== undefined, `the request asks for ${version}`)
  }

  loadtest(marked: boolean, route: Route | undefined): void {
    // There is nothing to describe when the scene has no version for load tests and the request is not marked as one.
    if (route === undefined && !marked) return
    const answers = route === undefined ? 'there is no version for load tests, so the baseline answers' : answer(route)
    this.#add('loadtest', marked, marked ? `marked as a load test: ${answers}` : 'not marked as a load test')
  }

  whitelist(route: Route | undefined): void {
    this.#add('whitelist', route !== undefined, route === undefined ? 'the unit is not on it' : `the unit is on it: ${answer(route)}`)
  }

  segment(space: SegmentSpace<AnyArm>, segment: number | undefined, owner: RunningExperiment<AnyArm> | undefined): void {
    const draw = segment === undefined ? undefined : this.#draw(space.salt, segment, owner?.segments ?? [], this.#input.unit === undefined)
    this.#segment = draw
    for (const other of space.owners.owners()) {
      if (other === owner) continue
      const said = segment === undefined ? 'the request has no unit id' : `segment ${segment} is not in ${showRanges(other.segments)}`
      this.#addFor(space, other, false, said, draw === undefined ? [] : [{ ...draw, ranges: other.segments }])
    }
  }

  refused(space: SegmentSpace<AnyArm>, owner: RunningExperiment<AnyArm>, why: Refusal): void {
    this.#addFor(space, owner, false, this.#words(why, owner), this.#segments())
  }

  bucket(space: SegmentSpace<AnyArm>, owner: RunningExperiment<AnyArm>, bucket: number, arm: AnyArm | undefined): void {
    const taken = arm === undefined ? [...owner.ranges.values()].flat() : (owner.ranges.get(arm.arm) ?? [])
    const draw = this.#draw(owner.salt, bucket, taken, owner.byRequest)
    const segments = this.#segments()
    const around = arm !== undefined && 'route' in arm && arm.route.quarantine !== undefined ? `: ${answer(arm.route)}` : ''
    const said =
      arm === undefined ? `bucket ${bucket} is in no arm` : `bucket ${bucket} is in arm "${arm.arm}" (${showRanges(taken)})${around}`
    this.#addFor(space, owner, arm !== undefined, said, [...segments, draw], arm)
  }

  cutover({ route, share, salt }: CompiledCutover, bucket: number | undefined): void {
    if (bucket === undefined) {
      this.#add('cutover', false, 'the request has no unit id')
      return
    }
    const taken = bucket < share
    const said = `bucket ${bucket} is ${taken ? 'below' : 'not below'} ${share} (${showShare(share)})${taken ? `: ${answer(route)}` : ''}`
    this.#add('cutover', taken, said, [this.#draw(salt, bucket, [[0, share]], false)])
  }

  baseline(route: Route | undefined): void {
    this.#add('baseline', route !== undefined, route === undefined ? 'there is none' : answer(route))
  }

  #add(rule: Rule, decided: boolean, said: string, draws: readonly Draw[] = []): void {
    this.steps.push({ rule, decided, said, draws })
  }

  #addFor(
    { layer }: SegmentSpace<AnyArm>,
    { experiment }: RunningExperiment<AnyArm>,
    decided: boolean,
    said: string,
    draws: readonly Draw[],
    arm?: AnyArm,
  ): void {
    const of = layer === undefined ? { rule: 'experiment' as const } : { rule: 'layer' as const, layer }
    this.steps.push({ ...of, name: experiment, decided, said, ...(arm && { arm: arm.arm }), draws })
  }

  #segments(): Draw[] {
    return this.#segment === undefined ? [] : [this.#segment]
  }

  #draw(salt: string, bucket: number, ranges: readonly Range[], byRequest: boolean): Draw {
    const { unit, requestId } = this.#input
    const ofRequest = byRequest || unit === undefined
    const id = new HashedId()
    id.set(ofRequest ? requestId : unit)
    return { of: ofRequest ? 'request' : 'unit', salt, hash: id.hash(seedOf(salt)), bucket, ranges }
  }

  #words(why: Refusal, { versions }: RunningExperiment<AnyArm>): string {
    if (why === 'unit') return 'the request has no unit id'
    if (why === 'version') return `it is only for ${[...(versions ?? [])].join(', ')}`
    return `${showCondition(why)} does not hold: ${this.#found(why)}`
  }

  #found({ attribute }: CompiledCondition): string {
    const value = this.#input.attribute(attribute)
    return value === undefined ? `the request has no ${attribute.name}` : `${attribute.name} is ${JSON.stringify(value)}`
  }
}

const answer = ({ plan, quarantine }: Route): string =>
  quarantine === undefined ? `${plan.version} answers` : `${quarantine.version} is in quarantine, so ${plan.version} answers in its place`

/** `country in ["CN","SG"]`. */
const showCondition = ({ condition: { attribute, op, value } }: CompiledCondition): string => `${attribute} ${op} ${JSON.stringify(value)}`
