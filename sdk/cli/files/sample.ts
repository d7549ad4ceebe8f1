/** A request to try a module with. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { contentsOf } from '../../../base/capsule/contents.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { checkNumbers } from '../../../base/kernel/exact-json.ts'
import { SdkError } from '../../sdk-error.ts'
import type { Output } from '../terminal/output.ts'
import { isCapsuleFile, readExported } from './exported-capsule.ts'
import { readText } from './text.ts'

/**
 * The first of `samples/*.json` of a module, else what this folder has in `fixtures/requests` for the scene. Undefined when there is neither.
 * @throws SdkError FILE_UNREADABLE
 */
export async function firstSample(folder: string, scene: string | undefined): Promise<string | undefined> {
  const samples = (await filesIn(join(folder, 'samples'))).filter(name => name.endsWith('.json')).sort()
  if (samples[0] !== undefined) return join(folder, 'samples', samples[0])
  const requests = join('fixtures', 'requests')
  return (await filesIn(requests)).includes(`${scene}.json`) ? join(requests, `${scene}.json`) : undefined
}

/**
 * The body of a request that is in a file: the text of the file, or of an exported capsule what came in then.
 * @throws SdkError as `readText` and `readExported`
 */
export async function bodyIn(file: string): Promise<string> {
  if (!isCapsuleFile(file)) return readText(file)
  const { capsule, entries } = await readExported(file)
  return contentsOf(capsule, entries.slice(capsule.entries[0])).body
}

/**
 * Warns of a number that modules do not read as it was sent, because their numbers are those of JavaScript.
 * @param body JSON that a base has taken
 */
export function warnOfRounding(out: Output, body: string): void {
  try {
    checkNumbers(body)
  } catch (error) {
    out.warn(`Modules do not read the body as it was sent: ${messageOf(error)}.`)
  }
}

/** The files of a folder; none when there is no such folder. */
function filesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(error => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
    throw new SdkError('FILE_UNREADABLE', `Cannot list "${folder}": ${error.message}`, { hint: 'Check its permissions.', cause: error })
  })
}
