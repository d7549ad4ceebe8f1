/**
 * Fills the slots one by one with the candidate of the highest maximal marginal relevance: J. Carbonell and J. Goldstein, "The Use of MMR,
 * Diversity-Based Reranking for Reordering Documents and Producing Summaries", SIGIR 1998:
 *
 *   (1 - diversity) · relevance(i) - diversity · max over the filled slots j of similarity(i, j)
 *
 * Relevance is the score scaled to 0…1 over the candidates, similarity the share of hashed features that are equal.
 */
import type { Stage } from '#sdk/author'

export interface Scored {
  readonly itemId: number
  /** Two items of which nothing is known are not similar. */
  readonly hashed?: readonly string[]
  readonly score: number
  readonly propensity?: number
}

export interface Params {
  /** Slots to fill. @default 3 */
  readonly topK?: number
  /** From 0, which keeps the order by score, to 1, which looks at nothing but difference. @default 0.3 */
  readonly diversity?: number
}

export interface Answer {
  readonly items: readonly Shown[]
  /** How many items the slots were filled from. */
  readonly candidates: number
  readonly diversity: number
}

export interface Shown {
  readonly itemId: number
  readonly score: number
  /** 1 is the first slot. */
  readonly position: number
  /** Only while `diversity` is 0: reordering would make it untrue. */
  readonly propensity?: number
}

/** The answer to the caller. Fewer items than slots fill fewer slots; of two equals the earlier candidate goes first. */
export const rerank: Stage<readonly Scored[], Answer, { params: Params }> = (candidates, { params }) => {
  const { topK, diversity } = checkParams(params)
  const chosen = selectDiverse(candidates, topK, diversity)
  return { items: chosen.map((item, index) => toShown(item, index + 1, diversity)), candidates: candidates.length, diversity }
}

interface Contender {
  readonly item: Scored
  readonly relevance: number
  /** Similarity to the most similar filled slot. */
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

/** Click probabilities lie close together near 0 and similarities do not: unscaled, similarity would decide alone. */
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
