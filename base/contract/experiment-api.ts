/** Experiments and layers of a scene. */
import Type from 'typebox'
import { ArmName, BusinessExperiment, CodeExperiment, Condition, ExperimentId, Layer, LayerId } from '../traffic/rules.ts'
import { Params, recordOf, VersionId } from '../traffic/schema.ts'
import { changed, closed, MovementOf, Ranges, Reason, Share, TokenId, TokenLabel, tried } from './common-api.ts'
import type { Shape } from './shape.ts'

// Requests

const amount = (description: string) =>
  Type.Optional(
    Type.Union([Share, Type.Array(Type.Tuple([Type.Integer(), Type.Integer()]), { maxItems: 256 })], {
      description: `${description}: so many buckets, or half-open ranges of them`,
    }),
  )
const meaning = { version: Type.Optional(VersionId), values: Type.Optional(Params) }
const NewArm = Type.Object(
  { name: ArmName, ...meaning, weight: amount('kept for the arm; its share if not given'), share: Type.Optional(Share) },
  { ...closed, description: 'with a version, or in a layer with values; share is what is in force of the weight, all if not given' },
)
export type NewArm = Shape<typeof NewArm>
const AddedArm = Type.Object(
  { name: ArmName, ...meaning, share: Type.Optional(Share) },
  { ...closed, description: 'share is what is in force, nothing if not given; it comes from what other arms do not use' },
)
const Where = Type.Array(Condition, { maxItems: 32, description: 'all must hold' })
const Unit = Type.Union([Type.Literal('unit'), Type.Literal('request')], { description: 'which id is hashed' })

export const NewExperiment = Type.Object(
  {
    id: ExperimentId,
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    layer: Type.Optional(LayerId),
    unit: Type.Optional(Unit),
    segments: amount("how much of the scene's or the layer's traffic; all if not given"),
    where: Type.Optional(Where),
    versions: Type.Optional(Type.Array(VersionId, { minItems: 1, maxItems: 64 })),
    arms: Type.Array(NewArm, { minItems: 1, maxItems: 32 }),
    reason: Reason,
  },
  closed,
)
/** An experiment as it is asked for: of versions, or with `layer` of values. */
export type NewExperiment = Shape<typeof NewExperiment>

export const Flip = Type.Object(
  {
    arms: Type.Optional(recordOf(ArmName, Share, { description: 'shares; arms not named keep theirs' })),
    drop: Type.Optional(Type.Array(ArmName, { maxItems: 32, uniqueItems: true })),
    add: Type.Optional(Type.Array(AddedArm, { maxItems: 32 })),
    set: Type.Optional(recordOf(ArmName, Type.Object(meaning, closed), { description: 'what arms mean' })),
    segments: amount('how much of the traffic'),
    where: Type.Optional(Where),
    unit: Type.Optional(Unit),
    newPhase: Type.Optional(
      Type.Union([Type.Boolean(), Type.Integer({ minimum: 1 })], {
        description: 'lets a new phase begin; by itself, begins one, or that of this number unless the experiment is in it already',
      }),
    ),
    ...tried,
  },
  closed,
)
/** A change of an experiment. All parts are made together. */
export type Flip = Shape<typeof Flip>

export const Revert = Type.Object(
  {
    flip: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'the revision of the flip to undo, so that the same request undoes no other; only a dry run may leave it out, and says which was the last',
      }),
    ),
    ...tried,
  },
  closed,
)
export type Revert = Shape<typeof Revert>

export const Deletion = Type.Object(tried, closed)
export type Deletion = Shape<typeof Deletion>

export const NewLayer = Type.Object({ id: LayerId, keys: Layer.properties.keys, reason: Reason }, closed)
export type NewLayer = Shape<typeof NewLayer>

// Answers

const ArmView = Type.Object({ share: Share, ranges: Ranges })
export type ArmView = Shape<typeof ArmView>
const ArmViews = recordOf(ArmName, ArmView, { description: 'what each arm has in force' })
/** The arms, by their names. */
export type ArmViews = Shape<typeof ArmViews>

const view = {
  layer: Type.Union([LayerId, Type.Null()]),
  traffic: Type.Union([Share], { description: 'of the units of the scene or the layer' }),
  inForce: ArmViews,
}
const ExperimentView = Type.Union([
  Type.Object({ ...CodeExperiment.properties, ...view }, { description: 'buckets of units sent to versions' }),
  Type.Object({ ...BusinessExperiment.properties, ...view }, { description: 'buckets of units given parameters' }),
])
/** An experiment as it is shown. */
export type ExperimentView = Shape<typeof ExperimentView>

export const Experiments = Type.Object({
  experiments: Type.Array(ExperimentView),
  layers: Type.Array(Layer),
  revision: Type.Integer({ description: 'of the rules' }),
})
export type Experiments = Shape<typeof Experiments>

export const ExperimentAt = Type.Intersect([ExperimentView, Type.Object({ revision: Type.Integer({ description: 'of the rules' }) })])
export type ExperimentAt = Shape<typeof ExperimentAt>

export const CreatedExperiment = changed({ experiment: ExperimentView })
export type CreatedExperiment = Shape<typeof CreatedExperiment>

export const Flipped = changed({
  experiment: ExperimentView,
  before: ArmViews,
  after: ArmViews,
  segments: Type.Object({ before: Ranges, after: Ranges }),
  moved: MovementOf,
  newPhase: Type.Array(Type.String(), { description: 'why a new phase begins; empty: none does' }),
  undoes: Type.Optional(
    Type.Object(
      {
        ...{ revision: Type.Integer(), at: Type.Optional(Type.String({ description: 'ISO 8601, UTC' })) },
        ...{ who: Type.Optional(TokenId), whoLabel: Type.Optional(TokenLabel) },
      },
      { description: 'of a revert: the flip that it undoes' },
    ),
  ),
})
/** What a flip did, or would do. */
export type Flipped = Shape<typeof Flipped>

export const LayerChange = changed({ layer: Layer })
export type LayerChange = Shape<typeof LayerChange>

const Deleted = Type.Boolean({ description: 'false: it had been deleted before' })

export const DeletedExperiment = changed({ experiment: Type.String(), deleted: Deleted })
export type DeletedExperiment = Shape<typeof DeletedExperiment>

export const DeletedLayer = changed({ layer: Type.String(), deleted: Deleted })
export type DeletedLayer = Shape<typeof DeletedLayer>
