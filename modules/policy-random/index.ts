/** The policy that knows nothing: what it logs is the yardstick for every other policy. */
import type { Stage } from '#sdk/author'

/** `score` is equal for all, so that what comes after has no preference either. */
export interface Drawn {
  readonly score: number
  /** Probability that this item stands at any one position. */
  readonly propensity: number
}

/** All n! orders of the candidates are equally likely. */
export const rank: Stage<readonly object[], (object & Drawn)[]> = candidates => {
  const propensity = 1 / candidates.length
  return shuffle(candidates).map(candidate => ({ ...candidate, score: propensity, propensity }))
}

/** Fisher and Yates' shuffle, inside out: Knuth, The Art of Computer Programming 2, section 3.4.2, algorithm P. */
export function shuffle<T extends object>(items: readonly T[]): T[] {
  const shuffled: T[] = []
  for (const [last, item] of items.entries()) {
    const place = Math.floor(Math.random() * (last + 1))
    shuffled[last] = shuffled[place] ?? item
    shuffled[place] = item
  }
  return shuffled
}
