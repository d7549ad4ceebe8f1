/**
 * What a capsule is: one real request with everything that reached the module from outside, so that any version can answer it again. Capsules are parts of
 * recordings: what a slot remembers is part of an answer, so a recording has everything that entered one slot, from its load on.
 */
import type { Lock, Params, SceneSchemas } from '../traffic/schema.ts'

export const CAPSULE_FORMAT = 1

/** Where a recording was made. Elsewhere the same entries may give other bytes. */
export interface Origin {
  /** `process.versions.v8`. */
  readonly v8: string
  /** Such as `linux-x64`. */
  readonly platform: string
  /** IANA name of the time zone, and the locale, of the process. */
  readonly zone: string
  readonly locale: string
  /** sha256 of the code of the base that runs inside isolates, hex. */
  readonly inside: string
}

/** What does not change about a recording. */
export interface RecordingHead {
  readonly format: typeof CAPSULE_FORMAT
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly scene: string
  readonly version: string
  /** ISO 8601, when its slot was loaded. */
  readonly startedAt: string
  /** The same by the monotonic clock of the cell, in milliseconds: what `atMs` counts from, on the axis of the readings. */
  readonly startedAtMs: number
  readonly memoryMB: number
  readonly lock: Lock
  readonly schemas?: SceneSchemas | undefined
  /** The base services that the slot was offered, each with its methods. */
  readonly services: Readonly<Record<string, readonly string[]>>
  /** 64 hexadecimal digits, from which `Math.random` and `crypto` were seeded. */
  readonly seed: string
  readonly origin: Origin
}

/** What entered the slot: which function of the code inside was called, see `Inside` in base/inside/protocol.ts. */
export type EntryKind = 'load' | 'turn' | 'settleCalls' | 'settleFetch' | 'fireTimer' | 'abandon' | 'reportOf'

export interface Entry {
  readonly kind: EntryKind
  /** Milliseconds since the load began, by the monotonic clock of the cell. */
  readonly atMs: number
  /** The arguments. Bytes are in base64 with `base64:` before them, and a text that begins like that has `text:` before it. None for the load, whose arguments are in the head. */
  readonly values: readonly unknown[]
  /** What the clocks inside said while it ran, in order: milliseconds of the monotonic clock of the cell. The load has those of the isolate's set-up too. */
  readonly readings: readonly number[]
  /** What to add to a reading to get the wall clock, in milliseconds. It stays the same while the entry runs. */
  readonly wallMinusMonotonic: number
  /** Of a turn: the `SEED_WORDS` words of 32 bits from which chance was seeded anew before it. */
  readonly seed?: readonly number[] | undefined
  /** What it asked of the outside meanwhile: the posts of the kinds `calls`, `fetch`, `unfetch` and `timer`, in full. */
  readonly asked: readonly (readonly unknown[])[]
  /** sha256 of everything that it posted and returned, without the times of stages, hex. Empty where the slot was killed meanwhile, or something was redacted. */
  readonly said: string
}

export const captureReasons = ['sampled', 'asked', 'failed'] as const
/** Why a request was captured: by chance; because a pinned request asked for it; because it failed elsewhere, and was run again for this. */
export type CaptureReason = (typeof captureReasons)[number]

/** Why a capsule may give other bytes when it is replayed, though nothing was changed. */
export type Inexactness =
  | 'redacted'
  | 'weak references'
  | 'stack overflow'
  | 'too many readings'
  | 'killed'
  | 'another V8'
  | 'another platform'
  | 'another time zone or locale'
  | 'another release'

/** An arm of a business experiment, as it was in force for the request. */
export interface CapturedArm {
  readonly layer: string
  readonly experiment: string
  readonly arm: string
  readonly values: Params
}

export type CapturedAnswer =
  | { readonly json: string; readonly degraded?: string | undefined }
  | {
      readonly failure: {
        readonly code: string
        readonly message: string
        readonly stage?: string | undefined
        readonly module?: string | undefined
      }
    }

/** A request of a recording. Its body, params and replies are in the entries. */
export interface Capsule {
  readonly format: typeof CAPSULE_FORMAT
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly recording: string
  /** Its number in the slot, and the places of its first and last entry in the recording. Entries between them may be of what others left behind. */
  readonly no: number
  readonly entries: readonly [first: number, last: number]
  /** ISO 8601, when it was answered. */
  readonly at: string
  readonly requestId: string
  readonly scene: string
  readonly version: string
  readonly why: CaptureReason
  readonly unit?: string | undefined
  readonly bucket?: number | undefined
  /** Why the version was chosen; see `Decision`. */
  readonly because: string
  /** The parameters are worked out again from those of the scene and the version, overridden by these in order. */
  readonly arms: readonly CapturedArm[]
  readonly deadlineMs: number
  readonly answer: CapturedAnswer
  /** Milliseconds: from the call to the answer, of CPU, and of each stage. */
  readonly tookMs: number
  readonly cpuMs: number
  readonly stageMs: readonly number[]
  readonly logs: readonly {
    readonly level: string
    readonly message: string
    readonly module?: string | undefined
    readonly fields?: string | undefined
  }[]
  readonly inexact: readonly Inexactness[]
  /** JSON pointers of what was taken out. */
  readonly redacted: readonly string[]
}

/** A recording up to the last entry of the capsule, with the capsule. */
export type KeptCapsule = Pick<ExportedCapsule, 'head' | 'entries' | 'capsule'>

/** A recording up to the last entry of the capsule, with the capsule, and with what is needed to replay it elsewhere. What `sdk capsule export` writes. */
export interface ExportedCapsule {
  readonly format: typeof CAPSULE_FORMAT
  readonly head: RecordingHead
  readonly entries: readonly Entry[]
  readonly capsule: Capsule
  /** Texts of bundles and source maps, by digest. */
  readonly blobs: Readonly<Record<string, string>>
}

/** What a cell sends to the keeper when a recorder has answered: what the recording has got since the last time, and the capsule. */
export interface Captured {
  /** With the first capsule of a recording. */
  readonly head?: RecordingHead | undefined
  readonly recording: string
  /** The place of the first of `entries` in the recording. */
  readonly from: number
  readonly entries: readonly Entry[]
  readonly capsule: Capsule
}
