/**
 * Warm-up: a slot that has just been loaded answers requests of capsules before it is routed to, so that V8 has compiled what runs often before the first caller
 * waits for it. Nobody hears of it: nothing is logged or counted, and nothing leaves the cell. A slot that asks for something else than what was recorded is thrown
 * away and loaded anew, since a module may keep for ever what it got, and there is no good answer to give it.
 */
import { type FetchAnswer, Replies, type WarmUpRequest } from '../capsule/warm-up-request.ts'
import { limits } from '../kernel/limits.ts'
import { FEATURES } from '../kernel/options.ts'
import { argumentsOf, valuesOf } from '../slot/entries.ts'
import type { Incoming, Outgoing } from '../slot/fetcher.ts'
import type { OutsideHost } from '../slot/outside.ts'
import type { Slot } from '../slot/slot.ts'
import { pendingOf, type SlotCall } from '../slot/slot-call.ts'
import type { Slots } from '../slot/slots.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { WarmUpJob } from '../wire/messages.ts'

/**
 * How a warm-up has ended. The slot is used when it is `warm`, or when its time was over, when a request `wanted` it, or when there was no room for its requests
 * (`refused`). It is loaded anew when it asked for what was not recorded (`newCall`), when something failed for it (`failedCall`), when a request did not come to its
 * end (`late`), and when the slot was `killed`.
 */
export const warmUpOutcomes = ['warm', 'timeOver', 'wanted', 'refused', 'newCall', 'failedCall', 'late', 'killed'] as const
export type WarmUpOutcome = (typeof warmUpOutcomes)[number]

/** Requests that are under way at the same time, so that the isolate need not wait for this thread. */
const AT_ONCE = 4

const goodOutcomes: ReadonlySet<WarmUpOutcome> = new Set(['warm', 'timeOver', 'wanted', 'refused'])

export interface WarmUpParts {
  readonly slots: Slots
  /** Asks a base service whose answers are those of the day. */
  readonly callService: OutsideHost['callService']
  readonly servicesOf: OutsideHost['servicesOf']
  count(plan: SlotPlan, outcome: WarmUpOutcome): void
}

/**
 * Warms a slot up, and returns when one is in use again. Does nothing when it is not loaded, or has had requests already.
 * @returns false when the slot was thrown away and loaded anew
 * @throws BerthError when the slot was thrown away and cannot be loaded again
 */
export function warmUp(job: WarmUpJob, parts: WarmUpParts): Promise<boolean> {
  return parts.slots.warmUp(job.plan, async (slot, wanted) => {
    const outcome = await new WarmUpRun(slot, job, parts).run(wanted)
    const isGood = goodOutcomes.has(outcome)
    if (isGood) slot.endWarmUp()
    if (!job.once || !isGood) parts.count(job.plan, outcome)
    return isGood
  })
}

class WarmUpRun {
  readonly #slot: Slot
  readonly #job: WarmUpJob
  readonly #parts: WarmUpParts
  /** Of the requests that are under way. */
  readonly #replies = new Map<SlotCall, Replies>()
  /** Why no more requests are begun. */
  #stopped: WarmUpOutcome | undefined
  #grace: NodeJS.Timeout | undefined
  /** Resolves when the slot must not be used. */
  readonly #spoilt = Promise.withResolvers<WarmUpOutcome>()

  constructor(slot: Slot, job: WarmUpJob, parts: WarmUpParts) {
    this.#slot = slot
    this.#job = job
    this.#parts = parts
  }

  async run(wanted: AbortSignal): Promise<WarmUpOutcome> {
    const timer = setTimeout(() => this.#stop('timeOver'), this.#job.msMax)
    wanted.addEventListener('abort', () => this.#stop('wanted'), { once: true })
    this.#slot.beginWarmUp(this.#outside())
    try {
      return await this.#answerAll()
    } finally {
      clearTimeout(timer)
      clearTimeout(this.#grace)
    }
  }

  #stop(why: WarmUpOutcome): void {
    if (this.#stopped !== undefined) return
    this.#stopped = why
    this.#grace = setTimeout(() => this.#spoilt.resolve('late'), limits.capsule.warmUpGraceMs)
  }

  async #answerAll(): Promise<WarmUpOutcome> {
    const queue = this.#queue()
    const answerSome = async (): Promise<WarmUpOutcome | undefined> => {
      for (const request of queue) {
        const outcome = this.#stopped ?? (await Promise.race([this.#answer(request), this.#spoilt.promise]))
        if (outcome !== undefined) return outcome
      }
      return undefined
    }
    const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, answerSome))
    return (
      outcomes.find(outcome => outcome !== undefined && !goodOutcomes.has(outcome)) ??
      outcomes.find(outcome => outcome !== undefined) ??
      'warm'
    )
  }

  *#queue(): Generator<WarmUpRequest> {
    const { requests, once } = this.#job
    const rounds = once ? 1 : Math.ceil(limits.capsule.warmUpAnswersMax / requests.length)
    for (let round = 0; round < rounds; round++) yield* requests
  }

  /** Resolves with why the warm-up is over, if it is. What the module makes of the request does not matter. */
  async #answer(request: WarmUpRequest): Promise<WarmUpOutcome | undefined> {
    const call = this.#callOf(request)
    const answered = Promise.withResolvers<void>()
    const done = () => answered.resolve()
    this.#replies.set(call, new Replies(request.replies))
    try {
      this.#slot.begin(pendingOf(call, { resolve: done, reject: done }))
      await answered.promise
    } catch {
      return 'refused'
    } finally {
      this.#replies.delete(call)
    }
    return this.#slot.hasEnded ? 'killed' : undefined
  }

  #callOf({ requestId, body, unit, bucket, params, deadlineMs }: WarmUpRequest): SlotCall {
    const deadlineAt = performance.now() + deadlineMs
    const { cpuMs, plan } = this.#job
    return { requestId, body, unit, bucket, params, deadlineAt, deadlineMs, cpuMs, chain: [plan.scene], isWarmUp: true }
  }

  #outside(): OutsideHost {
    const { servicesOf, callService } = this.#parts
    return {
      servicesOf,
      callScene: (scene, input, caller) => this.#reply(this.#replies.get(caller)?.toCall('', scene, input)),
      callService: (service, method, args, caller) => {
        if (service !== FEATURES) return this.#reply(this.#replies.get(caller)?.toCall(service, method, args))
        return callService(service, method, args, caller).catch(() => this.#spoil('failedCall'))
      },
      fetch: (_, request) => this.#reply(this.#fetched(request)),
    }
  }

  /** Which request fetches is not always known. */
  #fetched({ method, head, body }: Outgoing): Incoming | undefined {
    const [sent] = valuesOf([body]) as [string | undefined]
    for (const replies of this.#replies.values()) {
      const answer = replies.toFetch(method, head, sent)
      if (answer !== undefined) return incoming(answer)
    }
    return undefined
  }

  #reply<T>(recorded: T | undefined): Promise<T> {
    return recorded === undefined ? this.#spoil('newCall') : Promise.resolve(recorded)
  }

  /** @returns a promise that stays as it is: the slot goes before anybody could wait for it in vain */
  #spoil(why: WarmUpOutcome): Promise<never> {
    this.#spoilt.resolve(why)
    return new Promise(() => undefined)
  }
}

function incoming(answer: FetchAnswer): Incoming {
  const [head, body] = argumentsOf(answer) as [string, string | ArrayBuffer]
  return { head, body }
}
