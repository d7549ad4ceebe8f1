/** The errors that modules get for calls and fetches that failed. */
import { assign } from '../primordials.ts'

/** What the cell says of a failure. */
export interface Refusal {
  readonly code: string
  readonly message: string
  /** Of a request that the called scene has refused: what `ctx.reject` was given there, or where the input does not fit the schema. */
  readonly reason?: string
  readonly details?: unknown
  readonly faults?: unknown
}

/** Codes about the whole request: how scenes call each other, and the deadline, which is not a matter of the module that lets the error through. */
const CODES_OF_REQUESTS = ['CALL_CYCLE', 'CALL_TOO_DEEP', 'DEADLINE_EXCEEDED']
/** The codes of these errors, by identity: a module can change the property `code`, and can give its own errors one. */
const codes = new WeakMap<object, string>()

export const callError = ({ code, message, ...more }: Refusal): Error => assign(known(new Error(message), code), more)

/** The Fetch standard has a `TypeError` for requests that fail, whatever the reason is. */
export const fetchError = ({ code, message }: Refusal): Error => known(new TypeError(message), code)

function known(error: Error, code: string): Error {
  codes.set(error, code)
  return assign(error, { code })
}

/**
 * The code with which an error fails the whole request when a stage lets it through, and the code of the call that failed when that is another. The
 * cell answers with that other code instead when it is of something that the base could not do.
 */
export function codesOf(thrown: unknown): { readonly code: string; readonly uncaught?: string } {
  const code = typeof thrown === 'object' && thrown !== null ? codes.get(thrown) : undefined
  if (code === undefined) return { code: 'MODULE_THREW' }
  return CODES_OF_REQUESTS.includes(code) ? { code } : { code: 'MODULE_THREW', uncaught: code }
}
