/** Half-open ranges of buckets, with bounds from 0 to 10,000, and operations on lists of them. */
import { BUCKETS } from './hash.ts'

/** `[from, to)`. */
export type Range = readonly [from: number, to: number]

/**
 * The whole that shares of moved units are counted out of. A unit has a segment, a bucket before the change and a bucket after it (under another
 * salt the two are independent), so units fall into a grid of 10,000 × 10,000 × 10,000 equally likely combinations.
 */
export const MOVED_OF = BUCKETS ** 3

export const WHOLE: Range = [0, BUCKETS]

export function sizeOf(ranges: readonly Range[]): number {
  return ranges.reduce((size, [from, to]) => size + to - from, 0)
}

/** The first `count` buckets of the ranges in the order in which these are listed; all of them when there are fewer. */
export function takeFirst(ranges: readonly Range[], count: number): Range[] {
  const taken: Range[] = []
  let left = count
  for (const [from, to] of ranges) {
    if (left <= 0) break
    taken.push([from, Math.min(to, from + left)])
    left -= to - from
  }
  return taken
}

/** The ranges without the buckets of `others`, in the same order. */
export function without(ranges: readonly Range[], others: readonly Range[]): Range[] {
  let left = [...ranges]
  for (const [from, to] of others) {
    const pieces = left.flatMap(([a, b]): Range[] => [
      [a, Math.min(b, from)],
      [Math.max(a, to), b],
    ])
    left = pieces.filter(([a, b]) => a < b)
  }
  return left
}

/** The buckets that are both in `ranges` and in `others`. */
export function common(ranges: readonly Range[], others: readonly Range[]): Range[] {
  const pieces = ranges.flatMap(([a, b]) => others.map(([from, to]): Range => [Math.max(a, from), Math.min(b, to)]))
  return pieces.filter(([from, to]) => from < to)
}

/** The same buckets in the same order; ranges that continue the one before them are joined with it. */
export function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = []
  for (const [from, to] of ranges) {
    const last = result.at(-1)
    if (last?.[1] === from) result[result.length - 1] = [last[0], to]
    else if (from < to) result.push([from, to])
  }
  return result
}

/** The same buckets from the lowest to the highest, in as few ranges as possible. The given ranges must not overlap. */
export const sorted = (ranges: readonly Range[]): Range[] => joined(ranges.toSorted(([a], [b]) => a - b))

/** Ranges for people to read: `0–2500, 5000–7500`. The second bound is not included. */
export function showRanges(ranges: readonly Range[]): string {
  return ranges.length === 0 ? 'none' : ranges.map(([from, to]) => `${from}–${to}`).join(', ')
}

/** A number of buckets as a percentage: 1250 as `12.5%`. */
export const showShare = (buckets: number): string => `${buckets / 100}%`

/** Finds the owner of a bucket by binary search. The ranges of the owners must not overlap. */
export class RangeMap<T> {
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #owners: T[] = []

  constructor(entries: Iterable<readonly [ranges: readonly Range[], owner: T]>) {
    const sorted = [...entries].flatMap(([ranges, owner]) => ranges.map(([from, to]) => ({ from, to, owner })))
    for (const { from, to, owner } of sorted.filter(({ from, to }) => from < to).sort((a, b) => a.from - b.from)) {
      this.#starts.push(from)
      this.#ends.push(to)
      this.#owners.push(owner)
    }
  }

  /** Every owner that has at least one bucket. */
  owners(): Set<T> {
    return new Set(this.#owners)
  }

  find(bucket: number): T | undefined {
    const starts = this.#starts
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((starts[middle] ?? 0) <= bucket) low = middle + 1
      else high = middle
    }
    return low > 0 && bucket < (this.#ends[low - 1] ?? 0) ? this.#owners[low - 1] : undefined
  }
}
