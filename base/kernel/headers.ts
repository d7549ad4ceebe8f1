/** Reads request headers by rules that the scene port and the control port share, and writes what they read. */
import { isUtf8 } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { limits } from './limits.ts'
import { describeFault } from './text-file.ts'

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

/** The start of a value that is percent-encoded, as RFC 8187 writes parameters of headers: a character set, and a language, which is ignored. */
const EXTENDED = /^utf-8'[a-z0-9-]*'/i
const QUOTE = 39

/**
 * The text that a header holds. It is UTF-8, of which Node reads each byte as a character of Latin-1. Clients that send only ASCII write `UTF-8''` and
 * after it the text, percent-encoded.
 * @throws Error saying what is wrong with the value: what cannot be decoded is never replaced, which could make one unit of two
 */
export function headerText(value: string): string {
  if (value.charCodeAt(5) === QUOTE && EXTENDED.test(value)) return percentDecoded(value.replace(EXTENDED, ''))
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) return utf8(value)
  return value
}

/** Blanks at the ends, which HTTP takes away, and what would be read as percent-encoded. */
const NOT_AS_IT_IS = /^utf-8'|^\s|\s$/i

/** The value of a header that `headerText` reads as this text. As `fetch` wants it, each character is one byte. Control characters, which no header may hold, stay. */
export function headerOf(text: string): string {
  return NOT_AS_IT_IS.test(text) ? `UTF-8''${encodeURIComponent(text.toWellFormed())}` : Buffer.from(text).toString('latin1')
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    throw new Error(`after UTF-8'', "${value.slice(0, 100)}" is no UTF-8 that is percent-encoded`)
  }
}

function utf8(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new Error(describeFault(bytes))
}
