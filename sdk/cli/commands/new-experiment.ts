/**
 * `sdk experiment create`: an experiment as it is typed, or as a file has it. This is apart from the other commands because it needs the
 * schema library, which takes a fifth of a second to load.
 */

import Type, { type Static } from 'typebox'
import type { Reasoned } from '../../../base/contract/common-api.ts'
import type { NewExperiment } from '../../../base/contract/experiment-api.ts'
import { compileCheck } from '../../../base/kernel/check.ts'
import { Condition } from '../../../base/traffic/rules.ts'
import { Params, VersionId } from '../../../base/traffic/schema.ts'
import { SdkError } from '../../sdk-error.ts'
import { parseArms, parseCondition, parseShare, parseVersion, usage } from '../arguments.ts'
import type { Context } from '../context.ts'
import { readJson } from '../files/text.ts'
import { timed } from '../terminal/output.ts'
import { armHead, armRows, describeExperiment } from '../views/experiment-view.ts'

export interface CreateExperimentOptions extends Reasoned {
  readonly arm?: readonly string[]
  readonly segments?: string
  readonly where?: readonly string[]
  readonly unit?: 'unit' | 'request'
  readonly layer?: string
  /** Versions that a business experiment is for. */
  readonly only?: readonly string[]
  readonly description?: string
  readonly file?: string
}

export async function createExperiment(
  { client, out }: Context,
  scene: string,
  id: string,
  { file, reason, ...typed }: CreateExperimentOptions,
): Promise<void> {
  const experiment = file === undefined ? { id, ...parseOptions(typed) } : await readExperiment(file, id, typed)
  const [made, ms] = await timed(() => client.createExperiment(scene, { ...experiment, reason }))
  out.result(made)
  out.say(scene)
  if (made.changed) out.done('created', ms, describeExperiment(made.experiment))
  else out.say(`  ${describeExperiment(made.experiment)}, already: nothing was changed`)
  out.table(armHead, armRows(made.experiment))
  if (made.experiment.state === 'draft') out.next(`Nobody is in it yet. Start it: sdk experiment start ${scene} ${id}`)
}

type Typed = Omit<CreateExperimentOptions, 'file' | 'reason'>

function parseOptions({ arm = [], segments, where, unit, layer, only, description }: Typed): Omit<NewExperiment, 'id'> {
  if (arm.length === 0) {
    throw usage('Cannot make an experiment without arms', `Name them, as in --arm control=v3:50% --arm treatment=v4:50%, or give --file.`)
  }
  return {
    arms: parseArms(arm),
    ...{ unit, layer, description, versions: only?.map(parseVersion) },
    segments: segments === undefined ? undefined : parseShare(segments),
    where: where?.map(parseCondition),
  }
}

const closed = { additionalProperties: false } as const

/** An experiment as a file has it: shares are percentages, and conditions may be written as they are typed. */
const ExperimentFile = Type.Object(
  {
    id: Type.Optional(Type.String()),
    description: Type.Optional(Type.String()),
    layer: Type.Optional(Type.String()),
    unit: Type.Optional(Type.Union([Type.Literal('unit'), Type.Literal('request')])),
    segments: Type.Optional(Type.String()),
    where: Type.Optional(Type.Array(Type.Union([Type.String(), Condition]))),
    versions: Type.Optional(Type.Array(VersionId)),
    arms: Type.Array(
      Type.Object({ name: Type.String(), share: Type.String(), version: Type.Optional(VersionId), values: Type.Optional(Params) }, closed),
      { minItems: 1 },
    ),
  },
  closed,
)
const checkFile = compileCheck(ExperimentFile)

async function readExperiment(file: string, id: string, typed: Typed): Promise<NewExperiment> {
  const [given] = Object.entries(typed).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (given !== undefined) throw usage(`Cannot take --${given} with --file`, 'Say everything in the file, or everything in options.')
  const { segments, where, arms, ...rest } = await readFileOf(file)
  if (rest.id !== undefined && rest.id !== id) throw usage(`Cannot make "${id}" of "${file}": that is of "${rest.id}"`, 'Use one id.')
  return {
    ...rest,
    id,
    segments: segments === undefined ? undefined : parseShare(segments),
    where: where?.map(condition => (typeof condition === 'string' ? parseCondition(condition) : condition)),
    arms: arms.map(arm => ({ ...arm, share: parseShare(arm.share) })),
  }
}

async function readFileOf(file: string): Promise<Static<typeof ExperimentFile>> {
  const wrong = (why: string) =>
    new SdkError('EXPERIMENT_INVALID', `Cannot take "${file}" as an experiment: ${why}`, {
      hint: 'It is like { "segments": "40%", "arms": [{ "name": "control", "version": "v3", "share": "50%" }] }.',
    })
  const { value, faults } = checkFile(await readJson(file, wrong))
  if (faults !== undefined) throw wrong(faults.join('; '))
  return value
}
