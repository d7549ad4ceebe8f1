/** What the control API takes and answers about who answers in a scene, as `replies.ts`. */
import Type, { type Static, type TProperties, type TSchema } from 'typebox'
import type { ExperimentView, Flipped } from '../../change/experiments.ts'
import type { ParamsChange } from '../../change/parameters.ts'
import type { RulesRecord } from '../../store/records.ts'
import type { Explanation } from '../../traffic/explain.ts'
import { ArmName, Condition, ExperimentId, Layer, LayerId } from '../../traffic/rules.ts'
import { AttributeName, Digest, Params, recordOf, VersionId } from '../../traffic/schema.ts'
import type { WhitelistEntry } from '../../traffic/table.ts'
import { AppliedReply, placedMembers, Reason, Share, Timings } from './replies.ts'

const closed = { additionalProperties: false } as const
const id = Type.String({ description: 'of the scene' })

// Requests

export const VersionParams = Type.Object({ id, version: VersionId }, closed)
/** What is no id is not found. */
export const ExperimentParams = Type.Object({ id, experiment: Type.String({ maxLength: 128 }) }, closed)
export const LayerParams = Type.Object({ id, layer: Type.String({ maxLength: 128 }) }, closed)

export const ReasonBody = Type.Object({ reason: Reason }, closed)
export const PromoteBody = Type.Object(
  {
    to: Type.Optional(
      Type.Union([Type.Literal('cutover'), Type.Literal('baseline')], {
        description: 'the next step if not given: to the cutover, with another share to that, from the cutover to the baseline',
      }),
    ),
    share: Type.Optional(Share),
    reason: Reason,
  },
  closed,
)
export const LoadtestBody = Type.Object({ version: Type.Union([VersionId, Type.Null()]), reason: Reason }, closed)

const Units = Type.Array(Type.String(), { maxItems: 1000 })
export const WhitelistQuery = Type.Object(
  {
    version: Type.Optional(VersionId),
    reason: Reason,
  },
  { ...closed, description: 'with a version, each line is a unit id alone, and only what that version has is replaced' },
)
export const WhitelistEditBody = Type.Object(
  {
    add: Type.Optional(recordOf(VersionId, Units, { description: 'unit ids on the whitelist already move' })),
    remove: Type.Optional(Units),
    reason: Reason,
  },
  closed,
)

const AmountOf = (description: string) =>
  Type.Optional(
    Type.Union([Share, Type.Array(Type.Tuple([Type.Integer(), Type.Integer()]), { maxItems: 256 })], {
      description: `${description}: so many buckets, or half-open ranges of them`,
    }),
  )
const armMembers = { version: Type.Optional(VersionId), values: Type.Optional(Params) }
const NewArm = Type.Object(
  { name: ArmName, ...armMembers, weight: AmountOf('kept for the arm; its share if not given'), share: Type.Optional(Share) },
  { ...closed, description: 'with a version, or in a layer with values; share is what is in force of the weight, all if not given' },
)
const AddedArm = Type.Object(
  { name: ArmName, ...armMembers, share: Type.Optional(Share) },
  { ...closed, description: 'share is what is in force, nothing if not given; it comes from what other arms do not use' },
)
const Where = Type.Array(Condition, { maxItems: 32, description: 'all must hold' })
const Unit = Type.Union([Type.Literal('unit'), Type.Literal('request')], { description: 'which id is hashed' })
export const NewExperimentBody = Type.Object(
  {
    id: ExperimentId,
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    layer: Type.Optional(LayerId),
    unit: Type.Optional(Unit),
    segments: AmountOf("how much of the scene's or the layer's traffic; all if not given"),
    where: Type.Optional(Where),
    versions: Type.Optional(Type.Array(VersionId, { minItems: 1, maxItems: 64 })),
    arms: Type.Array(NewArm, { minItems: 1, maxItems: 32 }),
    reason: Reason,
  },
  closed,
)
export const FlipBody = Type.Object(
  {
    arms: Type.Optional(recordOf(ArmName, Share, { description: 'shares; arms not named keep theirs' })),
    drop: Type.Optional(Type.Array(ArmName, { maxItems: 32, uniqueItems: true })),
    add: Type.Optional(Type.Array(AddedArm, { maxItems: 32 })),
    set: Type.Optional(recordOf(ArmName, Type.Object(armMembers, closed), { description: 'what arms mean' })),
    segments: AmountOf('how much of the traffic'),
    where: Type.Optional(Where),
    unit: Type.Optional(Unit),
    newPhase: Type.Optional(Type.Boolean({ description: 'lets a new phase begin; by itself, begins one' })),
    dryRun: Type.Optional(Type.Boolean({ description: 'says what it would come to, and changes nothing' })),
    reason: Reason,
  },
  closed,
)
export const RevertBody = Type.Object({ dryRun: Type.Optional(Type.Boolean()), reason: Reason }, closed)
export const LayerBody = Type.Object({ id: LayerId, keys: Layer.properties.keys, reason: Reason }, closed)
export const ParamsBody = Type.Object({ params: Params, version: Type.Optional(VersionId), reason: Reason }, closed)
export const ParamsRollbackBody = Type.Object(
  {
    version: Type.Optional(VersionId),
    to: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'the revision of a change in the history; what was before the last that is not undone if not given',
      }),
    ),
    reason: Reason,
  },
  closed,
)
export const HistoryQuery = Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }) }, closed)
export const ExplainBody = Type.Object(
  {
    unit: Type.Optional(Type.String()),
    pin: Type.Optional(VersionId),
    loadtest: Type.Optional(Type.Boolean({ default: false })),
    requestId: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'a random one if not given' })),
    attributes: Type.Optional(recordOf(AttributeName, Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
  },
  closed,
)

// Answers

/** As a type says it better than a schema, which is for readers. */
const told = <T>(schema: TSchema) => Type.Unsafe<T>(schema)
const applied = {
  revision: Type.Integer({ description: 'afterwards, for If-Match; 0: there is nothing yet' }),
  cells: AppliedReply,
  timings: Timings,
}
const written = <T extends TProperties>(members: T) => Type.Object({ ...members, ...applied })

const Experiment = told<ExperimentView>(Type.Object({}, { description: 'the experiment, with its layer and what each arm has in force' }))
const Arms = Type.Record(Type.String(), Type.Object({ share: Share, ranges: Type.Array(Type.Tuple([Type.Integer(), Type.Integer()])) }))
const Ranges = Type.Array(Type.Tuple([Type.Integer(), Type.Integer()]))

export const PlacedReply = written({ version: VersionId, baseline: Type.Union([VersionId, Type.Null()]), ...placedMembers })
export const LoadtestReply = written({ loadtest: Type.Union([VersionId, Type.Null()]) })
const WhitelistState = Type.Union([
  Type.Null(),
  told<WhitelistEntry>(Type.Object({ digest: Digest, units: Type.Integer(), byVersion: Type.Record(VersionId, Type.Integer()) })),
])
export const RulesReply = Type.Object({
  rules: told<RulesRecord>(Type.Object({}, { description: 'without the whitelist' })),
  whitelist: WhitelistState,
  revision: Type.Integer({ description: 'of the rules, for If-Match; 0: there are none yet' }),
  whitelistRevision: Type.Integer(),
})
export const WhitelistReply = written({
  whitelist: WhitelistState,
  added: Type.Integer(),
  moved: told<Readonly<Record<string, number>>>(
    Type.Record(VersionId, Type.Integer(), { description: 'by the version they were sent to before' }),
  ),
  removed: Type.Integer(),
})
export const ExperimentsReply = Type.Object({
  experiments: told<readonly ExperimentView[]>(Type.Array(Experiment)),
  layers: Type.Array(Layer),
  revision: Type.Integer({ description: 'of the rules' }),
})
export const ExperimentReply = told<ExperimentView & { readonly revision: number }>(Experiment)
export const NewExperimentReply = written({ experiment: Experiment })
export const FlipReply = told<Flipped & Static<ReturnType<typeof written<Record<never, never>>>>>(
  written({
    experiment: Experiment,
    before: Arms,
    after: Arms,
    segments: Type.Object({ before: Ranges, after: Ranges }),
    moved: Type.Object(
      {
        entering: Type.Number(),
        leaving: Type.Number(),
        switching: Type.Number(),
        moved: Type.Number(),
        of: Type.Number(),
        share: Type.Number(),
      },
      { description: 'units of the scene or the layer, out of `of`; exact' },
    ),
    newPhase: Type.Array(Type.String(), { description: 'why a new phase begins; empty: none does' }),
  }),
)
export const LayerReply = written({ layer: Layer })
export const ParamsReply = Type.Object({ params: Params, versions: Type.Record(VersionId, Params), revision: Type.Integer() })
const paramsMembers = { version: Type.Union([VersionId, Type.Null()]), before: Params, after: Params }
const ParamsHistoryEntry = told<ParamsChange>(
  Type.Object({
    ...{ revision: Type.Integer(), at: Type.String(), who: Type.String(), reason: Reason },
    ...paramsMembers,
    initial: Type.Optional(Type.Literal(true, { description: 'the scene was defined with them' })),
    to: Type.Optional(Type.Integer({ description: 'of a rollback: as they were after this revision; 0: before every change' })),
  }),
)
export const ParamsChangeReply = written({
  ...paramsMembers,
  warnings: Type.Array(Type.String(), { description: 'new parameters that no module has in its code' }),
})
export const ParamsRollbackReply = written({ ...paramsMembers, to: Type.Union([ParamsHistoryEntry, Type.Null()]) })
export const ParamsHistoryReply = Type.Array(ParamsHistoryEntry)
export const ExplainReply = told<Explanation>(Type.Object({}, { description: 'the decision, and what each rule that was asked said' }))
