/** The answer of a group as JSON. */
import { monotonicTime } from '../clock.ts'
import { limits } from '../host.ts'
import { lookAt, Sampler } from '../looks.ts'
import type { Request } from '../open-request.ts'
import { stringify } from '../primordials.ts'
import type { Failure } from '../protocol.ts'
import { messageOf, nameOf, stackOf } from '../to-text.ts'
import { answerSchema, checkAnswer, type Place } from './schemas.ts'
import { type Stage, stages } from './version.ts'

/** The answers that get a closer look. */
const sampler = new Sampler()

/** Returns a failure when the value cannot become JSON, or becomes too much of it; in the tests of a module, also when a closer look finds a fault. */
export function toJson(request: Request, value: unknown): string | Failure {
  let json: string | undefined
  try {
    json = stringify(value)
  } catch (error) {
    return unserialisable(error, lastStep())
  }
  // The value is an object whose toJSON returns undefined.
  if (json === undefined) return { code: 'RESULT_UNDEFINED', message: 'The answer turns into undefined as JSON', ...lastStep() }
  if (json.length > limits.resultChars) {
    const message = `The answer has ${json.length} characters of JSON, over the limit of ${limits.resultChars}`
    return { code: 'RESULT_TOO_LARGE', message, ...lastStep() }
  }
  return (sampler.isDue() ? lookAtAnswer(request, value, json) : undefined) ?? json
}

function lookAtAnswer(request: Request, value: unknown, json: string): Failure | undefined {
  const beganAt = monotonicTime()
  const where = lastStep()
  const finding = lookAt(request, where.module, `The answer of stage "${where.stage}"`, value)
  const misfit = answerSchema === undefined ? undefined : checkAnswer(answerSchema, json, where)
  sampler.noteLook(beganAt)
  return finding === undefined ? misfit : { code: finding.code, message: finding.message, ...where }
}

/** The step that the answer is from. The modules of a parallel stage whose lists are joined have made it together. */
function lastStep(): Place {
  const { stage, steps, merge, parallel } = stages[stages.length - 1] as Stage
  const step = merge ?? (parallel && steps.length > 1 ? undefined : steps[steps.length - 1])
  return step === undefined ? { stage } : { stage, module: step.module }
}

/** What was wrong with the value, by the error that V8, or a `toJSON` of the module, has thrown. */
function unserialisable(error: unknown, where: Place): Failure {
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
