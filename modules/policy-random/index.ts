/** A policy that shows items in random order. Its log is unbiased, so that other policies can be measured on it. */
import type { Stage } from '@berth/sdk'

/** `score` is equal for all candidates, so that the next stage has no preference either. */
export interface Drawn {
  readonly score: number
  /** The probability of this item to be at a certain position, which is the same for every position. */
  readonly propensity: number
}

/** Puts the candidates into random order; all n! orders are equally likely. */
export const rank: Stage<readonly object[], (object & Drawn)[]> = candidates => {
  const propensity = 1 / candidates.length
  return shuffle(candidates).map(candidate => ({ ...candidate, score: propensity, propensity }))
}

/** The inside-out variant of the Fisher–Yates shuffle: Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm P. */
export function shuffle<T extends object>(items: readonly T[]): T[] {
  const shuffled: T[] = []
  for (const [last, item] of items.entries()) {
    const index = Math.floor(Math.random() * (last + 1))
    shuffled[last] = shuffled[index] ?? item
    shuffled[index] = item
  }
  return shuffled
}
