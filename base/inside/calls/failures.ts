/** The errors that modules get for calls and fetches that failed. */
import { assign } from '../primordials.ts'

/** What the cell says of a failure. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

/** Codes that say that scenes have called each other wrongly, which is no error of the module that lets them through. */
const CODES_OF_CALLS_PASSED_ON = ['CALL_CYCLE', 'CALL_TOO_DEEP']
const codes = new WeakMap<object, string>()

export function callError({ code, message }: Refusal): Error {
  const error = assign(new Error(message), { code })
  if (CODES_OF_CALLS_PASSED_ON.includes(code)) codes.set(error, code)
  return error
}

/** The Fetch standard has a `TypeError` for requests that fail, whatever the reason is. The deadline is that of the whole request. */
export function fetchError({ code, message }: Refusal): Error {
  const error = assign(new TypeError(message), { code })
  if (code === 'DEADLINE_EXCEEDED') codes.set(error, code)
  return error
}

/** The code with which an error fails the whole request when a stage lets it through. Undefined when it fails as any other error does. */
export const codeOf = (thrown: unknown) => (typeof thrown === 'object' && thrown !== null ? codes.get(thrown) : undefined)
