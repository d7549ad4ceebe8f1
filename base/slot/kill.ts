/** How and why a slot is killed, and what its requests are told. */
import { BerthError } from '../kernel/errors.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { Sight } from './lookout.ts'
import type { Pending } from './slot-call.ts'
import { stepsOf } from './specialise.ts'

/** A caller is to blame when the slot could not parse the body of a request, or could not check it against the schema of the scene. */
export type KillBlame = 'module' | 'caller'

/** How and why a slot was killed. */
export interface Kill {
  readonly reason: string
  readonly blame: KillBlame
  readonly isForMemory: boolean
  readonly where: Whereabouts
  /** Where exactly its code was; undefined when none ran or the slot had no lookout. Settles within `limits.slot.lookMsMax`. */
  readonly sight: Promise<Sight> | undefined
}

/** Where in a version code runs. Either is missing when it is not known. */
export interface Whereabouts {
  readonly stage?: string | undefined
  /** `name@version`. */
  readonly module?: string | undefined
}

/** The requests that may be the cause of a kill. */
export interface Suspects {
  /** The one whose body is being parsed, if it is a large one. */
  readonly reading: Pending | undefined
  /** The one whose body is being checked against the schema of the scene. */
  readonly checking: Pending | undefined
  /** The one that the slot is at. */
  readonly running: Pending | undefined
  /** The number of the request that was started last. */
  readonly started: number
}

/**
 * Answers the requests of a killed slot that must not run again: the one that it was at, and those that had begun and have had an effect outside, or that
 * were suspects before.
 * @returns the others, which run again. Each that had begun does so alone, since it may be the cause
 */
export function survivorsOf(kill: Kill, plan: SlotPlan, requests: readonly Pending[], suspects: Suspects): Pending[] {
  const survivors: Pending[] = []
  for (const pending of requests) {
    if (pending.done) continue
    const begun = pending.no > 0 && pending.no <= suspects.started
    if (pending === suspects.running || (begun && (pending.alone || pending.calledOut))) {
      pending.done = true
      pending.reject(errorOf(pending, kill, plan, suspects))
    } else survivors.push(Object.assign(pending, { no: 0, alone: begun || pending.alone }))
  }
  return survivors
}

function errorOf(pending: Pending, kill: Kill, plan: SlotPlan, { reading, checking }: Suspects): BerthError {
  if (pending === reading) return bodyTooLarge(plan, pending.call.body.length)
  return pending === checking ? uncheckable(plan, kill.reason) : new SlotKilled(plan, kill)
}

/** Why a slot is killed that has filled its memory. */
export const overMemory = ({ memoryMB }: SlotPlan): string => `over its memory limit of ${memoryMB} MB`

/** The error of a request whose slot was killed. */
export class SlotKilled extends BerthError {
  readonly where: Whereabouts
  /** Where exactly its code was; see `Kill`. */
  readonly sight: Promise<Sight> | undefined

  constructor({ scene, version }: SlotPlan, { reason, where, sight }: Pick<Kill, 'reason' | 'where' | 'sight'>) {
    const message = `The slot of scene "${scene}" version "${version}" was killed: ${reason}${inWords(where)}`
    super('MODULE_KILLED', message, { retryAfterSeconds: 1, extra: { ...where } })
    this.where = where
    this.sight = sight
  }
}

/** The error of a request whose body took too long to be checked. */
function uncheckable({ scene }: SlotPlan, reason: string): BerthError {
  const message = `Cannot check the body against the schema of scene "${scene}": ${reason}`
  const advice = 'Send a smaller body, or have whoever owns the scene mend what takes so long in "schemas.request", such as a pattern.'
  return new BerthError('REQUEST_INVALID', message, { advice })
}

export function bodyTooLarge({ scene }: SlotPlan, chars: number): BerthError {
  return new BerthError('BODY_TOO_LARGE', `Cannot read the body: its ${chars} characters are more than a slot of scene "${scene}" can take`)
}

/** The module that a look has seen running, with its stage when it has only one; what is known otherwise, when the stack shows no module. */
export function seenAt(plan: SlotPlan, stack: string, otherwise: Whereabouts): Whereabouts {
  const steps = stepsOf(plan)
  const seen = /berth:\/\/\/([^/\s]+@[^/\s]+)\.js:/.exec(stack)?.[1]
  if (seen === undefined || seen === otherwise.module) return otherwise
  const stages = new Set(steps.flatMap(({ stage, module }) => (module === seen ? [stage] : [])))
  const [stage] = stages
  return { module: seen, ...(stages.size === 1 && { stage }) }
}

/** For example `, in stage "rank" of module "ctr@1.2.0"`. */
export const inWords = ({ stage, module }: Whereabouts): string =>
  module === undefined ? '' : `, in ${stage === undefined ? '' : `stage "${stage}" of `}module "${module}"`
