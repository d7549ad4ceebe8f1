/** Questions to the person at the terminal. */
import { SdkError } from '../../sdk-error.ts'

/** Whether somebody can be asked. Questions are on standard error, because standard output may go elsewhere. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

/**
 * @returns the answer; Enter alone is no
 * @throws SdkError CANCELLED when it is interrupted
 */
export async function confirm(question: string): Promise<boolean> {
  const prompts = await import('@inquirer/prompts')
  return answered(prompts.confirm({ message: question, default: false }, { output: process.stderr }))
}

/**
 * @returns a line of text, undefined for none
 * @throws SdkError CANCELLED when it is interrupted
 */
export async function ask(question: string): Promise<string | undefined> {
  const prompts = await import('@inquirer/prompts')
  const text = await answered(prompts.input({ message: question }, { output: process.stderr }))
  return text.trim() || undefined
}

export const cancelled = (message = 'Nothing was changed'): SdkError =>
  new SdkError('CANCELLED', message, { hint: 'It was not confirmed.' })

async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw error instanceof Error && error.name === 'ExitPromptError' ? cancelled() : error
  }
}
