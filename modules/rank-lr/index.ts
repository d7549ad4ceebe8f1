/** Ranks by the click probability of an L2-regularised logistic regression. `npm run train` writes the weights and prints how good they are. */
import type { Stage } from '#sdk/author'
import { type Item, itemFeatures, type Scorer, scorer, sigmoid, type User, userFeatures } from './features.ts'
import weights from './weights.json' with { type: 'json' }

export interface Params {
  readonly campaign: string
}

/** The recall of the group has checked the shape. */
export interface Request {
  readonly user?: User
}

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

/** Candidates with `score`, the probability of a click when shown, highest first; equals keep their order. */
export const rank: Stage<readonly Item[], (Item & { readonly score: number })[], Params, Request> = (candidates, ctx) => {
  const { intercept, logOdds } = modelOf(ctx.params.campaign)
  const { user = {} } = ctx.request
  const base = intercept + logOdds(userFeatures(user))
  return candidates
    .map(candidate => ({ ...candidate, score: sigmoid(base + logOdds(itemFeatures(candidate, user))) }))
    .sort((a, b) => b.score - a.score)
}

function modelOf(campaign: string): Model {
  const found = models.get(campaign)
  if (found) return found
  throw new Error(`Cannot rank: params.campaign must be one of ${[...models.keys()].join(', ')}, got ${JSON.stringify(campaign)}`)
}
