/** Reads request headers by rules that the scene port and the control port share. */
import { randomBytes } from 'node:crypto'
import { limits } from './limits.ts'

const BEARER = /^Bearer +([\w.~+/-]+=*)$/i
const REQUEST_ID = /^[\w.:-]+$/

/** The bearer token in an `Authorization` header, or undefined when the header holds anything else. */
export function bearerToken(authorization: string): string | undefined {
  return BEARER.exec(authorization)?.[1]
}

/**
 * Whether a request names at most one host. With two `Host` headers, a proxy in front may have routed by one of them while the base would go
 * by the other. A server must be made with `joinDuplicateHeaders` for this check: Node then joins repeated headers with commas; without the
 * option it silently drops all but the first.
 */
export function hasOneHost(host: string | undefined): boolean {
  return host === undefined || !host.includes(',')
}

/** Whether the caller's `x-request-id` can be logged and sent back safely. */
export function isRequestId(given: unknown): given is string {
  return typeof given === 'string' && given.length <= limits.request.idCharsMax && REQUEST_ID.test(given)
}

/** The W3C Trace Context headers of a request, exactly as the caller sent them. */
export interface Trace {
  readonly parent: string
  readonly state: string | undefined
}

const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ONLY_ZEROS = /^0+$/

/**
 * The trace headers for a request that is sent out on behalf of an incoming one: the same trace, with a new parent id. The result is empty when
 * the incoming headers are malformed, because the standard treats those as absent: https://www.w3.org/TR/trace-context/#processing-model
 */
export function traceHeaders({ parent, state }: Trace): Readonly<Record<string, string>> {
  const [, version, traceId = '', parentId = '', flags = '', more] = TRACE_PARENT.exec(parent) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return {}
  if (ONLY_ZEROS.test(traceId) || ONLY_ZEROS.test(parentId)) return {}
  // Two flags have a meaning: the caller records the trace, and the trace id is random. The standard wants all other bits sent as zero.
  const known = Number.parseInt(flags, 16) & 0b11
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-0${known}`
  return state === undefined || state.length > limits.request.traceStateCharsMax ? { traceparent } : { traceparent, tracestate: state }
}
