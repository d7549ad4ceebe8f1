/** Versions of a scene: made, and given their part in answering. */
import Type from 'typebox'
import { Quarantine } from '../traffic/rules.ts'
import { Lock, ModuleRef, VersionId, VersionRecord } from '../traffic/schema.ts'
import {
  AppliedCells,
  ChangeNote,
  CutoverShare,
  changed,
  closed,
  Movement,
  OptionalVersion,
  Share,
  Timings,
  TokenLabel,
  tried,
  VersionKind,
} from './common-api.ts'
import { Module } from './module-api.ts'
import type { Shape } from './shape.ts'
import { AskedValidation, OptionalReport } from './validation-api.ts'

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
    validation: AskedValidation,
    ...tried,
  },
  closed,
)
export type NewVersion = Shape<typeof NewVersion>

export const Promotion = Type.Object(
  {
    to: Type.Union([Type.Literal('cutover'), Type.Literal('baseline')], {
      description: 'the part that the version is to have; when it has it already, nothing changes',
    }),
    share: Type.Optional(
      Type.Union([Share], {
        description: 'of the units, for a cutover, in hundredths of a percent; the share that it has, or 1% if not given',
      }),
    ),
    validation: AskedValidation,
    ...tried,
  },
  closed,
)
export type Promotion = Shape<typeof Promotion>

export const Rollback = Type.Object(
  {
    from: Type.Union([VersionId], {
      description:
        'the version to go back from: its cutover ends, or the previous baseline takes its place; when it has neither part, nothing changes',
    }),
    ...tried,
  },
  closed,
)
export type Rollback = Shape<typeof Rollback>

export const VersionsToTidy = Type.Object(
  { versions: Type.Array(VersionId, { minItems: 1, maxItems: 1000, description: 'all of them or none' }), ...tried },
  closed,
)
/** Versions to take offline, or to delete. */
export type VersionsToTidy = Shape<typeof VersionsToTidy>

export const LoadtestTarget = Type.Object({ version: OptionalVersion, reason: tried.reason }, closed)

// Answers

const named = Type.Object({ ...VersionRecord.properties, createdByLabel: TokenLabel })

export const VersionView = Type.Object({
  ...named.properties,
  kind: VersionKind,
  online: Type.Boolean(),
  uses: Type.Array(Type.String(), { description: 'what it is there for, in words' }),
  share: Type.Optional(Share),
  previous: Type.Optional(Type.Literal(true, { description: 'the previous baseline' })),
  deletable: Type.Optional(Type.Literal(true, { description: 'it is offline, and nothing may come to use it again' })),
  quarantine: Type.Optional(Quarantine),
})
/** A version as it is shown. */
export type VersionView = Shape<typeof VersionView>

export const VersionDetail = Type.Object({
  ...VersionView.properties,
  modules: Type.Array(Module, { description: 'that it has in its lock, each once' }),
})
/** A version with what it is made of. */
export type VersionDetail = Shape<typeof VersionDetail>

const parts = {
  kind: VersionKind,
  cutover: CutoverShare,
  previousBaseline: Type.Union(OptionalVersion.anyOf, { description: 'what a rollback goes back to when there is no cutover' }),
  moved: Type.Optional(Movement),
  warnings: Type.Array(Type.String(), { description: 'what else whoever asked for the change should know' }),
  baseline: Type.Union(OptionalVersion.anyOf, { description: 'of the scene, afterwards' }),
}

const since = Type.Object(ChangeNote.properties, {
  description: 'the change that gave the version its part or took it away; only in dry runs, and when nothing changed',
})
export const PartChange = changed({ version: VersionId, ...parts, validation: OptionalReport, since: Type.Optional(since) })
/** What a change of the part of a version did: a promotion, a rollback, taking it offline or online. */
export type PartChange = Shape<typeof PartChange>

export const VersionChange = Type.Object({
  ...parts,
  created: Type.Boolean({ description: 'false: it was there already' }),
  switched: Type.Boolean({ description: 'whether this made it the baseline' }),
  version: named,
  retired: Type.Array(VersionId, { description: 'versions that nothing used, which went offline to make room' }),
  lock: Lock,
  validation: OptionalReport,
  changed: Type.Boolean({ description: 'false: everything was so already; of a dry run, whether anything would change' }),
  revision: Type.Integer({ description: 'of the scene, for If-Match' }),
  rulesRevision: Type.Integer({ description: 'of its rules, for If-Match' }),
  cells: AppliedCells,
  timings: Timings,
})
/** What making a version did. */
export type VersionChange = Shape<typeof VersionChange>

export const OfflineVersions = changed({
  versions: Type.Array(VersionId, { description: 'those that went offline' }),
  warnings: Type.Array(Type.String(), { description: 'what is no longer possible' }),
})
/** What taking versions offline did. */
export type OfflineVersions = Shape<typeof OfflineVersions>

export const DeletedVersions = changed({
  versions: Type.Array(VersionId, { description: 'those that were deleted; those that had been deleted before are not among them' }),
})
/** What deleting versions did. */
export type DeletedVersions = Shape<typeof DeletedVersions>

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
