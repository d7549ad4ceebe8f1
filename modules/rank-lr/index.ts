/**
 * Ranks by the click probability of an L2-regularised logistic regression. `npm run train` writes the weights and prints how good they are.
 * What the model knows of items and users is in the feature tables `items-CAMPAIGN` and `users-CAMPAIGN` of the base.
 */
import type { Services, Stage } from '#sdk/author'
import { type Item, itemFeatures, type Scorer, scorer, sigmoid, type User, userFeatures } from './features.ts'
import weights from './weights.json' with { type: 'json' }

export interface Params {
  readonly campaign: string
}

/** The recall of the group has checked the shape. */
export interface Request {
  /** Goes before what the table says of the unit. */
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

/** Candidates with their features and `score`, the probability of a click when shown, highest first; equals keep their order. */
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

/** One call for all of them. An item that the table lacks is ranked by what is known of any item. */
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
