/** What both HTTP ports read from the headers of a request, by the same rules. */
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
