/** `sdk types`: what scenes take, answer and read, and what a base offers modules, as TypeScript. */
import { readFile, writeFile } from 'node:fs/promises'
import type { RulesView } from '../../../base/contract/whitelist-api.ts'
import { messageOf } from '../../../base/kernel/errors.ts'
import { FEATURES } from '../../../base/kernel/options.ts'
import { faultInSchema } from '../../../base/traffic/json-schema.ts'
import type { Params, SceneDefinition } from '../../../base/traffic/schema.ts'
import { exitCodes, SdkError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { readScene } from '../files/scene-file.ts'
import { createOutput } from '../terminal/output.ts'
import { type Offer, type TypedScene, typesOf } from '../views/generated-types.ts'

export interface TypesOptions {
  readonly json?: boolean
  /** The file to write. @default standard output */
  readonly out?: string
  /** Writes nothing, and fails when the file is not up to date. */
  readonly check?: boolean
  /** Declares what the base offers modules, also when scenes are read from files. */
  readonly services?: boolean
  /** Leaves out what only modules use, for callers, who may not have `@berth/sdk`. */
  readonly scenesOnly?: boolean
}

/**
 * @param files of scenes; without any, the scenes of the base
 * @param connect gives the base, which is asked for only when it is needed
 */
export async function types(
  files: readonly string[],
  { json = false, out: path, check, services, scenesOnly }: TypesOptions,
  connect: () => Promise<Context>,
): Promise<void> {
  if (check && path === undefined)
    throw usage('Cannot check: --check is about a file', 'Name it: sdk types scenes/*.json --out scenes.d.ts --check')
  if (services && scenesOnly) throw usage('Cannot write types: --services and --scenes-only exclude each other', 'Leave one of them out.')
  const context = files.length === 0 || services ? await connect() : undefined
  const scenes = context === undefined || files.length > 0 ? await Promise.all(files.map(readTyped)) : await scenesOfBase(context)
  const offer = context === undefined || scenesOnly ? undefined : await offerOf(context)
  const text = typesOf(scenes, offer)
  const out = createOutput(json)
  if (path === undefined) {
    out.result({ types: text })
    if (!json) process.stdout.write(text)
    return
  }
  const isUpToDate = (await readIfThere(path)) === text
  if (check && !isUpToDate) {
    const flags = [...(services ? ['--services'] : []), ...(scenesOnly ? ['--scenes-only'] : [])]
    throw stale(path, context === undefined ? 'the scenes' : context.client.base.origin, [...files, ...flags, '--out', path])
  }
  if (!isUpToDate) await write(path, text)
  const names = { scenes: scenes.map(({ id }) => id), ...(offer && namesIn(offer)) }
  out.result({ file: path, ...names, changed: !isUpToDate })
  const counts = Object.entries(names).map(([what, { length }]) => `${length} ${length === 1 ? what.replace(/s$/, '') : what}`)
  out.say(`${path}: ${isUpToDate ? 'up to date' : 'written'}, ${counts.join(', ')}`)
}

function stale(path: string, whose: string, args: readonly string[]): SdkError {
  const hint = `Run it without --check: sdk types ${args.join(' ')}`
  return new SdkError('TYPES_STALE', `The types in ${path} are not those of ${whose}`, { hint, exit: exitCodes.refused })
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    const hint = 'Name a file that can be written, in a folder that is there.'
    throw new SdkError('FILE_UNWRITABLE', `Cannot write "${path}": ${messageOf(error)}`, { hint })
  })
}

const namesIn = ({ services, tables }: Offer): Readonly<Record<string, readonly string[]>> => ({
  services: services.map(({ name }) => name),
  tables: tables.map(({ name }) => name),
})

/** @throws SdkError SCENE_INVALID, also for a schema that a base would refuse */
async function readTyped(file: string): Promise<TypedScene> {
  const scene = await readScene(file)
  for (const [part, schema] of Object.entries(scene.schemas ?? {})) {
    const fault = faultInSchema(schema)
    if (fault === undefined) continue
    throw new SdkError('SCENE_INVALID', `Cannot read "${file}": schemas.${part} cannot be used: ${fault}`, { hint: 'Mend the schema.' })
  }
  return { ...scene, params: scene.params ?? {} }
}

async function scenesOfBase({ client }: Context): Promise<TypedScene[]> {
  const scenes: TypedScene[] = []
  // One after the other: a base may have a thousand scenes, and has others to answer.
  for (const { definition } of await client.scenes()) {
    const [{ params, versions }, { rules }] = await Promise.all([client.params(definition.id), client.rules(definition.id)])
    scenes.push({ ...(definition as SceneDefinition), params, overrides: [...Object.values(versions), ...valuesOfArms(rules)] })
  }
  return scenes
}

/** What arms of experiments that are not over set over the parameters of their scene. */
function valuesOfArms({ layers }: RulesView['rules']): Params[] {
  const experiments = layers.flatMap(layer => (layer.state === 'live' ? layer.experiments : []))
  return experiments.flatMap(({ state, arms }) => (state === 'stopped' ? [] : arms.map(({ values }) => values)))
}

async function offerOf({ client }: Context): Promise<Offer> {
  const [services, tables] = await Promise.all([client.services(), client.featureTables()])
  // The types of this service come with the sdk.
  return { services: services.filter(({ name }) => name !== FEATURES), tables }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // A file that cannot be read cannot be up to date; to write it says why, if that fails too.
    return undefined
  }
}
