/** Capsules as files. */

import type { ExportedCapsule } from '../../../base/capsule/capsule.ts'
import { SdkError } from '../../sdk-error.ts'
import { readJson } from './text.ts'

const ENDING = '.capsule.json'

/** The name that an exported capsule gets. */
export const nameOfExport = (scene: string, id: string): string => `${scene}-${id}${ENDING}`

/** Whether a file is an exported capsule, by its name. */
export const isCapsuleFile = (file: string): boolean => file.endsWith(ENDING)

/** @throws SdkError FILE_UNREADABLE, FILE_NOT_TEXT, CAPSULE_INVALID with what is wrong and where */
export async function readExported(file: string): Promise<ExportedCapsule> {
  const refuse = (why: string) =>
    new SdkError('CAPSULE_INVALID', `Cannot use "${file}" as an exported capsule: ${why}`, {
      hint: 'Export it again with "sdk capsule export SCENE ID", and change nothing in the file.',
    })
  // Commands that are given no capsule need not wait until these are loaded.
  const [{ compileCheck }, { ExportedCapsule }] = await Promise.all([
    import('../../../base/kernel/check.ts'),
    import('../../../base/contract/capsule-api.ts'),
  ])
  const { value, faults } = compileCheck(ExportedCapsule)(await readJson(file, refuse))
  if (faults === undefined) return value
  throw refuse(faults.join('; '))
}
