/** A request on its way through a slot. */
import type { BerthError } from '../kernel/errors.ts'
import type { Trace } from '../kernel/headers.ts'

/** One request as a slot sees it. */
export interface SlotCall {
  readonly requestId: string
  /** The caller's JSON, not parsed. */
  readonly body: string
  readonly unit: string | undefined
  /** Monotonic, `performance.now()`. */
  readonly deadlineAt: number
  /** Milliseconds of CPU that the request may use in one go before its slot is killed. */
  readonly cpuMs: number
  /** Milliseconds in which the scene wants its requests answered, to say what `cpuMs` is a part of. */
  readonly deadlineMs?: number
  /** JSON of the parameters. */
  readonly params: string
  /** The bucket that the request had in the experiment or the cutover that decided on the version. */
  readonly bucket?: number | undefined
  /** Ids of the scenes under way in this chain of `ctx.call`, this one included, outermost first. */
  readonly chain: readonly string[]
  /** The trace of the caller. It goes along with everything that is asked of others for this request. */
  readonly trace?: Trace | undefined
  /** Whether the request came with a token that has the right `call`. If so, its requests to other scenes have it too. */
  readonly mayCall?: boolean | undefined
  /** Whether the request is marked as a load test. If so, its requests to other scenes are load tests too. */
  readonly loadtest?: boolean | undefined
  /** Whether it has been answered before, and runs again for its capsule only. It must have no effect outside. */
  readonly isRerun?: boolean | undefined
  /** Whether nobody gets the answer, because the request only warms up its slot. */
  readonly isWarmUp?: boolean | undefined
}

export interface SlotAnswer {
  readonly json: string
  /** Names of the stages that failed and were skipped or stood in for, with commas between them. */
  readonly degraded: string | undefined
  /** Whole milliseconds that each stage took, with commas between them; undefined when all took less than one. */
  readonly tookMs: string | undefined
  /**
   * Milliseconds until the request was sent into the isolate, from the call, or from the beginning of the wait for the slot if it had to be
   * loaded.
   */
  readonly queueMs: number
}

/** A request on its way through a slot. When that slot is killed and another request may be the cause, it goes on through a second slot. */
export interface Pending {
  readonly call: SlotCall
  resolve(answer: SlotAnswer): void
  reject(error: BerthError): void
  /** The number of the request in the slot that it is in now; 0 while it waits for a turn. */
  no: number
  /** When the slot was called, and since when it is in a turn; by `performance.now()`. */
  calledAt: number
  sentAt: number
  /** Whether the request has been answered. */
  done: boolean
  /** Whether the request has had an effect outside the slot. If so, it must not run again. */
  calledOut: boolean
  /** Whether it has called a base service other than that of the feature tables, which only reads. What such a service does is not known. */
  calledService: boolean
  /** Whether the request was in a slot that was killed and may be the cause. If so, it runs with no other request beside it. */
  alone: boolean
}

/** A request at its beginning. */
export const pendingOf = (call: SlotCall, { resolve, reject }: Pick<Pending, 'resolve' | 'reject'>, alone = false): Pending => ({
  call,
  resolve,
  reject,
  no: 0,
  calledAt: 0,
  sentAt: 0,
  done: false,
  calledOut: false,
  calledService: false,
  alone,
})
