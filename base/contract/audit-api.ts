/** The audit log: who changed what, when and why. */
import Type from 'typebox'
import { Change } from './change-api.ts'
import { closed, Reason, TokenId, TokenLabel } from './common-api.ts'
import type { Shape } from './shape.ts'

export const AuditQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'rows to answer' }),
    scene: Type.Optional(Type.String({ maxLength: 128, description: 'only what was done to this scene' })),
    before: Type.Optional(Type.Integer({ minimum: 1, description: 'only commits before this revision: the last one of the page before' })),
  },
  closed,
)

export const AuditEntry = Type.Object({
  revision: Type.Integer(),
  at: Type.String({ description: 'ISO 8601, UTC' }),
  who: TokenId,
  whoLabel: TokenLabel,
  change: Type.Union([Change, Type.Null()], { description: 'null: the row was written before changes were kept as values' }),
  action: Type.String({ description: 'what it came to: a verb and a noun, such as "set baseline"' }),
  target: Type.String({ description: 'what it was done to: a scene, a token, a cell, a module or a feature table' }),
  reason: Reason,
  key: Type.Optional(Type.String({ description: 'the Idempotency-Key of its request' })),
  before: Type.Unknown({ description: 'any JSON: how that was; null for nothing' }),
  after: Type.Unknown({ description: 'any JSON: how that is' }),
})
export type AuditEntry = Shape<typeof AuditEntry>
