/** The requests of an isolate, and what of them runs now. */
import type { LogLine } from './protocol.ts'

export interface Request {
  readonly no: number
  readonly id: string
  readonly body: string
  readonly unit: string | undefined
  /** Wall clock, milliseconds since the epoch. */
  readonly deadlineAt: number
  readonly params: unknown
  readonly bucket: number | undefined
  /** Answered, or abandoned. */
  done: boolean
  lines: LogLine[] | undefined
  /** Names of the stages that had no part in the answer, or less than all. */
  degraded: string[] | undefined
  /** Milliseconds that each stage took, once one took any. */
  tookMs: number[] | undefined
  /** Calls under way. */
  calls: number
}

/** By number. Only requests whose stages went async are in here. */
export const openRequests = new Map<number, Request>()

interface Running {
  /** Module whose stage runs, for log lines. */
  module: string | undefined
  /** The request that it runs for. */
  request: Request | undefined
}

/** Set while synchronous code of a stage runs. After an `await` nobody can tell which request code belongs to. */
export const running: Running = { module: undefined, request: undefined }
