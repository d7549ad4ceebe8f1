/**
 * Changes as values: what may be wished for, by the kind of the change. Everything that changes a base is one of them, and the audit log holds
 * them. They are part of the format of a data folder.
 */
import Type, { type Static } from 'typebox'
import { Evidence, Experiment, LayerId, SceneRules } from '../traffic/rules.ts'
import { Digest, ModuleManifest, ModuleRef, Params, Right, recordOf, SceneDefinition, VersionId, VersionRecord } from '../traffic/schema.ts'
import { CapsuleReading } from './capsule-api.ts'
import { OptionalVersion } from './common-api.ts'
import { Flip, NewExperiment } from './experiment-api.ts'
import { TableFormat } from './feature-api.ts'
import { ParamsHistoryEntry } from './params-api.ts'

import { AskedValidation } from './validation-api.ts'
import { NewVersion, Promotion, Rollback } from './version-api.ts'
import { WhitelistEntry } from './whitelist-api.ts'

const experiment = Type.Object({ experiment: Type.String() })
const version = Type.Object({ version: VersionId })
const versions = Type.Object({ versions: Type.Array(VersionId) })

/** Unit ids; the audit log keeps of many only how many there were. */
const Units = Type.Union([Type.Array(Type.String()), Type.Integer()], { description: 'unit ids, or how many there were' })
const UnitsByVersion = recordOf(VersionId, Units)

export const ParamsChange = Type.Omit(ParamsHistoryEntry, ['whoLabel'])
/** The parameters before and after a change of them, so that one can go back. */
export type ParamsChange = Static<typeof ParamsChange>

export const PastFlip = Type.Object({
  ...{ revision: Type.Integer(), before: Experiment, after: Experiment },
  ...{ at: Type.Optional(Type.String()), who: Type.Optional(Type.String()) },
})
/** A flip that was made: the experiment before and after it, and the revision at which it was made. */
export type PastFlip = Static<typeof PastFlip>

const SceneState = Type.Object({
  definition: SceneDefinition,
  baseline: OptionalVersion,
  rules: Type.Omit(SceneRules, ['whitelist']),
  whitelist: Type.Optional(WhitelistEntry),
  online: Type.Array(VersionId),
})

const ImportedScene = Type.Object(
  {
    scene: SceneState,
    versions: Type.Array(VersionRecord),
    params: Type.Array(ParamsChange, { description: 'what can still be gone back to, newest first' }),
    flips: Type.Array(PastFlip, { description: 'what can still be undone, newest first' }),
  },
  { description: 'a scene as it was when its data folder, whose audit log was of words, became one of changes' },
)

export const scenePayloads = {
  'import scene': ImportedScene,
  'define scene': Type.Object({ definition: SceneDefinition }),
  'create version': Type.Object({ ...Type.Omit(NewVersion, ['dryRun', 'reason']).properties, whitelist: Type.Optional(Units) }),
  'promote version': Type.Object({
    version: VersionId,
    to: Type.Optional(
      Type.Union(Promotion.properties.to.anyOf, {
        description: 'not given in rows of earlier releases: the next step, with a share to the cutover, from the cutover to the baseline',
      }),
    ),
    share: Promotion.properties.share,
    validation: Promotion.properties.validation,
  }),
  'roll back': Type.Object({
    from: Type.Optional(
      Type.Union(Rollback.properties.from.anyOf, { description: 'not given in rows of earlier releases: the cutover, else the baseline' }),
    ),
  }),
  'take version offline': version,
  'take versions offline': versions,
  'bring version online': version,
  'quarantine version': Type.Object({ version: VersionId, why: Type.String(), evidence: Type.Array(Evidence) }),
  'lift quarantine': version,
  'set load-test version': Type.Object({ version: OptionalVersion }),
  'edit whitelist': Type.Object({ add: Type.Optional(UnitsByVersion), remove: Type.Optional(Units) }),
  'replace whitelist': Type.Object({ version: Type.Optional(VersionId), units: UnitsByVersion }),
  'create experiment': Type.Omit(NewExperiment, ['reason']),
  'start experiment': experiment,
  'stop experiment': experiment,
  'flip experiment': Type.Object({ experiment: Type.String(), flip: Type.Omit(Flip, ['reason', 'dryRun']) }),
  'revert experiment': Type.Object({
    experiment: Type.String(),
    flip: Type.Optional(
      Type.Integer({
        description: 'the revision of the flip that is undone; not given in rows of earlier releases: the last one that stands',
      }),
    ),
  }),
  'create layer': Type.Object({ layer: LayerId, keys: Type.Array(Type.String()) }),
  'retire layer': Type.Object({ layer: Type.String() }),
  'set params': Type.Object({ version: OptionalVersion, params: Params, validation: AskedValidation }),
  'roll back params': Type.Object({
    version: OptionalVersion,
    to: Type.Optional(Type.Integer({ description: 'the change after which they were so' })),
    from: Type.Optional(
      Type.Integer({ description: 'the change that is undone; neither is given in rows of earlier releases: the last that stands' }),
    ),
  }),
  'delete versions': versions,
  'delete experiment': experiment,
  'delete layer': Type.Object({ layer: Type.String() }),
  'delete scene': Type.Object({
    evenIfCalled: Type.Optional(Type.Boolean({ description: 'whether it may have answered requests a moment ago' })),
  }),
} as const

const Suspect = Type.Object({
  scene: Type.String(),
  version: Type.String(),
  runningMs: Type.Number({ description: 'since its code began to run' }),
  isNamed: Type.Boolean({ description: 'whether the cell itself has named it as the cause' }),
  stage: Type.Optional(Type.String()),
  module: Type.Optional(Type.String()),
})
export const LostCell = Type.Object({
  at: Type.String({ description: 'ISO 8601, UTC' }),
  cell: Type.Integer(),
  pid: Type.Integer(),
  why: Type.String(),
  endedItself: Type.Boolean({ description: 'false: it had to be killed, so that what ran then need not be the cause' }),
  suspects: Type.Array(Suspect, { description: 'whose code ran then, those that are named first' }),
})
/** A cell that was lost to the code that it ran. */
export type LostCell = Static<typeof LostCell>

/** A release of Berth. */
export const ReleaseFacts = Type.Object({
  version: Type.String({ description: 'of Berth' }),
  digest: Type.Union([Type.String(), Type.Null()], {
    description: 'of its code: where it is the same, the code is; null when it could not be read',
  }),
  commit: Type.Union([Type.String(), Type.Null()], { description: 'of git, that the code is from; null when that is not known' }),
  modified: Type.Union([Type.Boolean(), Type.Null()], {
    description: 'whether the code differs from the commit; null when that is not known',
  }),
})

const token = Type.Object({ rights: Type.Array(Right), label: Type.String() })

/** The payloads of changes that are not of a scene. Those from `retire cell` on change nothing that is served: they leave a row in the audit log. */
export const basePayloads = {
  'publish module': Type.Object({ manifest: ModuleManifest }),
  'put feature table': Type.Object({ table: Type.String(), digest: Digest, format: TableFormat }),
  'roll back feature table': Type.Object({ table: Type.String(), digest: Digest }),
  'delete feature table': Type.Object({ table: Type.String() }),
  'delete modules': Type.Object({ modules: Type.Array(ModuleRef, { description: 'each as name@version' }) }),
  'create token': token,
  'revoke token': token,
  'retire cell': Type.Object({ cell: Type.Integer() }),
  'lose cell': LostCell,
  'upgrade base': Type.Object({
    id: Type.String({ description: 'of the upgrade' }),
    from: ReleaseFacts,
    to: ReleaseFacts,
    isDone: Type.Boolean({ description: 'false: the release from which it started serves on' }),
    why: Type.Optional(Type.String({ description: 'why it serves on' })),
  }),
  'take profile': Type.Object({
    scene: Type.String(),
    version: VersionId,
    profile: Type.Union([Type.Literal('cpu'), Type.Literal('heap')]),
  }),
  'read capsules': Type.Object({ scene: Type.String(), ...CapsuleReading.properties }),
  'import capsule': Type.Object({ scene: Type.String(), capsule: Type.String() }),
  'delete capsules': Type.Object({
    scene: Type.String(),
    of: Type.Union([Type.Literal('some'), Type.Literal('all'), Type.Literal('a unit'), VersionId], {
      description: 'which were asked for; the id of a unit is not kept',
    }),
    count: Type.Integer({ description: 'how many are gone' }),
  }),
  'limit guesses': Type.Object({
    address: Type.String({ description: 'from which so many requests had a token that is not known' }),
    port: Type.Union([Type.Literal('scene'), Type.Literal('control')]),
    isLast: Type.Boolean({
      description: 'whether there are as many of these rows in this hour as are kept: further addresses are only counted',
    }),
  }),
} as const

/** What is wished for, by the kind of the change of a scene. */
export type ScenePayloads = { readonly [K in keyof typeof scenePayloads]: Static<(typeof scenePayloads)[K]> }

/** What is wished for, by the kind of a change that is not of a scene. */
export type BasePayloads = { readonly [K in keyof typeof basePayloads]: Static<(typeof basePayloads)[K]> }

type Payloads = ScenePayloads & BasePayloads

/** A change by its kind and its payload. */
export type Change = { [K in keyof Payloads]: { readonly kind: K; readonly payload: Payloads[K] } }[keyof Payloads]

const changes = Object.entries({ ...scenePayloads, ...basePayloads }).map(([kind, payload]) =>
  Type.Object({ kind: Type.Literal(kind), payload }),
)
/** The type is made from the same table as the schema. The schema is too large for TypeScript to work out its own type. */
export const Change = Type.Unsafe<Change>(Type.Union(changes, { description: 'the change as a value' }))
