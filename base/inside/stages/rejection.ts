/** How a stage refuses a request for which its caller is to blame. */
import { limits } from '../host.ts'
import { keepLine, logLine } from '../log-lines.ts'
import { type Request, running } from '../open-request.ts'
import { assign, stringify } from '../primordials.ts'
import { type Failure, REJECTION_REASON } from '../protocol.ts'
import { kindOf, messageOf } from '../to-text.ts'

/** What the errors of `ctx.reject` say, by identity: no error that a module makes itself is taken for one of them. */
const rejections = new WeakMap<object, Pick<Failure, 'reason' | 'message' | 'details'>>()

/**
 * Throws the error that ends the request, unless the module catches it.
 * @throws TypeError when `reason` is no name in capitals, which is a mistake of the module
 */
export function reject(request: Request, reason: unknown, message: unknown, details: unknown): never {
  if (typeof reason !== 'string' || !REJECTION_REASON.test(reason)) {
    const got = typeof reason === 'string' ? `"${reason.slice(0, 80)}"` : kindOf(reason)
    throw new TypeError(`ctx.reject: the code must be a name in capitals such as ITEMS_EMPTY, of at most 64 characters, got ${got}`)
  }
  const text = messageOf(message)
  const error = assign(new Error(text), { name: 'RequestRejected', code: reason, details })
  rejections.set(error, { reason, message: text, ...asJson(request, details) })
  throw error
}

/** Details that cannot be sent are left out, with a line in the log: the request is the caller's mistake with or without them. */
function asJson(request: Request, details: unknown): { details?: string } {
  if (details === undefined) return {}
  try {
    const json = stringify(details)
    if (json === undefined) throw new TypeError(`JSON cannot hold ${kindOf(details)}`)
    if (json.length <= limits.rejectionChars) return { details: json }
    throw new RangeError(`they have ${json.length} characters of JSON, over ${limits.rejectionChars}`)
  } catch (error) {
    const line = logLine('warn', running.module, `ctx.reject: the details were left out: ${messageOf(error)}`)
    if (line !== undefined) keepLine(request, line)
    return {}
  }
}

/** What an error says that `ctx.reject` has thrown; undefined for any other. */
export const rejectionOf = (thrown: unknown) => (typeof thrown === 'object' && thrown !== null ? rejections.get(thrown) : undefined)
