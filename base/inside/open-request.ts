/** The requests of an isolate, and which of them runs now. */
import type { LogLine } from './protocol.ts'

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
}

/** Requests by number. Only those whose stages went async are in here. */
export const openRequests = new Map<number, Request>()

interface Running {
  /** The module whose stage runs, for log lines. */
  module: string | undefined
  /** The request that the stage runs for. */
  request: Request | undefined
}

/** This is set while synchronous code of a stage runs. After an `await`, it is not known which request code belongs to. */
export const running: Running = { module: undefined, request: undefined }
