/** Every message between the tests of a module and the process that rehearses it in a slot, over IPC. */
import type { ErrorCode } from '../kernel/errors.ts'
import type { SceneSchemas } from '../traffic/schema.ts'

/** A module to rehearse, and what is faked about the slot around it. */
export interface RehearsalPlan {
  readonly name: string
  readonly version: string
  readonly stages: readonly string[]
  /** Text of the bundle and of its source map. */
  readonly bundle: string
  readonly sourceMap: string
  /** What `ctx.scene` and `ctx.version` say. */
  readonly scene: string
  readonly sceneVersion: string
  /** Names of the faked base services, each with its methods. */
  readonly services: Readonly<Record<string, readonly string[]>>
  readonly memoryMB: number
  /** Milliseconds since the epoch at which the clock of the slot stands still; undefined for that of the machine. */
  readonly now: number | undefined
  /** Seed of the random numbers in the slot, a 32-bit whole number; undefined for true randomness. */
  readonly seed: number | undefined
  /** What the request has to fit that the first stage gets, or that is given beside the input of another; and the answer of the last stage. */
  readonly schemas: SceneSchemas
  /** Whether to count what code of the module runs. */
  readonly coverage: boolean
}

export interface RehearsalRun {
  readonly requestId: string
  readonly stage: string
  /** JSON of the caller's input, which is also that of the stage unless `input` is another. */
  readonly body: string
  readonly input: string | undefined
  readonly unit: string | undefined
  /** JSON. */
  readonly params: string
  readonly deadlineMs: number
  readonly cpuMs: number
  /** The scene that sets the limit of CPU; undefined when the test does, or nobody. */
  readonly cpuScene: string | undefined
}

export type ToRehearsal =
  | { readonly type: 'open'; readonly plan: RehearsalPlan }
  | ({ readonly type: 'run'; readonly no: number } & RehearsalRun)
  /** The answer of a fake, as JSON. */
  | { readonly type: 'answer'; readonly call: number; readonly json: string }
  | {
      readonly type: 'refuse'
      readonly call: number
      readonly code: string | undefined
      readonly message: string
      readonly reason?: unknown
      readonly details?: unknown
    }
  /** Moves the clock, running the timers on the way; answered with `done`. */
  | { readonly type: 'tick'; readonly no: number; readonly ms: number }
  | { readonly type: 'seed'; readonly seed: number }
  | { readonly type: 'takeCoverage'; readonly no: number }

export type FromRehearsal =
  /** Sent once when the process is ready to open. */
  | { readonly type: 'waiting' }
  | { readonly type: 'done'; readonly no: number; readonly json: string }
  | { readonly type: 'failed'; readonly no: number; readonly failure: RehearsalFailure }
  | { readonly type: 'logged'; readonly lines: readonly RehearsalLine[] }
  /** A stage asks a fake: a service, or a scene when `service` is empty. `input` is JSON. */
  | { readonly type: 'call'; readonly call: number; readonly service: string; readonly method: string; readonly input: string }
  /** A stage fetches. Answered with the JSON of a `FakeResponse`. */
  | { readonly type: 'fetch'; readonly call: number; readonly request: FakeRequest }

/** `head` is JSON of `{ url, redirect, headers }`. */
export interface FakeRequest {
  readonly method: string
  readonly head: string
  readonly body: FakeBody | undefined
}

/** `head` is JSON of `{ status, statusText, headers, url, redirected }`. */
export interface FakeResponse {
  readonly head: string
  readonly body: FakeBody
}

/** IPC carries texts only: bytes that are not UTF-8 go as base64. */
export type FakeBody = { readonly text: string } | { readonly base64: string }

/** The number under which `open` is answered. */
export const OPENING = 0

export interface RehearsalFailure {
  readonly code: ErrorCode
  readonly message: string
  readonly stage?: string
  /** Of a request that was rejected: the code and the details that the stage gave. */
  readonly reason?: string
  readonly details?: unknown
  /** Where the request, or the answer, does not fit its schema. */
  readonly faults?: readonly { readonly pointer: string; readonly expected: string }[]
  /** Mapped to the sources, `name/index.ts:3:9`. */
  readonly stack?: string
  /** The place in the source that threw, with the lines around it. */
  readonly frame?: string
  /** What to do, when more is known than what the code says. */
  readonly advice?: string
}

export interface RehearsalLine {
  /** Undefined for a line that belongs to no request. */
  readonly requestId: string | undefined
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  /** JSON. */
  readonly fields?: string
  readonly stack?: string
}

/** How often V8 counted each range of characters in one function of the bundle. The first range is the whole function; a range inside of another overrides it. */
export interface FunctionCount {
  readonly functionName: string
  readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[]
}
