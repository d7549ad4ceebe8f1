/** Somebody agrees to what a command would do before it does it: at the terminal, or beforehand with `--yes`. */
import type { BaseMode } from '../../../base/kernel/options.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { canAsk, cancelled, confirm } from './questions.ts'

/** What a command that may ask is given. */
export interface AgreementOptions {
  /** Whether everything is agreed to beforehand. */
  readonly yes?: boolean | undefined
  /** With `--json` nobody can be asked, because the output is one document. */
  readonly json?: boolean | undefined
}

/** Units that would get another version, of which those that only leave do not count: to retire a version needs no agreement. */
interface Moving {
  readonly entering: number
  readonly switching: number
}

/** Whether a change has to be agreed to. On a base for development, nobody is moved but whoever works on it. */
export const needsAgreement = (mode: BaseMode, moved: Moving | undefined): boolean =>
  mode === 'serving' && moved !== undefined && moved.entering + moved.switching > 0

interface Asked {
  readonly question: string
  /** The same as the end of "Cannot ask …". */
  readonly what: string
  /** What to type where nobody can be asked. */
  readonly hint: string
  /** What is so when the answer is no. @default nothing was changed */
  readonly declined?: string
}

interface AskedToMove extends Omit<Asked, 'hint'> {
  /** What the change comes to, a line that is shown before the question. */
  readonly plan: string
}

/**
 * Resolves when somebody agrees, at once with `--yes`.
 * @throws SdkError USAGE when nobody can be asked; CANCELLED when the answer is no
 */
export async function agree({ question, what, hint, declined }: Asked, options: AgreementOptions): Promise<void> {
  if (options.yes) return
  requireQuestions(what, hint, options)
  if (!(await confirm(question))) throw cancelled(declined)
}

/**
 * Resolves when a change that moves units is agreed to, or needs no agreement.
 * @returns whether somebody was asked
 * @throws as `agree`
 */
export async function agreeToMove(
  { client, out }: Context,
  moved: Moving | undefined,
  { plan, ...asked }: AskedToMove,
  options: AgreementOptions,
): Promise<boolean> {
  // Most changes need none on any base, so that the base is not asked what it is for.
  if (options.yes || !needsAgreement('serving', moved) || !needsAgreement((await client.status()).mode, moved)) return false
  out.say(`  ${plan}`)
  await agree({ ...asked, hint: 'Add --yes to the command, or --dry-run to see what it would come to.' }, options)
  return true
}

/** @throws SdkError USAGE when nobody can be asked, with the hint of what to type instead */
export function requireQuestions(what: string, hint: string, { json }: AgreementOptions): void {
  if (json) throw usage(`Cannot ask ${what}: --json prints one document`, hint)
  if (!canAsk()) throw usage(`Cannot ask ${what}: there is no terminal`, hint)
}
