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

/** Whether the amounts of the candidate are distributed otherwise than those of the noise. */
export const isOtherwise = (candidate: readonly number[], noise: readonly number[]): boolean =>
  kolmogorovSmirnov(candidate, noise) < 1 / ONE_OF

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

/** The two-sample test of Kolmogorov and Smirnov: how likely so large a distance is when both have one distribution; with ties, at most this. */
export function kolmogorovSmirnov(one: readonly number[], other: readonly number[]): number {
  if (one.length === 0 || other.length === 0) return 1
  const a = one.toSorted((x, y) => x - y)
  const b = other.toSorted((x, y) => x - y)
  let [i, j, distance] = [0, 0, 0]
  while (i < a.length && j < b.length) {
    const value = Math.min(a[i] ?? 0, b[j] ?? 0)
    while (i < a.length && (a[i] ?? 0) <= value) i++
    while (j < b.length && (b[j] ?? 0) <= value) j++
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length))
  }
  const effective = Math.sqrt((a.length * b.length) / (a.length + b.length))
  return kolmogorovTail((effective + 0.12 + 0.11 / effective) * distance)
}

function kolmogorovTail(lambda: number): number {
  if (lambda < 0.2) return 1
  let sum = 0
  for (let term = 1; term <= 100; term++) sum += (term % 2 === 1 ? 2 : -2) * Math.exp(-2 * term * term * lambda * lambda)
  return Math.min(1, Math.max(0, sum))
}
