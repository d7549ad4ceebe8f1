/** The schemas of the scene, compiled once for the slot. */
import { monotonicTime } from '../clock.ts'
import { compileSchema } from '../globals/lazy.ts'
import { limits, post } from '../host.ts'
import type { SchemaCheck } from '../lazy/schema-check.ts'
import { max, parse } from '../primordials.ts'
import type { Failure, Misfit, SchemaTexts } from '../protocol.ts'
import { messageOf } from '../to-text.ts'

const compiled = new Map<string, SchemaCheck>()

/** What the body and the answer of a request have to fit; undefined where the scene says nothing. */
export let requestSchema: SchemaCheck | undefined
export let answerSchema: SchemaCheck | undefined

/** Whether every answer is checked, and one that does not fit is a failure. */
let isStrict = false
/** Answers that are checked one after the other; after them, one is checked when it is time. */
let checksLeft = limits.answersCheckedFirst
let nextCheckAt = 0

export function useSchemas({ request, answer, strict }: SchemaTexts): void {
  isStrict = strict
  requestSchema = compiledOnce(request)
  answerSchema = compiledOnce(answer)
}

function compiledOnce(json: string): SchemaCheck | undefined {
  if (json === '') return undefined
  const known = compiled.get(json) ?? compileSchema(json)
  compiled.set(json, known)
  return known
}

/** Why the body does not fit the schema; undefined when it does. */
export function bodyFailure(schema: SchemaCheck, body: unknown): Failure | undefined {
  const faults = misfits(schema, body)
  return faults && { code: 'REQUEST_INVALID', message: `The body does not fit the schema of the scene: ${inWords(faults)}`, faults }
}

/** Where a value does not fit; undefined when it does. */
export function misfits(schema: SchemaCheck, value: unknown): Misfit[] | undefined {
  try {
    return schema.fits(value) ? undefined : schema.misfits(value, limits.misfits)
  } catch (error) {
    // The schema refers to itself, and the value is nested deeper than the stack.
    return [{ pointer: '', expected: `must not be nested so deeply: ${messageOf(error)}` }]
  }
}

/** For example `/items must have at least 1 item; it must have "user"`. */
export const inWords = (faults: readonly Misfit[]): string =>
  faults.map(({ pointer, expected }) => `${pointer === '' ? 'it' : pointer} ${expected}`).join('; ')

/** After a check, no answer is checked for so many times as long as the check took. */
const CHECK_PAUSE_FACTOR = 100

/**
 * Checks some of the answers: it costs the slot a hundredth of its time at most. An answer that does not fit is sent all the same, since that is not the
 * caller's loss; in tests it is a failure.
 * @param where the stage and the module that have made it
 */
export function checkAnswer(
  schema: SchemaCheck,
  json: string,
  where: { readonly stage: string; readonly module: string },
): Failure | undefined {
  const beganAt = monotonicTime()
  if (!isStrict && checksLeft === 0 && beganAt < nextCheckAt) return undefined
  if (checksLeft > 0) checksLeft--
  const faults = misfits(schema, parse(json))
  const endedAt = monotonicTime()
  nextCheckAt = endedAt + max(limits.answerCheckMs, CHECK_PAUSE_FACTOR * (endedAt - beganAt))
  if (faults === undefined) return undefined
  const message = `The answer of stage "${where.stage}" of module "${where.module}" does not fit the schema of the scene: ${inWords(faults)}`
  if (isStrict) return { code: 'RESULT_UNFIT', message, ...where, faults }
  post('misfit', message.slice(0, limits.logLineChars))
  return undefined
}
