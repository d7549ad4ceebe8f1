/** Messages between the keeper and a validator, a process that answers capsules again. */
import type { Answered, Contender, Freshness } from '../capsule/answered.ts'
import type { Capsule, Entry, RecordingHead } from '../capsule/capsule.ts'
import type { Replayed } from '../capsule/replayed.ts'
import type { TableSource } from '../kernel/table-facts.ts'

/** A recording from its load on, with the capsules of it that are asked for. */
export interface SentRecording {
  readonly head: RecordingHead
  readonly entries: readonly Entry[]
  readonly capsules: readonly Capsule[]
}

/** Without parameters, those that were recorded. */
export type SentContender = Omit<Contender, 'sceneParams' | 'versionParams'> & Partial<Pick<Contender, 'sceneParams' | 'versionParams'>>

/** What is to be answered, of the recordings that were sent before. */
export interface AnswerRequest {
  readonly type: 'answer'
  /** The data folder, absolute: bundles and feature tables are read from it. */
  readonly data: string
  /** Ids, in the order in which they are answered. */
  readonly capsules: readonly string[]
  readonly contenders: readonly SentContender[]
  readonly freshness: Freshness
  readonly measuresHeap: boolean
  /** The answers that need not be given any more, as many of the first as there were. */
  readonly answered: number
  /** The feature tables that were uploaded. */
  readonly tables: readonly TableSource[]
  /** Whether feature tables are asked also for what the recording has a reply to. */
  readonly asksTables: boolean
}

/** Replays all recordings that were sent before. */
export interface ReplayRequest {
  readonly type: 'replay'
  readonly data: string
}

/** Finds the stage from which on the capsule of the recording that was sent is answered otherwise in a fresh slot. */
export interface PartRequest {
  readonly type: 'part'
  readonly data: string
  readonly cpuMs: number
}

export type ToValidator = { readonly type: 'recording'; readonly recording: SentRecording } | AnswerRequest | ReplayRequest | PartRequest

export type FromValidator =
  | { readonly type: 'waiting' }
  /** One answer after the other, in the order of `answeringOrder`. */
  | { readonly type: 'answered'; readonly answered: Answered }
  | { readonly type: 'replayed'; readonly recording: string; readonly replayed: Replayed }
  | { readonly type: 'parted'; readonly stage: string | undefined }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }

/** Which capsule is answered by which contender, one after the other, by their places. Every other capsule has the contenders the other way round. */
export function answeringOrder(capsules: number, contenders: number): { readonly capsule: number; readonly contender: number }[] {
  return Array.from({ length: capsules * contenders }, (_, step) => {
    const [capsule, turn] = [Math.floor(step / contenders), step % contenders]
    return { capsule, contender: capsule % 2 === 0 ? turn : contenders - 1 - turn }
  })
}
