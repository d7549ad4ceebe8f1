/** Why a request is answered as it is: every rule that was asked, in order, and what it said. */
import { type AnyArm, type Asked, type Because, decideBefore, type Refusal, type Witness } from './decide.ts'
import { HashedId, seedOf } from './hash.ts'
import { type Range, showRanges, showShare } from './ranges.ts'
import type { CompiledCutover, Diversion, Enrolment, LayerArm, Route } from './routing.ts'
import type { Scene } from './scene.ts'
import type { Test } from './targeting.ts'

/** How an id came to its bucket: `murmur3(id, seed = murmur3(salt, 0)) % 10000`. */
export interface Draw {
  readonly of: 'unit' | 'request'
  readonly salt: string
  readonly hash: number
  readonly bucket: number
  /** What the rule takes, half-open. */
  readonly ranges: readonly Range[]
}

export interface Step {
  readonly rule: Because | 'layer'
  /** The experiment that was asked; of a layer nobody was in, the layer. */
  readonly name?: string
  readonly layer?: string
  /** Whether it chose the version, or of a layer: whether it set parameters. */
  readonly decided: boolean
  /** In words. */
  readonly said: string
  /** The arm that the request is in. */
  readonly arm?: string
  readonly draws: readonly Draw[]
}

/** A decision that can be sent, and how it came about. */
export interface Explanation {
  readonly version: string
  readonly because: Because
  readonly bucket: number | null
  readonly experiment: { readonly id: string; readonly phase: number; readonly arm: string } | null
  readonly layers: readonly Omit<LayerArm, 'values'>[]
  readonly params: unknown
  readonly exposed: boolean
  /** In the order they were asked; rules after the one that decided were not. */
  readonly steps: readonly Step[]
}

/**
 * Decides as `decide` does, and says why.
 * @throws as `decide`
 */
export function explain(scene: Scene, asked: Asked): Explanation {
  const teller = new Teller(asked)
  const { plan, because, bucket, arm, layers, params, exposed } = decideBefore(scene, asked, teller)
  return {
    version: plan.version,
    because,
    bucket: bucket ?? null,
    experiment: arm === undefined ? null : { id: arm.experiment, phase: arm.phase, arm: arm.arm },
    layers: layers.map(({ values: _, ...rest }) => rest),
    params: JSON.parse(params) as unknown,
    exposed,
    steps: teller.steps,
  }
}

class Teller implements Witness {
  readonly steps: Step[] = []
  readonly #asked: Asked
  /** How the request came to its segment, until it is known what the owner of the segment says. */
  #segment: Draw | undefined

  constructor(asked: Asked) {
    this.#asked = asked
  }

  pin(version: string, route: Route | undefined): void {
    this.#add('pin', route !== undefined, `the request asks for ${version}`)
  }

  loadtest(marked: boolean, route: Route | undefined): void {
    // A rule that the scene has not, and nobody asked for, is nothing to tell.
    if (route === undefined && !marked) return
    const answers = route === undefined ? 'there is no version for load tests, so the baseline answers' : answer(route)
    this.#add('loadtest', marked, marked ? `marked as a load test: ${answers}` : 'not marked as a load test')
  }

  whitelist(route: Route | undefined): void {
    this.#add('whitelist', route !== undefined, route === undefined ? 'the unit is not on it' : `the unit is on it: ${answer(route)}`)
  }

  segment(diversion: Diversion<AnyArm>, segment: number | undefined, owner: Enrolment<AnyArm> | undefined): void {
    const draw =
      segment === undefined ? undefined : this.#draw(diversion.salt, segment, owner?.segments ?? [], this.#asked.unit === undefined)
    this.#segment = draw
    for (const other of diversion.owners.owners()) {
      if (other === owner) continue
      const said = segment === undefined ? 'the request has no unit id' : `segment ${segment} is not in ${showRanges(other.segments)}`
      this.#addFor(diversion, other, false, said, draw === undefined ? [] : [{ ...draw, ranges: other.segments }])
    }
  }

  refused(diversion: Diversion<AnyArm>, owner: Enrolment<AnyArm>, why: Refusal): void {
    this.#addFor(diversion, owner, false, this.#words(why, owner), this.#segments())
  }

  bucket(diversion: Diversion<AnyArm>, owner: Enrolment<AnyArm>, bucket: number, arm: AnyArm | undefined): void {
    const taken = arm === undefined ? [...owner.ranges.values()].flat() : (owner.ranges.get(arm.arm) ?? [])
    const draw = this.#draw(owner.salt, bucket, taken, owner.byRequest)
    const segments = this.#segments()
    const said = arm === undefined ? `bucket ${bucket} is in no arm` : `bucket ${bucket} is in arm "${arm.arm}" (${showRanges(taken)})`
    this.#addFor(diversion, owner, arm !== undefined, said, [...segments, draw], arm)
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

  #add(rule: Because, decided: boolean, said: string, draws: readonly Draw[] = []): void {
    this.steps.push({ rule, decided, said, draws })
  }

  #addFor(
    { layer }: Diversion<AnyArm>,
    { experiment }: Enrolment<AnyArm>,
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
    const { unit, requestId } = this.#asked
    const ofRequest = byRequest || unit === undefined
    const id = new HashedId()
    id.set(ofRequest ? requestId : unit)
    return { of: ofRequest ? 'request' : 'unit', salt, hash: id.hash(seedOf(salt)), bucket, ranges }
  }

  #words(why: Refusal, { versions }: Enrolment<AnyArm>): string {
    if (why === 'unit') return 'the request has no unit id'
    if (why === 'version') return `it is only for ${[...(versions ?? [])].join(', ')}`
    return `${showCondition(why)} does not hold: ${this.#found(why)}`
  }

  #found({ attribute }: Test): string {
    const value = this.#asked.attribute(attribute)
    return value === undefined ? `the request has no ${attribute.name}` : `${attribute.name} is ${JSON.stringify(value)}`
  }
}

const answer = ({ plan }: Route): string => `${plan.version} answers`

/** `country in ["CN","SG"]`. */
const showCondition = ({ condition: { attribute, op, value } }: Test): string => `${attribute} ${op} ${JSON.stringify(value)}`
