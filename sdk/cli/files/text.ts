/** The text of files that users name, or of standard input. */
import { messageOf } from '../../../base/kernel/errors.ts'
import { parseUnrounded } from '../../../base/kernel/exact-json.ts'
import { limits } from '../../../base/kernel/limits.ts'
import { collect, decodeText, readTextFile, unreadable } from '../../../base/kernel/text-file.ts'
import { SdkError } from '../../sdk-error.ts'

/**
 * @param file a path, or `-` for standard input
 * @throws SdkError FILE_UNREADABLE, or FILE_NOT_TEXT naming the line and the byte; nothing is replaced by U+FFFD
 */
export async function readText(file: string): Promise<string> {
  if (file === '-') return readStdin()
  return readTextFile(file).catch(error => {
    throw fileError(`"${file}"`, error)
  })
}

/** @throws SdkError as `readText` */
export async function readStdin(): Promise<string> {
  try {
    return decodeText(await collect(process.stdin, limits.files.textBytesMax))
  } catch (error) {
    throw fileError('standard input', error)
  }
}

/** The refusal of a file that could not be read. */
export function fileError(what: string, error: unknown): SdkError {
  const { reason, message, hint } = unreadable(error)
  return new SdkError(reason === 'content' ? 'FILE_NOT_TEXT' : 'FILE_UNREADABLE', `Cannot read ${what}: ${message}`, { hint, cause: error })
}

/**
 * The JSON of a file, whose numbers JavaScript can hold.
 * @param refuse makes the error for a file that is not JSON, from words that say why
 * @throws SdkError as `readText`, and what `refuse` makes
 */
export async function readJson(file: string, refuse: (why: string) => SdkError): Promise<unknown> {
  const text = await readText(file)
  if (text.trim() === '') throw refuse('it is empty')
  try {
    return parseUnrounded(text)
  } catch (error) {
    throw refuse(messageOf(error))
  }
}
