/** What comes of it when a capsule is answered again, by the version that has answered it or by another. */
import type { Params } from '../traffic/schema.ts'
import type { SlotPlan } from '../traffic/table.ts'
import type { CapturedAnswer } from './capsule.ts'

/** Something that was asked of the outside and for which the capsule has no reply. */
export interface NewCall {
  readonly kind: 'call' | 'service' | 'fetch'
  /** The scene of a `call`; service and method with a dot between them; the host of a `fetch`. */
  readonly target: string
  readonly module?: string | undefined
}

export interface Answered {
  /** The id of the capsule. */
  readonly capsule: string
  readonly answer: CapturedAnswer
  /** Empty when the answer is comparable with the one of the capsule. */
  readonly newCalls: readonly NewCall[]
  /** The hosts that it asked, those too for which the capsule has a reply. */
  readonly hosts: readonly string[]
  /** Milliseconds: of CPU, from the turn to the answer on a clock that is not virtual, and of each stage. */
  readonly cpuMs: number
  readonly tookMs: number
  /** Milliseconds of virtual time from the turn to the answer, which are those of replies and timers that it waited for. */
  readonly waitedMs: number
  readonly stageMs: readonly number[]
  /** Bytes that the heap of the slot holds once all garbage is collected; only after some of the answers of a shared slot, when that was asked for. */
  readonly heapBytes?: number | undefined
  /** Whether the slot was killed over it. */
  readonly killed: boolean
  readonly logs: readonly { readonly level: string; readonly message: string; readonly module?: string | undefined }[]
}

/** How capsules are answered. A `fresh` slot has answered nothing before; a shared one answers one capsule after the other. */
export type Freshness = 'fresh' | 'shared'

/**
 * Where chance and clocks come from. With `other`, and in another way with `another`, `Math.random` and `crypto` are seeded otherwise than when the capsule
 * was recorded, and clocks run on from a moment that is not its own: answers of one version that differ then show its noise.
 */
export type Chance = 'recorded' | 'other' | 'another'

/** One way to answer capsules. */
export interface Contender {
  readonly plan: SlotPlan
  readonly sceneParams: Params
  readonly versionParams: Params
  /** Milliseconds of CPU that a request may use in one go. */
  readonly cpuMs: number
  readonly chance: Chance
}

export interface AnsweringJob {
  readonly scene: string
  /** Ids of capsules. */
  readonly capsules: readonly string[]
  readonly contenders: readonly Contender[]
  readonly freshness: Freshness
  readonly measuresHeap: boolean
}

export interface Answering {
  /**
   * Answers each capsule with each contender, all in one process. The order of the contenders is turned round with every capsule, so that none always comes
   * first.
   * @param take is called for one capsule after the other, with an answer of each contender in their order; capsules that are gone are left out
   * @param signal ends the process when it aborts; then the promise resolves
   * An answer over which the process ended by itself is one that was killed, and the others go on in another process.
   * @throws when that goes on and on, or when no process can be had; what was taken until then holds
   */
  answer(job: AnsweringJob, take: (answers: readonly Answered[]) => void, signal: AbortSignal): Promise<void>
}
