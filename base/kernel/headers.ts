/** What both HTTP ports read from the headers of a request, by the same rules. */
import { randomBytes } from 'node:crypto'
import { limits } from './limits.ts'

const BEARER = /^Bearer +([\w.~+/-]+=*)$/i
const REQUEST_ID = /^[\w.:-]+$/

/** The token in an `Authorization` header; undefined when it holds something else. */
export function bearerToken(authorization: string): string | undefined {
  return BEARER.exec(authorization)?.[1]
}

/**
 * Whether it is known for which host a request is: of two, a proxy in front may have gone by the other. Node joins them, and every other header
 * that was sent twice, with commas, when a server is made with `joinDuplicateHeaders`; without, all but the first are dropped unseen.
 */
export function hasOneHost(host: string | undefined): boolean {
  return host === undefined || !host.includes(',')
}

/** Whether the caller's `x-request-id` can be logged and sent back safely. */
export function isRequestId(given: unknown): given is string {
  return typeof given === 'string' && given.length <= limits.request.idCharsMax && REQUEST_ID.test(given)
}

/** Of W3C Trace Context: the headers by which a caller says what trace its request belongs to, as they came. */
export interface Trace {
  readonly parent: string
  readonly state: string | undefined
}

const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ONLY_ZEROS = /^0+$/

/**
 * The headers by which a request that is made on behalf of another belongs to the same trace. None when those of the other are malformed:
 * that is as if they were not sent, https://www.w3.org/TR/trace-context/#processing-model
 */
export function traceHeaders({ parent, state }: Trace): Readonly<Record<string, string>> {
  const [, version, traceId = '', parentId = '', flags = '', more] = TRACE_PARENT.exec(parent) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return {}
  if (ONLY_ZEROS.test(traceId) || ONLY_ZEROS.test(parentId)) return {}
  // That the caller records the trace, and that its id is random. The other bits have no meaning yet, and are to be zero.
  const known = Number.parseInt(flags, 16) & 0b11
  const traceparent = `00-${traceId}-${randomBytes(8).toString('hex')}-0${known}`
  return state === undefined || state.length > limits.request.traceStateCharsMax ? { traceparent } : { traceparent, tracestate: state }
}
