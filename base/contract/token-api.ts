/** Tokens: who may do what. */
import Type from 'typebox'
import { Right } from '../traffic/schema.ts'
import { AppliedCells, closed, TokenId, TokenLabel } from './common-api.ts'
import type { Shape } from './shape.ts'

export const TokenParams = Type.Object({ id: Type.String({ maxLength: 100, description: 'id of a token' }) }, closed)

export const NewToken = Type.Object(
  {
    rights: Type.Array(Right, { minItems: 1, uniqueItems: true }),
    label: Type.String({ minLength: 1, maxLength: 200, description: 'whose it is or what for' }),
  },
  closed,
)

export const TokenView = Type.Object({
  id: Type.String(),
  label: Type.String(),
  rights: Type.Array(Right),
  createdAt: Type.String(),
  createdBy: TokenId,
  createdByLabel: TokenLabel,
})
/** A token without its secret. */
export type TokenView = Shape<typeof TokenView>

export const CreatedToken = Type.Object({
  ...TokenView.properties,
  token: Type.String({ description: 'the secret; answered this once, kept nowhere' }),
})
export type CreatedToken = Shape<typeof CreatedToken>

export const RevokedToken = Type.Object({ id: Type.String(), cells: AppliedCells })
export type RevokedToken = Shape<typeof RevokedToken>
