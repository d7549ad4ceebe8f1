/** The requests of an isolate, and which of them runs now. */
import { ByNumber } from './by-number.ts'
import { cellTime } from './clock.ts'
import { cursor } from './host.ts'
import { max } from './primordials.ts'
import { CURSOR, type LogLine } from './protocol.ts'

export interface Request {
  readonly no: number
  readonly id: string
  readonly body: string
  readonly unit: string | undefined
  /** A time of the monotonic clock. */
  readonly deadlineAt: number
  readonly params: unknown
  readonly bucket: number | undefined
  /** Whether it has been answered or abandoned. */
  done: boolean
  lines: LogLine[] | undefined
  /** Names of the stages that had no part in the answer, or only some part. */
  degraded: string[] | undefined
  /** Milliseconds that each stage took; undefined until one took any. */
  tookMs: number[] | undefined
  /** Calls under way. */
  calls: number
  /** The step that was begun last; see `CURSOR`. */
  step: number
}

/** Requests by number. Only those whose stages went async are in here. */
export const openRequests = new ByNumber<Request>()

interface Running {
  /** The module whose stage runs, for log lines. */
  module: string | undefined
  /** The request that the stage runs for. */
  request: Request | undefined
  /** Whether a turn starts a request. When that is done, the turn posts the calls that were made. */
  inTurn: boolean
}

/** This is set while synchronous code of a stage runs. After an `await`, it is not known which request code belongs to. */
export const running: Running = { module: undefined, request: undefined, inTurn: false }

/**
 * Tells the cell that code of a request begins to run, unless code around it has done so.
 * @returns whether to call `endRun` afterwards
 */
export function beginRun({ no }: Request): boolean {
  if (cursor[CURSOR.running] !== 0) return false
  cursor[CURSOR.run] = (cursor[CURSOR.run] as number) + 1
  cursor[CURSOR.running] = no
  return true
}

export function endRun(): void {
  cursor[CURSOR.running] = 0
}

/** For whom code runs that no turn has begun, such as a timer. */
export interface Cause {
  /** Number of the request that has asked for it; undefined when that is not known, as after an `await`. */
  readonly request: number | undefined
  /** Number of the last request that had been started by then, which is the last that may have asked for it. */
  readonly latest: number
  /** The step that has asked for it. */
  readonly step: number
}

/** The cause of the timer that runs now. What it asks for has the same cause. */
let current: Cause | undefined

/** The cause of what is asked for now. */
export function causeNow(): Cause {
  const { request } = running
  if (request === undefined && current !== undefined) return current
  return { request: request?.no, latest: cursor[CURSOR.started] as number, step: cursor[CURSOR.step] as number }
}

/** Runs code on behalf of a cause. What it uses counts as left behind when every request that may have asked for it has been answered. */
export function runFor(cause: Cause, run: () => void): void {
  closeLeftover()
  if (isLeftover(cause)) cursor[CURSOR.leftSince] = cellTime()
  cursor[CURSOR.step] = cause.step
  current = cause
  try {
    run()
  } finally {
    current = undefined
  }
}

function isLeftover({ request, latest }: Cause): boolean {
  if (request !== undefined) return !openRequests.has(request)
  const oldest = openRequests.first
  return oldest === undefined || oldest > latest
}

/**
 * Notes that what runs from here on is not left behind. The promise reactions of a timer run after it, so this is called when other code
 * begins. The clock has whole milliseconds: one is left out, so that a short timer is never charged for more than it used.
 */
export function closeLeftover(): void {
  const since = cursor[CURSOR.leftSince] as number
  if (since === 0) return
  cursor[CURSOR.leftMs] = (cursor[CURSOR.leftMs] as number) + max(0, cellTime() - since - 1)
  cursor[CURSOR.leftSince] = 0
}
