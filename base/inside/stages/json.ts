/** The answer of a group as JSON. */
import { limits } from '../host.ts'
import { stringify } from '../primordials.ts'
import type { Failure } from '../protocol.ts'
import { messageOf, nameOf, stackOf } from '../to-text.ts'
import { type Stage, type Step, stages } from './version.ts'

/** Returns a failure when the value cannot become JSON, or becomes too much of it. */
export function toJson(value: unknown): string | Failure {
  const { stage, steps } = stages[stages.length - 1] as Stage
  const where = { stage, module: (steps[steps.length - 1] as Step).module }
  let json: string | undefined
  try {
    json = stringify(value)
  } catch (error) {
    return unserialisable(error, where)
  }
  // The value is an object whose toJSON returns undefined.
  if (json === undefined) return { code: 'RESULT_UNDEFINED', message: 'The answer turns into undefined as JSON', ...where }
  if (json.length <= limits.resultChars) return json
  const message = `The answer has ${json.length} characters of JSON, over the limit of ${limits.resultChars}`
  return { code: 'RESULT_TOO_LARGE', message, ...where }
}

/** What was wrong with the value, by the error that V8, or a `toJSON` of the module, has thrown. */
function unserialisable(error: unknown, where: { stage: string; module: string }): Failure {
  const message = messageOf(error)
  const name = nameOf(error)
  if (name === 'RangeError') {
    const tooLarge = message.includes('string length')
    return { code: tooLarge ? 'RESULT_TOO_LARGE' : 'RESULT_TOO_DEEP', message: `The answer cannot become JSON: ${message}`, ...where }
  }
  if (name === 'TypeError' && message.startsWith('Converting circular')) return { code: 'RESULT_CYCLE', message, ...where }
  if (name === 'TypeError' && message.includes('BigInt')) return { code: 'RESULT_BIGINT', message, ...where }
  return { code: 'MODULE_THREW', message, ...where, ...stackOf(error) }
}
