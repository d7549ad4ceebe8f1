/** What both HTTP ports read from the headers of a request, by the same rules. */
import { randomBytes } from 'node:crypto'
import { limits } from '../kernel/limits.ts'

const BEARER = /^Bearer +([\w.~+/-]+=*)$/i
const REQUEST_ID = /^[\w.:-]+$/

/** The token in an `Authorization` header; undefined when it holds something else. */
export function bearerToken(authorization: string): string | undefined {
  return BEARER.exec(authorization)?.[1]
}

/** Whether the caller's `x-request-id` can be logged and sent back safely. */
export function isRequestId(given: unknown): given is string {
  return typeof given === 'string' && given.length <= limits.requestIdCharsMax && REQUEST_ID.test(given)
}

/** Of W3C Trace Context: who called, as the headers `traceparent` and `tracestate` say. */
export interface Trace {
  /** 32 hex digits. */
  readonly traceId: string
  /** 2 hex digits; the last bit says that the caller records the trace. */
  readonly flags: string
  readonly state: string | undefined
}

const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ONLY_ZEROS = /^0+$/

/**
 * The trace a request belongs to. A malformed header is one that was not sent: https://www.w3.org/TR/trace-context/#processing-model
 */
export function readTrace(traceparent: string, tracestate: string | undefined): Trace | undefined {
  const [, version, traceId = '', parentId = '', flags = '', more] = TRACE_PARENT.exec(traceparent) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (ONLY_ZEROS.test(traceId) || ONLY_ZEROS.test(parentId)) return undefined
  return { traceId, flags, state: tracestate !== undefined && tracestate.length <= limits.traceStateCharsMax ? tracestate : undefined }
}

/** The headers by which a request that is made on behalf of another belongs to the same trace. */
export function traceHeaders({ traceId, flags, state }: Trace): Readonly<Record<string, string>> {
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-${flags}`
  return state === undefined ? { traceparent } : { traceparent, tracestate: state }
}
