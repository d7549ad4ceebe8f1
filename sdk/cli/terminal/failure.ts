/** How a failure is shown: to people as lines, to machines as the document of `--json`. This file imports little, so that failing is quick. */
import { asTyped } from '../../../base/kernel/typed-commands.ts'
import { RefusedError, type SdkError } from '../../sdk-error.ts'
import { describeValidation } from '../views/validation-report.ts'
import { colorsFor } from './colors.ts'

/** Lines for standard error: what could not be done and why, the code frame or the stack, what to do next. */
export function failureText(error: SdkError): string {
  const { message, code, hint } = error
  const details = detailsOf(error)
  const colors = colorsFor(process.stderr)
  const lines = [`${colors.red('✖')} ${message}`]
  if (details !== undefined) lines.push('', details, '')
  lines.push(`  ${colors.dim(code)}${hint === undefined ? '' : `: ${asTyped(hint, 'sdk')}`}`)
  return lines.join('\n')
}

function detailsOf(error: SdkError): string | undefined {
  const report = error instanceof RefusedError ? error.problem.validation : undefined
  return report === undefined ? error.details : describeValidation(report).join('\n')
}

export function failureDocument(error: SdkError): object {
  if (error instanceof RefusedError) return error.problem
  const { code, message, hint, details } = error
  return { code, detail: message, fix: hint, details }
}
