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
  /** Milliseconds of CPU it may use in one go before its slot is killed. */
  readonly cpuMs: number
  /** JSON of the parameters. */
  readonly params: string
  /** What decided on the version had this bucket for it. */
  readonly bucket?: number | undefined
  /** Ids of the scenes under way in this chain of `ctx.call`, this one included, outermost first. */
  readonly chain: readonly string[]
  /** The trace of the caller, for what is asked of others on its behalf. */
  readonly trace?: Trace | undefined
  /** Marked as a load test: then so is what it asks other scenes. */
  readonly loadtest?: boolean | undefined
}

export interface SlotAnswer {
  readonly json: string
  /** Names of the stages that had no part in it, with commas between them. */
  readonly degraded: string | undefined
  /** Whole milliseconds each stage took, with commas between them; undefined when all took less than one. */
  readonly tookMs: string | undefined
  /** Milliseconds until it was sent into the isolate, from the call or, for who had to wait for the slot, from then on. */
  readonly queueMs: number
}

/** A request on its way through a slot, and through a second one when the first dies under it without its fault. */
export interface Pending {
  readonly call: SlotCall
  readonly resolve: (answer: SlotAnswer) => void
  readonly reject: (error: BerthError) => void
  /** In the slot it is in now; 0 while it waits for a turn. */
  no: number
  /** When it was asked for, and since when it is in a turn; `performance.now()`. */
  readonly calledAt: number
  sentAt: number
  /** Answered, or given up. */
  done: boolean
  /** It has had an effect outside the slot, so it must not run again. */
  calledOut: boolean
  /** It was in a slot that was killed, and may be why: it runs with nothing beside it. */
  alone: boolean
}
