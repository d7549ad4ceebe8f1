/**
 * Bernoulli Thompson sampling: each item gets a click rate drawn from its posterior, and the highest draw comes first. Items that were rarely shown
 * have wide posteriors, and so get their chance. `npm run train` writes the counts, which do not change until the module is published again.
 */
import type { Stage } from '@berth/sdk'
import { sampleBeta } from './beta.ts'
import counts from './counts.json' with { type: 'json' }

export interface Params {
  readonly campaign: string
}

interface Item {
  readonly itemId: number
}

interface Posterior {
  readonly alpha: number
  readonly beta: number
}

const { prior } = counts

const posteriors = new Map(
  Object.entries(counts.campaigns).map(([campaign, items]) => [
    campaign,
    new Map(
      items.map(({ itemId, clicks, impressions }): [number, Posterior] => [
        itemId,
        { alpha: prior.alpha + clicks, beta: prior.beta + impressions - clicks },
      ]),
    ),
  ]),
)

/** Adds `score`, the click rate drawn for this request, and sorts by it, highest first. The rate of an item without counts is drawn from the prior. */
export const rank: Stage<readonly Item[], (Item & { readonly score: number })[], { params: Params }> = (candidates, ctx) => {
  const byItem = posteriorsOf(ctx.params.campaign)
  const draw = ({ itemId }: Item): number => {
    const { alpha, beta } = byItem.get(itemId) ?? prior
    return sampleBeta(alpha, beta)
  }
  return candidates.map(candidate => ({ ...candidate, score: draw(candidate) })).sort((a, b) => b.score - a.score)
}

function posteriorsOf(campaign: string): ReadonlyMap<number, Posterior> {
  const found = posteriors.get(campaign)
  if (found) return found
  throw new Error(`Cannot rank: params.campaign must be one of ${[...posteriors.keys()].join(', ')}, got ${JSON.stringify(campaign)}`)
}
