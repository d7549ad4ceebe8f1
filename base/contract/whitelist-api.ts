/** The rules of a scene as a whole, and its whitelist. */
import Type from 'typebox'
import { SceneRules } from '../traffic/rules.ts'
import { Digest, recordOf, VersionId } from '../traffic/schema.ts'
import type { WhitelistEntry as KeptWhitelist } from '../traffic/table.ts'
import { changed, closed, Reason } from './common-api.ts'
import { type Shape, schemaOf } from './shape.ts'

export const WhitelistQuery = Type.Object(
  { version: Type.Optional(VersionId), reason: Reason },
  { ...closed, description: 'with a version, each line is a unit id alone, and only what that version has is replaced' },
)

const Units = Type.Array(Type.String(), { maxItems: 1000 })
export const WhitelistEdit = Type.Object(
  {
    add: Type.Optional(recordOf(VersionId, Units, { description: 'unit ids on the whitelist already move' })),
    remove: Type.Optional(Units),
    reason: Reason,
  },
  closed,
)
export type WhitelistEdit = Shape<typeof WhitelistEdit>

const counts = (description: string) => recordOf(VersionId, Type.Integer(), { description })
export const WhitelistEntry = schemaOf<KeptWhitelist>()(
  Type.Object({ digest: Digest, units: Type.Integer(), byVersion: counts('unit ids of each version') }),
)
const Whitelisted = Type.Union([WhitelistEntry, Type.Null()])

const { whitelist: _, ...rules } = SceneRules.properties
export const RulesView = Type.Object({
  rules: Type.Object(rules, { description: 'without the whitelist' }),
  whitelist: Whitelisted,
  revision: Type.Integer({ description: 'of the rules, for If-Match; 0: there are none yet' }),
  whitelistRevision: Type.Integer(),
})
export type RulesView = Shape<typeof RulesView>

export const WhitelistChange = changed({
  whitelist: Whitelisted,
  added: Type.Integer(),
  moved: counts('by the version that they were sent to before'),
  removed: Type.Integer(),
})
/** What a change of the whitelist did. A unit id that was already as asked counts nowhere. */
export type WhitelistChange = Shape<typeof WhitelistChange>
