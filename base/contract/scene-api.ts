/** Scenes: their definitions, and which versions have a part in answering. */
import Type from 'typebox'
import { type SceneDraft as Draft, SceneDefinition, VersionId } from '../traffic/schema.ts'
import { AppliedCells, CutoverShare, changed, closed, OptionalVersion, tried } from './common-api.ts'
import type { Plain, Shape } from './shape.ts'

/** A scene as it is written down. What has a default may be left out, at any depth. */
export type SceneDraft = Plain<Draft>

export const SceneView = Type.Object({
  definition: SceneDefinition,
  baseline: Type.Union(OptionalVersion.anyOf, { description: 'null until the first version is made the baseline' }),
  cutover: CutoverShare,
  loadtest: Type.Union(OptionalVersion.anyOf, { description: 'null: the baseline answers load tests' }),
  quarantined: Type.Optional(Type.Array(VersionId, { description: 'versions in quarantine; not given when there are none' })),
  revision: Type.Integer({ description: 'for If-Match' }),
})
/** A scene as it is shown. */
export type SceneView = Shape<typeof SceneView>

export const DefinedScene = Type.Object({ ...SceneView.properties, cells: AppliedCells })
/** What defining a scene did. */
export type DefinedScene = Shape<typeof DefinedScene>

export const SceneDeletion = Type.Object(
  {
    evenIfCalled: Type.Optional(Type.Boolean({ description: 'whether it may have answered requests a moment ago' })),
    ...tried,
  },
  closed,
)
export type SceneDeletion = Shape<typeof SceneDeletion>

export const DeletedScene = changed({
  scene: Type.String(),
  deleted: Type.Boolean({ description: 'false: it had been deleted before' }),
  versions: Type.Integer({ description: 'of the scene, which are deleted with it' }),
  online: Type.Integer({ description: 'of these versions' }),
  experiments: Type.Integer(),
  layers: Type.Integer(),
  units: Type.Integer({ description: 'on its whitelist' }),
})
/** What went with a scene. */
export type DeletedScene = Shape<typeof DeletedScene>
