/** Published modules. */
import Type from 'typebox'
import { ModuleManifest, ModuleName, SemVer } from '../traffic/schema.ts'
import { closed, Timings, TokenId, TokenLabel, tried } from './common-api.ts'
import type { Shape } from './shape.ts'

export const ModuleParams = Type.Object({ name: ModuleName, version: SemVer }, closed)
export const ModulesQuery = Type.Object({ name: Type.Optional(ModuleName) }, closed)
export const ModuleNameParams = Type.Object({ name: ModuleName }, closed)
export const ModulesToDelete = Type.Object(
  {
    versions: Type.Optional(
      Type.Array(SemVer, { minItems: 1, maxItems: 10_000, description: 'all of them or none; every version if not given' }),
    ),
    unused: Type.Optional(Type.Boolean({ description: 'passes over what a version of a scene has in its lock, instead of refusing' })),
    publishedBefore: Type.Optional(Type.String({ format: 'date-time', description: 'only what was published before: ISO 8601, UTC' })),
    ...tried,
  },
  closed,
)
export type ModulesToDelete = Shape<typeof ModulesToDelete>

export const NewModule = Type.Object({ manifest: ModuleManifest }, closed)

export const Module = Type.Object({
  ...ModuleManifest.properties,
  publishedAt: Type.String({ description: 'ISO 8601, UTC' }),
  publishedBy: TokenId,
  publishedByLabel: TokenLabel,
  firstBaselineAt: Type.Optional(
    Type.String({ description: 'when a baseline of a scene first had it: ISO 8601, UTC; not given: none ever had' }),
  ),
})
export type Module = Shape<typeof Module>

export const PublishedModule = Type.Object({
  created: Type.Boolean({ description: 'false: the same version with the same bytes was there already' }),
  ...Module.properties,
  timings: Timings,
})
export type PublishedModule = Shape<typeof PublishedModule>

export const DeletedModules = Type.Object({
  versions: Type.Array(SemVer, { description: 'those that were deleted; those that had been deleted before are not among them' }),
})
export type DeletedModules = Shape<typeof DeletedModules>
