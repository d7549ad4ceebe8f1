/** Published modules. */
import Type from 'typebox'
import { ModuleManifest, ModuleName, SemVer } from '../traffic/schema.ts'
import { closed, Timings, TokenId, TokenLabel } from './common-api.ts'
import type { Shape } from './shape.ts'

export const ModuleParams = Type.Object({ name: ModuleName, version: SemVer }, closed)
export const ModulesQuery = Type.Object({ name: Type.Optional(ModuleName) }, closed)
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
