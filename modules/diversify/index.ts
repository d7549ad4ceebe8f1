/**
 * Fills the places of the answer one by one, each with the candidate of the highest maximal marginal relevance (J. Carbonell and J. Goldstein, "The
 * Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries", SIGIR 1998):
 *
 *   (1 - diversity) · relevance(i) - diversity · max over the chosen items j of similarity(i, j)
 *
 * Relevance is the score, scaled to 0…1 over the candidates. Similarity is the share of hashed features that are equal.
 */
import type { Stage } from '@berth/sdk'

export interface Scored {
  readonly itemId: number
  /** Hashed features. Two items without features are not similar. */
  readonly hashed?: readonly string[]
  readonly score: number
  readonly propensity?: number
}

export interface Params {
  /** How many items the answer has. @default 3 */
  readonly topK?: number
  /** From 0, which keeps the order by score, to 1, which considers only how different items are. @default 0.3 */
  readonly diversity?: number
}

export interface Answer {
  readonly items: readonly Shown[]
  /** How many items there were to choose from. */
  readonly candidates: number
  readonly diversity: number
}

export interface Shown {
  readonly itemId: number
  readonly score: number
  /** The position in the answer, from 1. */
  readonly position: number
  /** Given only when `diversity` is 0, because reordering would make it wrong. */
  readonly propensity?: number
}

/** The answer to the caller. Fewer candidates give a shorter answer; of two equal candidates the earlier one comes first. */
export const rerank: Stage<readonly Scored[], Answer, { params: Params }> = (candidates, { params }) => {
  const { topK, diversity } = checkParams(params)
  const chosen = selectDiverse(candidates, topK, diversity)
  return { items: chosen.map((item, index) => toShown(item, index + 1, diversity)), candidates: candidates.length, diversity }
}

interface Contender {
  readonly item: Scored
  readonly relevance: number
  /** Similarity to the most similar item that has been chosen. */
  nearest: number
}

function selectDiverse(candidates: readonly Scored[], slots: number, diversity: number): Scored[] {
  const relevance = relevanceAmong(candidates)
  const rest = candidates.map((item): Contender => ({ item, relevance: relevance(item.score), nearest: 0 }))
  const chosen: Scored[] = []
  while (chosen.length < slots) {
    const [best] = rest.splice(indexOfBest(rest, diversity), 1)
    if (!best) break
    chosen.push(best.item)
    for (const contender of rest) contender.nearest = Math.max(contender.nearest, similarity(contender.item, best.item))
  }
  return chosen
}

function indexOfBest(contenders: readonly Contender[], diversity: number): number {
  let bestIndex = 0
  let bestValue = -Infinity
  for (const [index, { relevance, nearest }] of contenders.entries()) {
    const value = (1 - diversity) * relevance - diversity * nearest
    if (value > bestValue) [bestIndex, bestValue] = [index, value]
  }
  return bestIndex
}

/** Scales scores to 0…1. Click probabilities are all close to 0 and similarities are not, so without scaling only similarity would count. */
function relevanceAmong(candidates: readonly Scored[]): (score: number) => number {
  const scores = candidates.map(candidate => candidate.score)
  const lowest = Math.min(...scores)
  const span = Math.max(...scores) - lowest
  return score => (span > 0 ? (score - lowest) / span : 0)
}

function similarity({ hashed: a = [] }: Scored, { hashed: b = [] }: Scored): number {
  const equal = a.filter((value, index) => value === b[index]).length
  return equal / Math.max(a.length, 1)
}

function toShown({ itemId, score, propensity }: Scored, position: number, diversity: number): Shown {
  return { itemId, score, position, ...(propensity !== undefined && diversity === 0 && { propensity }) }
}

function checkParams({ topK = 3, diversity = 0.3 }: Params): Required<Params> {
  if (!(Number.isInteger(topK) && topK >= 1))
    throw new RangeError(`Cannot fill slots: params.topK must be a whole number from 1, got ${topK}`)
  if (!(diversity >= 0 && diversity <= 1)) throw new RangeError(`Cannot fill slots: params.diversity must be from 0 to 1, got ${diversity}`)
  return { topK, diversity }
}
