/** `sdk types`: the TypeScript types of what scenes take and answer, from their schemas. */
import { readFile, writeFile } from 'node:fs/promises'
import { messageOf } from '../../../base/kernel/errors.ts'
import { faultInSchema } from '../../../base/traffic/json-schema.ts'
import type { SceneDefinition } from '../../../base/traffic/schema.ts'
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { createOutput } from '../terminal/output.ts'
import { typesOf } from '../views/schema-types.ts'
import { readScene } from './scene.ts'

export interface TypesOptions {
  readonly json?: boolean
  /** The file to write. @default standard output */
  readonly out?: string
  /** Writes nothing, and fails when the file is not up to date. */
  readonly check?: boolean
}

/**
 * @param files of scenes; without any, the scenes of the base
 * @param connect gives the base, which is asked for only when it is needed
 */
export async function types(
  files: readonly string[],
  { json = false, out: path, check }: TypesOptions,
  connect: () => Promise<Context>,
): Promise<void> {
  if (check && path === undefined)
    throw usage('Cannot check: --check is about a file', 'Name it: sdk types scenes/*.json --out scenes.d.ts --check')
  const scenes = files.length > 0 ? await Promise.all(files.map(readTyped)) : await scenesOfBase(await connect())
  const text = typesOf(scenes)
  const out = createOutput(json)
  if (path === undefined) {
    out.result({ types: text })
    if (!json) process.stdout.write(text)
    return
  }
  const isUpToDate = (await readIfThere(path)) === text
  if (check && !isUpToDate) {
    const hint = `Run it without --check: sdk types ${[...files, '--out', path].join(' ')}`
    throw new SdkError('TYPES_STALE', `The types in ${path} are not those of the scenes`, { hint, exit: exitCodes.refused })
  }
  if (!isUpToDate) {
    await writeFile(path, text).catch((error: unknown) => {
      const hint = 'Name a file that can be written, in a folder that is there.'
      throw new SdkError('FILE_UNWRITABLE', `Cannot write "${path}": ${messageOf(error)}`, { hint })
    })
  }
  out.result({ file: path, scenes: scenes.map(({ id }) => id), changed: !isUpToDate })
  out.say(`${path}: ${isUpToDate ? 'up to date' : 'written'}, ${scenes.length} ${scenes.length === 1 ? 'scene' : 'scenes'}`)
}

/** @throws SdkError SCENE_INVALID, also for a schema that a base would refuse */
async function readTyped(file: string): Promise<SceneDefinition> {
  const scene = await readScene(file)
  for (const [part, schema] of Object.entries(scene.schemas ?? {})) {
    const fault = faultInSchema(schema)
    if (fault === undefined) continue
    throw new SdkError('SCENE_INVALID', `Cannot read "${file}": schemas.${part} cannot be used: ${fault}`, { hint: 'Mend the schema.' })
  }
  return scene
}

async function scenesOfBase({ client }: Context): Promise<SceneDefinition[]> {
  return (await client.scenes()).map(({ definition }) => definition as SceneDefinition)
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // A file that cannot be read cannot be up to date; to write it says why, if that fails too.
    return undefined
  }
}
