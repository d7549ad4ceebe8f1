/** What several resources of the control API have in common. */
import Type, { type TProperties } from 'typebox'
import type { Movement as MovedUnits } from '../traffic/flip.ts'
import { BUCKETS } from '../traffic/hash.ts'
import type { VersionKind as KindOfVersion } from '../traffic/rules.ts'
import { VersionId } from '../traffic/schema.ts'
import { type Shape, schemaOf } from './shape.ts'

/** Schemas of requests allow no members but those described. */
export const closed = { additionalProperties: false } as const

/** The schema checks no syntax: a text that is no id of a scene is not found, or is refused with the definition of the scene. */
const sceneId = Type.String({ description: 'id of a scene' })
export const SceneParams = Type.Object({ id: sceneId }, closed)
export const VersionParams = Type.Object({ id: sceneId, version: VersionId }, closed)
export const ExperimentParams = Type.Object(
  { id: sceneId, experiment: Type.String({ maxLength: 128, description: 'id of an experiment' }) },
  closed,
)
export const LayerParams = Type.Object({ id: sceneId, layer: Type.String({ maxLength: 128, description: 'id of a layer' }) }, closed)

const Etag = Type.String({
  pattern: '^"(0|[1-9][0-9]{0,14})"$',
  description: 'the revision that was read, in quotes, as the ETag header had it',
})
export const IfMatch = Type.Object({ 'if-match': Type.Optional(Etag) })
export const IfMatchOrNone = Type.Object({
  'if-match': Type.Optional(Etag),
  'if-none-match': Type.Optional(Type.Literal('*', { description: 'the scene must not be defined yet' })),
})
/** Every write may have one. */
export const IdempotencyKey = Type.String({
  pattern: '^[\\x20-\\x7e]{1,200}$',
  description: 'chosen at random for one write, and sent again with it when the connection breaks before the answer',
})

export const Reason = Type.Optional(Type.String({ maxLength: 1000, description: 'for the audit log' }))
export const Reasoned = Type.Object({ reason: Reason }, closed)
const DryRun = Type.Optional(Type.Boolean({ description: 'says what it would come to, and changes nothing' }))
/** What a request has besides its wish when it may be tried first. */
export const tried = { dryRun: DryRun, reason: Reason }
export const Tried = Type.Object(tried, closed)
/** Why a change is made, and whether it is only tried. */
export type Tried = Shape<typeof Tried>
/** Why the change is made, for the audit log. */
export type Reasoned = Shape<typeof Reasoned>

export const Share = Type.Integer({ minimum: 0, maximum: BUCKETS, description: 'hundredths of a percent' })
/** A number of buckets, which are hundredths of a percent: 0 to 10,000. */
export type Share = Shape<typeof Share>

export const Ranges = Type.Array(Type.Tuple([Type.Integer(), Type.Integer()]), { description: 'half-open ranges of buckets, [from, to)' })

export const VersionKind = schemaOf<KindOfVersion>()(
  Type.Union([Type.Literal('dev'), Type.Literal('cutover'), Type.Literal('baseline'), Type.Literal('loadtest')], {
    description: 'what a version is for',
  }),
)
export type VersionKind = Shape<typeof VersionKind>

export const OptionalVersion = Type.Union([VersionId, Type.Null()])
export const CutoverShare = Type.Union([Type.Object({ version: VersionId, share: Share }), Type.Null()])

const movedUnits = {
  entering: Type.Number(),
  leaving: Type.Number(),
  switching: Type.Number({ description: 'from one arm to another, or to another meaning of the same arm' }),
  moved: Type.Number({ description: 'the three together' }),
}
export const Movement = schemaOf<MovedUnits>()(Type.Object(movedUnits, { description: 'units of the scene that move, out of 10^12' }))
export type Movement = Shape<typeof Movement>
export const MovementOf = Type.Object(
  { ...movedUnits, of: Type.Number(), share: Type.Number({ description: '`moved` out of `of`, 0 to 1' }) },
  { description: 'units of the scene or the layer that move, out of `of`; exact' },
)

export const Timings = Type.Record(Type.String(), Type.Number(), { description: 'milliseconds of each step' })
/** Milliseconds of each step in the base, by names such as `trialMs`. */
export type Timings = Shape<typeof Timings>

export const AppliedCells = Type.Object(
  { applied: Type.Integer(), connected: Type.Integer() },
  { description: 'cells that have the change in force, of those connected' },
)
export type AppliedCells = Shape<typeof AppliedCells>

const applied = {
  changed: Type.Boolean({ description: 'false: everything was so already; of a dry run, whether anything would change' }),
  revision: Type.Integer({ description: 'afterwards, for If-Match; 0: there is nothing yet' }),
  cells: AppliedCells,
  timings: Timings,
}
/** The answer to a change of who answers in a scene: what it did, and how far it is in force. */
export const changed = <Members extends TProperties>(members: Members) => Type.Object({ ...members, ...applied })
const Applied = changed({})
export type Applied = Shape<typeof Applied>

/** Who did something. */
export const TokenId = Type.String({ description: 'id of the token, or base' })
export const TokenLabel = Type.String({ description: 'label of that token, also when it was revoked since; the id where there is none' })
export const ChangeNote = Type.Object({
  ...{ revision: Type.Integer(), at: Type.String({ description: 'ISO 8601, UTC' }), who: TokenId, whoLabel: TokenLabel, reason: Reason },
  action: Type.String({ description: 'what it came to: a verb and a noun, such as "set baseline"' }),
})
/** An earlier change: when it was made, by whom and why. */
export type ChangeNote = Shape<typeof ChangeNote>
