/** Changes that a base validates by captured requests: while that goes on, and what came of it. */
import type { ValidationReport } from '../../../base/contract/validation-api.ts'
import { RefusedError } from '../../sdk-error.ts'
import type { Output } from '../terminal/output.ts'
import { describeValidation, exampleOf } from '../views/validation-report.ts'

/** Milliseconds of silence after which is said what a base is doing. */
const SILENT_MS = 5000

/**
 * Waits for a change that the base may validate first.
 * @param toRun the command that runs a capsule with the candidate, where there is one
 * @throws as `work`; after a failed validation with the command for one of the capsules
 */
export async function validated<T>(out: Pick<Output, 'next'>, work: Promise<T>, toRun?: (capsule: string) => string): Promise<T> {
  const timer = setTimeout(
    () =>
      out.next('Still waiting: what gets traffic answers captured requests first, for a minute at most (--validation off leaves that out)'),
    SILENT_MS,
  )
  try {
    return await work
  } catch (error) {
    const report = error instanceof RefusedError ? error.problem.validation : undefined
    const capsule = report === undefined ? undefined : exampleOf(report)
    if (!(error instanceof RefusedError) || capsule === undefined || toRun === undefined) throw error
    throw new RefusedError(error.problem, { advice: seeOne(toRun(capsule)) })
  } finally {
    clearTimeout(timer)
  }
}

/** Shows the report of a change that was validated. */
export function showValidation(out: Pick<Output, 'say'>, validation: ValidationReport | undefined): void {
  if (validation !== undefined) for (const line of describeValidation(validation)) out.say(`  ${line}`)
}

/** Says that a change was made although its validation failed, and how to look at one of the requests. */
export function warnOfFailed(out: Output, scene: string, validation: ValidationReport | undefined): void {
  if (validation?.verdict !== 'failed') return
  const { what, candidate } = validation
  const regardless =
    what === 'params' ? 'The params failed validation and are in force' : `${candidate} failed validation and has its traffic`
  out.warn(`${regardless} all the same: --validation strict, or "mode": "strict" in "validation" of the scene, refuses such a change`)
  const capsule = exampleOf(validation)
  if (what === 'version' && capsule !== undefined) out.next(seeOne(`sdk capsule run ${scene} ${capsule} --version ${candidate}`))
}

const seeOne = (command: string): string => `See one of the requests: ${command}`
