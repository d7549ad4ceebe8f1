/** What passes between a cell and the code inside its isolates. Only primitives and plain copies cross. */

/** Bounds that hold inside the isolate, where exceeding them would otherwise flood the cell. */
export interface InsideLimits {
  readonly resultChars: number
  readonly requestCalls: number
  readonly slotTimers: number
  readonly logLinesPerSecond: number
  readonly logLineChars: number
}

/**
 * Everything inside tells the cell through this one function; nothing comes back on it.
 * - `log, requestNo (0: none), lines`: lines is a JSON array of `LogLine`
 * - `call, callNo, requestNo, scene, input`: input is JSON; the cell answers with `settleCall`
 * - `timer, timerNo, delayMs`: the cell answers with `fireTimer`
 */
export type Post = (kind: 'log' | 'call' | 'timer', a: number, b: number | string, c?: string, d?: string) => void

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly module: string | undefined
  readonly message: string
  /** JSON of the fields, when there were any. */
  readonly fields?: string
  readonly stack?: string
  /** Lines dropped just before this one because the slot wrote too many. */
  readonly dropped?: number
}

/** One step of the group: a stage of a defined module. */
export interface Step {
  readonly stage: string
  readonly module: string
}

/** Why there is no answer. `code` is a row of the error table. */
export interface Failure {
  readonly code: string
  readonly message: string
  readonly stage?: string
  readonly module?: string
  readonly stack?: string
}

export interface Inside {
  /** Registers a module's exports under `module` (`name@version`) after checking that each of `stages` is a function; undefined when all is well. */
  define(module: string, stages: readonly string[], exports: unknown): Failure | undefined
  /** Sets the steps that `dispatch` runs, in order. */
  link(steps: readonly Step[]): void
  /**
   * Runs one request: the answer as JSON, or why there is none; a promise of it when a stage went async. Never throws, never rejects.
   * @param body the caller's JSON, not parsed yet
   * @param deadlineAt wall clock, milliseconds since the epoch
   * @param params JSON object
   */
  dispatch(
    requestNo: number,
    requestId: string,
    body: string,
    unit: string | undefined,
    deadlineAt: number,
    params: string,
  ): string | Failure | Promise<string | Failure | undefined>
  /** Forgets a request whose caller has been answered; its promise fulfils with undefined, later results are dropped. */
  abandon(requestNo: number): void
  /** @param text JSON of the answer, or of `{ code, message }` when not `ok` */
  settleCall(callNo: number, ok: boolean, text: string): void
  fireTimer(timerNo: number): void
  /** Does nothing: a cell that gets its return knows that the isolate is not stuck. */
  probe(): void
}
