/**
 * Ranks by the click probability that an L2-regularised logistic regression predicts. `npm run train` writes the weights and prints how good they
 * are. The features of items and users are in the feature tables `items-CAMPAIGN` and `users-CAMPAIGN` of the base.
 */
import type { Services, Stage } from '@berth/sdk'
import { type Item, itemFeatures, type Scorer, scorer, sigmoid, type User, userFeatures } from './features.ts'
import weights from './weights.json' with { type: 'json' }

export interface Params {
  readonly campaign: string
}

/** The body of the request. The recall stage of the group has checked its shape. */
export interface Request {
  /** Replaces what the table says about the unit. */
  readonly user?: User
}

export type Candidate = Pick<Item, 'itemId'>

interface Model {
  readonly intercept: number
  readonly logOdds: Scorer
}

const models = new Map(
  Object.entries(weights).map(([campaign, trained]): [string, Model] => [
    campaign,
    { intercept: trained.intercept, logOdds: scorer(trained) },
  ]),
)

interface Uses {
  params: Params
  services: 'features'
  request: Request
}

/** Adds features and `score`, the probability of a click when shown, and sorts by it, highest first. Equal candidates keep their order. */
export const rank: Stage<readonly Candidate[], (Item & { readonly score: number })[], Uses> = async (candidates, ctx) => {
  const { campaign } = ctx.params
  const { intercept, logOdds } = modelOf(campaign)
  const { features } = ctx.services
  const [items, user] = await Promise.all([
    readItems(features, campaign, candidates),
    ctx.request.user ?? readUser(features, campaign, ctx.unit),
  ])
  const base = intercept + logOdds(userFeatures(user))
  return items.map(item => ({ ...item, score: sigmoid(base + logOdds(itemFeatures(item, user))) })).sort((a, b) => b.score - a.score)
}

/** Reads the features of all candidates with one call. An item that is not in the table is ranked without features. */
async function readItems(features: Services['features'], campaign: string, candidates: readonly Candidate[]): Promise<Item[]> {
  const ids = candidates.map(({ itemId }) => itemId)
  const rows = await features.getMany<Omit<Item, 'itemId'>>(`items-${campaign}`, ids)
  return ids.map((itemId, index) => ({ itemId, numeric: rows[index]?.numeric ?? 0, hashed: rows[index]?.hashed ?? [] }))
}

async function readUser(features: Services['features'], campaign: string, unit: string | undefined): Promise<User> {
  return (unit === undefined ? undefined : await features.get<User>(`users-${campaign}`, unit)) ?? {}
}

function modelOf(campaign: string): Model {
  const found = models.get(campaign)
  if (found) return found
  throw new Error(`Cannot rank: params.campaign must be one of ${[...models.keys()].join(', ')}, got ${JSON.stringify(campaign)}`)
}
