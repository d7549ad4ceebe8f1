/** The schemas of the scene, compiled once for the slot. */
import { compileSchema } from '../globals/lazy.ts'
import { limits, post } from '../host.ts'
import type { SchemaCheck } from '../lazy/schema-check.ts'
import { parse } from '../primordials.ts'
import type { Failure, Misfit, SchemaTexts } from '../protocol.ts'
import { messageOf, nameOf } from '../to-text.ts'

/** Where a value was made. */
export interface Place {
  readonly stage: string
  /** Undefined when several modules have made it together. */
  readonly module?: string
}

const compiled = new Map<string, SchemaCheck>()

/** What the body and the answer of a request have to fit; undefined where the scene says nothing. */
export let requestSchema: SchemaCheck | undefined
export let answerSchema: SchemaCheck | undefined

export function useSchemas({ request, answer }: SchemaTexts): void {
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
    // The schema refers to itself, and the value is nested deeper than the stack; or a module has broken what finds the places until the turn is over.
    const isTooDeep = nameOf(error) === 'RangeError'
    return [{ pointer: '', expected: isTooDeep ? `must not be nested so deeply: ${messageOf(error)}` : 'must fit the schema' }]
  }
}

/** For example `/items must have at least 1 item; it must have "user"`. */
export const inWords = (faults: readonly Misfit[]): string =>
  faults.map(({ pointer, expected }) => `${pointer === '' ? 'it' : pointer} ${expected}`).join('; ')

/** Checks an answer. One that does not fit is sent all the same, since it may be of use to the caller; in the tests of a module it is a failure. */
export function checkAnswer(schema: SchemaCheck, json: string, where: Place): Failure | undefined {
  const faults = misfits(schema, parse(json))
  if (faults === undefined) return undefined
  const maker = `stage "${where.stage}"${where.module === undefined ? '' : ` of module "${where.module}"`}`
  const message = `The answer of ${maker} does not fit the schema of the scene: ${inWords(faults)}`
  if (limits.findingsFail) return { code: 'RESULT_UNFIT', message, ...where, faults }
  post('misfit', message.slice(0, limits.logLineChars))
  return undefined
}
