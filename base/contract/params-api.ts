/** Parameters of a scene and of its versions. */
import Type from 'typebox'
import type { Override as OverriddenParameter } from '../traffic/overrides.ts'
import { ArmName, ExperimentId, LayerId } from '../traffic/rules.ts'
import { Params, recordOf, VersionId } from '../traffic/schema.ts'
import { changed, closed, OptionalVersion, Reason, TokenId, TokenLabel, tried } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'
import { AskedValidation, OptionalReport } from './validation-api.ts'

export const NewParams = Type.Object(
  { params: Params, version: Type.Optional(VersionId), validation: AskedValidation, reason: Reason },
  closed,
)
export type NewParams = Shape<typeof NewParams>

export const ParamsRollback = Type.Object(
  {
    version: Type.Optional(VersionId),
    to: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'the revision of the change in the history after which the parameters were as they are to be',
      }),
    ),
    from: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'the revision of the change to undo, the last that is not undone; only a dry run may name neither, and says which that is',
      }),
    ),
    ...tried,
  },
  closed,
)
export type ParamsRollback = Shape<typeof ParamsRollback>

export const HistoryQuery = Type.Object(
  { limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'changes to answer' }) },
  closed,
)

export const Override = schemaOf<OverriddenParameter>()(
  Type.Object({
    ...{ parameter: Type.String(), layer: LayerId, experiment: ExperimentId, arms: Type.Array(ArmName) },
    share: Type.Number({ description: 'of the units, 0 to 1' }),
    isLimited: Type.Boolean({ description: 'only among units that fit conditions, or requests that certain versions answer' }),
  }),
)

export const ParamsView = Type.Object({
  params: Params,
  versions: recordOf(VersionId, Params, { description: 'what versions set over them' }),
  overrides: Type.Array(Override, { description: 'parameters that running experiments of layers set for some units, or for all' }),
  revision: Type.Integer(),
})
export type ParamsView = Shape<typeof ParamsView>

const beforeAndAfter = {
  version: Type.Union(OptionalVersion.anyOf, { description: "null: the scene's own" }),
  before: Params,
  after: Params,
}
export const ParamsHistoryEntry = Type.Object({
  ...{ revision: Type.Integer(), at: Type.String(), who: TokenId, whoLabel: TokenLabel, reason: Reason },
  ...beforeAndAfter,
  initial: Type.Optional(Type.Literal(true, { description: 'the scene was defined with them' })),
  to: Type.Optional(Type.Integer({ description: 'of a rollback: as they were after this revision; 0: before every change' })),
})
/** A change of parameters, as the history shows it. */
export type ParamsHistoryEntry = Shape<typeof ParamsHistoryEntry>

export const ParamsChange = changed({
  ...beforeAndAfter,
  warnings: Type.Array(Type.String(), {
    description: 'new parameters that no module has in its code, and parameters that running experiments override',
  }),
  validation: OptionalReport,
})
export type ParamsChange = Shape<typeof ParamsChange>

export const ParamsRolledBack = changed({
  ...beforeAndAfter,
  to: Type.Union([ParamsHistoryEntry, Type.Null()], { description: 'the change after which they were so; null: before every change' }),
  undoes: Type.Optional(Type.Object(ParamsHistoryEntry.properties, { description: 'the change that is undone; not given with "to"' })),
})
export type ParamsRolledBack = Shape<typeof ParamsRolledBack>
