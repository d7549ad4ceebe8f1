/**
 * What passes between a cell and the code inside its isolates: types and constants, and which JSON both sides refuse to parse. Both
 * sides import it. Only primitives and plain copies cross.
 */

/** Bounds that hold inside the isolate, where exceeding them would otherwise flood the cell. */
export interface InsideLimits {
  readonly resultChars: number
  readonly requestCalls: number
  readonly callChars: number
  readonly fetchBytes: number
  readonly slotTimers: number
  readonly logLinesPerSecond: number
  readonly logLineChars: number
  readonly paramsKept: number
  readonly rejectionChars: number
  readonly misfits: number
  /** Whether every value is looked at, and a request fails when anything is found, as in the tests of a module. @default false */
  readonly findingsFail?: boolean
}

/**
 * Everything inside speaks to the cell through this one function; nothing comes back on it.
 * - `answers, …(requestNo, kind, text)`: what became of requests, `ANSWER_STRIDE` values each; see `AnswerKind`
 * - `log, requestNo (0: none), lines`: lines is a JSON array of `LogLine`
 * - `calls, …(callNo, requestNo, service, method, input)`: what requests ask of the cell, `CALL_STRIDE` values each; for a `ctx.call` the service is
 *   empty and the method is the scene; input is JSON (of the arguments, for a service); the cell answers with `settleCalls`
 * - `fetch, callNo, requestNo, sure, method, head, body?`: sends a request to another host; `sure` is 0 when any request of the slot may be the one that
 *   asks; head is JSON of `{ url, redirect, headers }`: `redirect` is `follow`, `error` or `manual`, headers are pairs; the cell answers with `settleFetch`, or `settleCalls` when it fails
 * - `unfetch, callNo`: nobody waits for that fetch any more
 * - `timer, timerNo, delayMs`: the cell calls `fireTimer` after that
 * - `misfit, text`: an answer did not fit the schema of the scene; the text says where, and which stage made it
 * - `broken`: a module has changed something that cannot be put back, so only a new isolate helps
 */
export type Post = (kind: 'answers' | 'log' | 'calls' | 'fetch' | 'unfetch' | 'timer' | 'misfit' | 'broken', ...values: Posted[]) => void

/** Bytes are copied on the way. All values but the body of a `fetch` are texts and numbers. */
export type Posted = string | number | ArrayBuffer

/**
 * What `text` is depends on the kind. `ok`: the answer as JSON. `failed`: the JSON of a `Failure`. `waiting`: empty, since the request
 * waits for something. `noted`: a line of notes, a line feed, and the answer as JSON. The notes are the names of the stages that had no
 * part in the answer, with commas between them; then a space; then, when any stage took a millisecond or more, the whole milliseconds that
 * each took, with commas between them.
 */
export const AnswerKind = { ok: 0, failed: 1, waiting: 2, noted: 3 } as const

/** Values of one request in `turn`. */
export const REQUEST_STRIDE = 6
/** Values of one request in `answers`, and in what `turn` returns. */
export const ANSWER_STRIDE = 3
/** Turns that an isolate is given before it has answered the first of them. With two, it need not wait for the thread of the cell between them. */
export const TURNS_IN_FLIGHT = 2
/** Values of one call in `calls`. */
export const CALL_STRIDE = 5
/** Values of one call in `settleCalls`. */
export const SETTLED_STRIDE = 3

/** Names of the services a slot may use, each with its methods. */
export type ServiceNames = Readonly<Record<string, readonly string[]>>

/** Places of the cursor, memory that isolate and cell share: the cell reads it while the isolate runs. */
export const CURSOR = {
  /** Number of the request that was started last; numbers only grow. */
  started: 0,
  /**
   * Number of the request whose code runs, from when a stage is called until it returns or comes to its first `await`, and while its answer is made; else 0.
   * After an `await`, nothing says which request code belongs to.
   */
  running: 1,
  /** Number of the request whose body is being parsed, before any code of a module runs for it; else 0. */
  reading: 2,
  /**
   * Number of the step whose code was entered last, from 1 on: the modules of each stage, then the one that merges, then the one that stands
   * in. Code that goes on after an `await` counts when a call or a timer woke it. 0 until there is one.
   */
  step: 3,
  /** Milliseconds for which timers ran that answered requests have left behind, and since when one runs now by the monotonic clock of the cell, or 0. */
  leftMs: 4,
  leftSince: 5,
  /** How often `running` has been set: two readings with the same number saw the same run. */
  run: 6,
  /** 1 while the body of the request that was started last is checked against the schema, before any code of a module runs for it. */
  checking: 7,
  /** 1 while requests only warm the slot up: what their code logs is dropped, and does not count. Written by the cell. */
  warmingUp: 8,
} as const

/** Places of the clock, memory that isolates read: the cell writes it before it enters one, and every few milliseconds. */
export const CLOCK = {
  /** Milliseconds by the monotonic clock of the cell at the last writing. */
  monotonic: 0,
  /** Milliseconds since the epoch by the wall clock at that time, less `monotonic`. */
  wallMinusMonotonic: 1,
} as const

/**
 * Places of the tape, memory that a slot shares with the cell when somebody else than the machine is to say what time it is there, or is to know: a
 * recorder, a replay, a test with a clock that stands still. Ordinary slots have none. The readings are those of the clocks that code inside can see, in
 * the order in which they were read: the first is read while the isolate is set up, before any module is loaded.
 */
export const TAPE = {
  /** A `TapeMode`. */
  mode: 0,
  /** How many readings were made since the cell has set this to 0, those included for which the tape had no place, or nothing to give. */
  count: 1,
  /** Of a replay: how many readings there are to give. */
  length: 2,
  /** Of a replay: what the clock shows when all readings are given, by the monotonic clock; the cell adds the CPU time that was used. */
  beyond: 3,
  /** Reasons why a replay may give something else, a set of `TapeMark`. The cell empties it. */
  marks: 4,
  /** 1 when the next turn is to seed chance anew from the words at `seed`; the turn sets it to 0. */
  reseed: 5,
  /** `SEED_WORDS` whole numbers of 32 bits: the first half seeds `Math.random`, the other half `crypto`. */
  seed: 6,
  /** The first of the readings, `limits.capsule.readingsMax` of them: milliseconds of the monotonic clock. */
  readings: 14,
} as const
/** Words of 32 bits in a seed of chance. `Given.seed` has them as hexadecimal digits, eight each. */
export const SEED_WORDS = 8
/** `off`: the clocks of the machine are read, and nobody is to know. `recording`: readings are written down. `replaying`: they are given again, in order. */
export const TapeMode = { off: 0, recording: 1, replaying: 2 } as const
/**
 * `weakReferences`: a `WeakRef` or a `FinalizationRegistry` was made. `stackOverflow`: the error of a stack overflow was seen by the code inside; one that
 * a module catches and keeps to itself is not. `tooManyReadings`: more were made than the tape has places for.
 */
export const TapeMark = { weakReferences: 1, stackOverflow: 2, tooManyReadings: 4 } as const

/** Parts of the code inside that an isolate compiles when a module first uses what they define. Each is a script of its own. */
export const LAZY_PARTS = ['clone', 'encodings', 'events', 'fetch', 'multibyte', 'random', 'schema-check', 'text', 'url'] as const
export type LazyPart = (typeof LAZY_PARTS)[number]

/** The arguments with which a cell calls the function that is the code inside; the texts are those of `LAZY_PARTS`, in that order. */
export type Given = readonly [
  post: Post,
  cursor: SharedArrayBuffer,
  clock: SharedArrayBuffer,
  limits: InsideLimits,
  seed: string,
  tape: SharedArrayBuffer | undefined,
  ...partTexts: string[],
]

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly module: string | undefined
  readonly message: string
  /** JSON of the fields, when there were any. */
  readonly fields?: string
  readonly stack?: string
  /** A row of the error table. */
  readonly code?: string
  /** Lines of a version with the same text here say the same; only the first is kept. */
  readonly once?: string
  /** Number of lines that were dropped just before this one because the slot wrote too many. */
  readonly dropped?: number
}

/** A stage of the group. Modules are named by the key that they were defined under. */
export interface StagePlan {
  readonly stage: string
  readonly modules: readonly string[]
  readonly parallel: boolean
  /** The module that makes one result of those of a parallel stage. When undefined, their lists are joined. */
  readonly merge: string | undefined
  /** Milliseconds the stage may wait. */
  readonly deadlineMs: number | undefined
  readonly onFailure: 'fail' | 'skip' | 'fallback'
  /** The module that stands in for a failed stage, unless there is a `fallbackValue`. */
  readonly fallbackModule: string | undefined
  /** JSON. */
  readonly fallbackValue: string | undefined
}

/** The schemas of the request and of the answer, as JSON; empty where the scene has none. */
export interface SchemaTexts {
  readonly request: string
  readonly answer: string
}

/** Why there is no answer. `code` is a row of the error table. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** The code of a call, a service or a fetch that has failed, and whose error the module has not caught. */
  readonly uncaught?: string
  readonly stage?: string
  readonly module?: string
  readonly stack?: string
  /** Of a request that a stage has rejected: the code that the module gave, and JSON of the details. */
  readonly reason?: string
  readonly details?: string
  /** Where the body, or the answer, does not fit the schema of the scene. */
  readonly faults?: readonly Misfit[]
}

/** A place in a value that does not fit a schema: a JSON pointer, empty for the value itself, and what was expected there. */
export interface Misfit {
  readonly pointer: string
  readonly expected: string
}

/** The codes that modules may give to `ctx.reject`. */
export const REJECTION_REASON = /^[A-Z][A-Z0-9_]{0,63}$/

export interface Inside {
  /**
   * Registers a module's exports under `module` (`name@version`) after checking that each of `stages` is a function. Returns undefined when
   * all is well.
   */
  define(module: string, stages: readonly string[], exports: unknown): Failure | undefined
  /** Makes this the slot of a version, whose requests fit a schema, run these stages in order and may use these services. */
  link(scene: string, version: string, stages: readonly StagePlan[], services: ServiceNames, schemas: SchemaTexts): void
  /**
   * Runs requests, numbered from `firstNo`, `REQUEST_STRIDE` values each: id, body, unit (empty: none), deadline, params (empty: those of the request before),
   * bucket (-1: none). Body and params are JSON, not parsed yet; the deadline is a time of the monotonic clock, in milliseconds. Never throws.
   * @returns what became of the requests, as in `answers`; nothing when that was posted, as it is when any of them waits or the answers are long. Those that
   * wait are answered when they settle
   */
  turn(firstNo: number, values: readonly (string | number)[]): (string | number)[]
  /** What the turn that began with this request has returned, if it was one of the last `TURNS_IN_FLIGHT`. */
  reportOf(firstNo: number): readonly (string | number)[]
  /** Forgets a request whose caller has been answered. Later results are dropped. */
  abandon(requestNo: number): void
  /**
   * Settles calls, `SETTLED_STRIDE` values each: the number; 1 for an answer and 0 for a failure; JSON of the answer or of `{ code, message
   * }`.
   */
  settleCalls(values: readonly (string | number)[]): void
  /** Answers a `fetch`: `head` is JSON of `{ status, statusText, headers, url, redirected }`, a body that is UTF-8 comes as text. */
  settleFetch(callNo: number, head: string, body: string | ArrayBuffer): void
  fireTimer(timerNo: number): void
  /** Does nothing. When it returns, the cell knows that the isolate is not stuck. */
  probe(): void
}

/** The module that a rehearsal adds to those of a slot. */
export interface InputModule {
  /** Sets aside the JSON of what a stage is to get when that is not the request. */
  putInput(requestId: string, json: string): void
  /** The exports of a module whose stage `input` returns what was set aside. */
  readonly module: { input(_: unknown, ctx: { readonly requestId: string }): unknown }
}

/** Arrays and objects within one another that a body may have. */
const DEPTH_MAX = 32_768

const [QUOTE, BACKSLASH, OPENING, CLOSING, UPPER] = [34, 92, 123, 125, 32] as const

/**
 * Refuses JSON that is nested too deeply: to parse a megabyte of `[` takes a hundred times as long as to parse a megabyte of text. A text that is not
 * long enough to be valid and deeper is not looked at, and of one that is, no more than up to the place where it becomes too deep.
 * @throws Error whose message says where
 */
export function demandShallow(json: string): void {
  if (json.length <= 2 * DEPTH_MAX) return
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) at = endOfString(json, at)
    // A bracket and the brace of the same side differ in one bit.
    else if ((code | UPPER) === OPENING && ++depth > DEPTH_MAX) {
      throw new Error(`it is nested more than ${DEPTH_MAX} levels deep at position ${at}`)
    } else if ((code | UPPER) === CLOSING) depth--
  }
}

/** Where the string that begins at `start` ends, or the text if that is earlier. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) return at
    if (code === BACKSLASH) at++
  }
  return json.length
}
