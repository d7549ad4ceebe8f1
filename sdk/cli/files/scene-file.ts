/** Scene definitions in files. Their schema takes a tenth of a second to load, so commands that read none must not import this. */
import { compileCheck } from '../../../base/kernel/check.ts'
import { SceneDefinition } from '../../../base/traffic/schema.ts'
import { SdkError } from '../../sdk-error.ts'
import { readJson } from './text.ts'

const checkScene = compileCheck(SceneDefinition)

/**
 * A scene definition from a JSON file, with the defaults filled in. A member `$schema`, for editors, is dropped.
 * @throws SdkError FILE_UNREADABLE, or SCENE_INVALID naming every fault by its path
 */
export async function readScene(file: string): Promise<SceneDefinition> {
  const { $schema: _, ...contents } = await readObject(file)
  const { value, faults } = checkScene(contents)
  if (value !== undefined) return value
  throw new SdkError('SCENE_INVALID', `Cannot apply "${file}": ${faults.join('; ')}`, {
    hint: 'Mend the fields that the message names; "sdk schema" prints the schema, for completion in an editor.',
  })
}

async function readObject(file: string): Promise<Record<string, unknown>> {
  const parsed = await readJson(file, why => new SdkError('SCENE_INVALID', `Cannot apply "${file}": ${why}`, { hint: 'Mend the file.' }))
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>
  throw new SdkError('SCENE_INVALID', `Cannot apply "${file}": it is not a JSON object`, { hint: 'A file holds one scene.' })
}
