/** Versions of a scene: made, and given their part in answering. */
import Type from 'typebox'
import { Quarantine } from '../traffic/rules.ts'
import { Lock, ModuleRef, VersionId, VersionRecord } from '../traffic/schema.ts'
import {
  AppliedCells,
  CutoverShare,
  changed,
  closed,
  Movement,
  OptionalVersion,
  Reason,
  Share,
  Timings,
  TokenLabel,
  VersionKind,
} from './common-api.ts'
import type { Shape } from './shape.ts'

// Requests

export const NewVersion = Type.Object(
  {
    modules: Type.Optional(
      Type.Array(ModuleRef, { maxItems: 512, description: 'modules to replace, each with an exact version (a prerelease too) or a range' }),
    ),
    from: Type.Optional(VersionId),
    resolve: Type.Optional(Type.Boolean({ default: false, description: 'resolve the ranges of modules that are not named too' })),
    reuse: Type.Optional(
      Type.Boolean({ default: false, description: 'take a version that has exactly this lock instead of making another' }),
    ),
    label: Type.Optional(Type.String({ maxLength: 200 })),
    as: Type.Optional(
      Type.Union(VersionKind.anyOf, {
        description: 'what the version is for; every cell loads it first. Not given: dev, loaded on its first request',
      }),
    ),
    share: Type.Optional(Share),
    whitelist: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 1000,
        description: 'unit ids to send to it, in the same commit; those on the whitelist already move',
      }),
    ),
    reason: Reason,
  },
  closed,
)
export type NewVersion = Shape<typeof NewVersion>

export const Promotion = Type.Object(
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
export type Promotion = Shape<typeof Promotion>

export const LoadtestTarget = Type.Object({ version: OptionalVersion, reason: Reason }, closed)

// Answers

const named = Type.Object({ ...VersionRecord.properties, createdByLabel: TokenLabel })

export const VersionView = Type.Object({
  ...named.properties,
  kind: VersionKind,
  online: Type.Boolean(),
  uses: Type.Array(Type.String(), { description: 'what it is there for, in words' }),
  share: Type.Optional(Share),
  previous: Type.Optional(Type.Literal(true, { description: 'the previous baseline' })),
  quarantine: Type.Optional(Quarantine),
})
/** A version as it is shown. */
export type VersionView = Shape<typeof VersionView>

const parts = {
  kind: VersionKind,
  cutover: CutoverShare,
  previousBaseline: Type.Union(OptionalVersion.anyOf, { description: 'what a rollback goes back to when there is no cutover' }),
  moved: Type.Optional(Movement),
  warnings: Type.Array(Type.String(), { description: 'what is no longer possible' }),
  baseline: Type.Union(OptionalVersion.anyOf, { description: 'of the scene, afterwards' }),
}

export const PartChange = changed({ version: VersionId, ...parts })
/** What a change of the part of a version did: a promotion, a rollback, taking it offline or online. */
export type PartChange = Shape<typeof PartChange>

export const VersionChange = Type.Object({
  ...parts,
  created: Type.Boolean({ description: 'false: it was there already' }),
  switched: Type.Boolean({ description: 'whether this made it the baseline' }),
  version: named,
  lock: Lock,
  revision: Type.Integer({ description: 'of the scene, for If-Match' }),
  rulesRevision: Type.Integer({ description: 'of its rules, for If-Match' }),
  cells: AppliedCells,
  timings: Timings,
})
/** What making a version did. */
export type VersionChange = Shape<typeof VersionChange>

/** Why a version gets no requests. */
export type VersionQuarantine = Shape<typeof Quarantine>

export const LiftedQuarantine = changed({
  version: VersionId,
  quarantine: Type.Union([Quarantine, Type.Null()], { description: 'that was lifted; null: it was in none' }),
})
/** What lifting a quarantine did. */
export type LiftedQuarantine = Shape<typeof LiftedQuarantine>

export const LoadtestChange = changed({ loadtest: OptionalVersion })
export type LoadtestChange = Shape<typeof LoadtestChange>
