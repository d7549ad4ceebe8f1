/** Recalls every item of the campaign as a candidate, since the catalogue is small enough to be ranked whole. */
import type { Stage, StageContext } from '@berth/sdk'
import items from './items.json' with { type: 'json' }

/** A candidate is only an id. The features of the item are in the feature tables of the base, where the ranking stage reads them. */
export interface Candidate {
  readonly itemId: number
}

export interface Body {
  readonly user?: {
    /** `user_feature_0` to `user_feature_3`, hashed as in the logs. A value that is not in the logs is allowed and has no effect. */
    readonly features?: readonly string[]
    /** Past clicks of this user by item id; an item that is not listed has none. */
    readonly affinity?: Readonly<Record<string, number>>
  }
  /** Ids of items that must not be shown, such as those already bought. Ids that the campaign does not have are ignored. */
  readonly exclude?: readonly number[]
}

export interface Params {
  readonly campaign: string
}

/** A larger number of clicks is a mistake of the caller, and the sum of such numbers might be infinite. */
const CLICKS_MAX = 1_000_000

// Stages pass values by reference, and all requests share this table. A frozen candidate makes a stage that writes to it throw, instead of changing
// the answers of later requests.
const candidateOf = (itemId: number): Candidate => Object.freeze({ itemId })
const catalogue = new Map(Object.entries(items).map(([campaign, ids]) => [campaign, ids.map(candidateOf)]))

interface Uses {
  params: Params
}
type Context = StageContext<Uses>

/**
 * Rejects a body with BODY_UNFIT and the part of it that does not fit.
 * @throws Error for a campaign without items
 */
export const recall: Stage<unknown, Candidate[], Uses> = (input, ctx) => {
  const { exclude = [] } = checkBody(input, ctx)
  const excluded = new Set(exclude)
  return itemsOf(ctx.params.campaign).filter(item => !excluded.has(item.itemId))
}

/** All items of a campaign, frozen. */
export function itemsOf(campaign: string): readonly Candidate[] {
  const found = catalogue.get(campaign)
  if (found) return found
  throw new Error(`Cannot recall items: params.campaign must be one of ${[...catalogue.keys()].join(', ')}, got ${show(campaign)}`)
}

function checkBody(input: unknown, ctx: Context): Body {
  if (!isRecord(input)) refuse(ctx, 'the body must be an object such as {"user": {"features": [...]}}', input)
  const { user, exclude } = input
  if (user !== undefined) checkUser(user, ctx)
  if (exclude !== undefined && !(Array.isArray(exclude) && exclude.every(isItemId)))
    refuse(ctx, 'exclude must be a list of item ids', exclude)
  return input
}

function checkUser(user: unknown, ctx: Context): void {
  if (!isRecord(user)) refuse(ctx, 'user must be an object', user)
  const { features, affinity } = user
  const fourStrings = Array.isArray(features) && features.length === 4 && features.every(value => typeof value === 'string')
  if (features !== undefined && !fourStrings) refuse(ctx, 'user.features must be a list of 4 strings', features)
  if (affinity === undefined) return
  if (!isRecord(affinity)) refuse(ctx, 'user.affinity must be an object of past clicks by item id', affinity)
  for (const [itemId, clicks] of Object.entries(affinity)) {
    if (!/^\d+$/.test(itemId)) refuse(ctx, 'user.affinity must have item ids as its keys', itemId)
    const possible = typeof clicks === 'number' && clicks >= 0 && clicks <= CLICKS_MAX
    if (!possible) refuse(ctx, `user.affinity["${itemId}"] must be a number of clicks from 0 to ${CLICKS_MAX}`, clicks)
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isItemId = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0

function refuse(ctx: Context, expected: string, got: unknown): never {
  return ctx.reject('BODY_UNFIT', `Cannot recall items: ${expected}, got ${show(got)}`)
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
