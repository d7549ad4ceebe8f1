/** Whether a candidate differs from the baseline more than the baseline differs from itself. Pure. */

/** How often something was seen. */
export interface Count {
  readonly seen: number
  readonly of: number
}

/** Of so many harmless candidates, each with one noisy field, one is taken to be different. */
const ONE_OF = 20_000

/** Whether what was seen of the candidate is too frequent to be the noise of the baseline. One sighting is, where the baseline has no noise. */
export const isMoreFrequent = (candidate: Count, noise: Count): boolean =>
  candidate.seen > 0 && (noise.seen === 0 || fisherTail(candidate, noise) < 1 / ONE_OF)

/** Whether the candidate differs by larger amounts than the noise. */
export const isLarger = (candidate: readonly number[], noise: readonly number[]): boolean => smirnovTail(candidate, noise) < 1 / ONE_OF

/** Fisher's exact test: how likely as many sightings are, or more, when both have the same rate. */
export function fisherTail(one: Count, other: Count): number {
  const seen = one.seen + other.seen
  const of = one.of + other.of
  const logTotal = logChoose(of, seen)
  let tail = 0
  for (let count = one.seen; count <= Math.min(one.of, seen); count++) {
    if (seen - count > other.of) continue
    tail += Math.exp(logChoose(one.of, count) + logChoose(other.of, seen - count) - logTotal)
  }
  return Math.min(1, tail)
}

const logChoose = (of: number, count: number): number => logFactorial(of) - logFactorial(count) - logFactorial(of - count)

const logFactorials = [0]
function logFactorial(number: number): number {
  for (let next = logFactorials.length; next <= number; next++) logFactorials.push((logFactorials[next - 1] ?? 0) + Math.log(next))
  return logFactorials[number] ?? 0
}

/**
 * The one-sided test of Kolmogorov and Smirnov: how likely it is that the first are as much larger than the others when both have one distribution. With ties
 * it is at most this.
 */
export function smirnovTail(one: readonly number[], other: readonly number[]): number {
  if (one.length === 0 || other.length === 0) return 1
  const larger = one.toSorted((x, y) => x - y)
  const smaller = other.toSorted((x, y) => x - y)
  let [i, j, distance] = [0, 0, 0]
  while (i < larger.length && j < smaller.length) {
    const value = Math.min(larger[i] ?? 0, smaller[j] ?? 0)
    while (i < larger.length && (larger[i] ?? 0) <= value) i++
    while (j < smaller.length && (smaller[j] ?? 0) <= value) j++
    distance = Math.max(distance, j / smaller.length - i / larger.length)
  }
  return Math.exp((-2 * distance * distance * larger.length * smaller.length) / (larger.length + smaller.length))
}
