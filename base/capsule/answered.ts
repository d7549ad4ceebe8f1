/** What comes of it when a capsule is answered again, by the version that has answered it or by another. */
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
  /** Milliseconds: of CPU, from the turn to the answer on a clock that is not virtual, and of each stage. */
  readonly cpuMs: number
  readonly tookMs: number
  readonly stageMs: readonly number[]
  /** Bytes that the heap of the slot holds after the answer; undefined when that was not asked for. */
  readonly heapBytes?: number | undefined
  /** Whether the slot was killed over it. */
  readonly killed: boolean
  readonly logs: readonly { readonly level: string; readonly message: string; readonly module?: string | undefined }[]
}

/** How capsules are answered. A `fresh` slot has answered nothing before; a shared one answers one capsule after the other. */
export type Freshness = 'fresh' | 'shared'
