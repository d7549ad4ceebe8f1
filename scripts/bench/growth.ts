/** How fast something grows, from samples that rise and fall: the slope of a line that a few outliers do not bend. */
import { median } from './median.ts'

export interface Point {
  readonly x: number
  readonly y: number
}

/** Units of y for each unit of x. */
export interface Growth {
  readonly slope: number
  /** The true slope is between these two in 19 cases of 20. */
  readonly low: number
  readonly high: number
}

/** More points are thinned out, because the number of pairs grows with the square of the number of points. */
const POINTS_MAX = 500
/** Samples that follow each other are alike, so that many of them say little more than one. Each block counts as one. */
const BLOCKS = 12
/** Quantile of the normal distribution, for 95 %. */
const Z = 1.96

/**
 * The Theil–Sen estimator: the median of the slopes between all pairs of points. It stays right as long as fewer than 29 % of the points are
 * outliers. NaN for fewer than two points. Of more than `POINTS_MAX` points, every n-th is used.
 */
export function slopeOf(points: readonly Point[]): number {
  const every = Math.max(1, Math.ceil(points.length / POINTS_MAX))
  return median(slopesOf(points.filter((_, index) => index % every === 0)))
}

function slopesOf(points: readonly Point[]): number[] {
  return points.flatMap((a, index) => points.slice(index + 1).flatMap(b => (a.x === b.x ? [] : [(b.y - a.y) / (b.x - a.x)])))
}

/**
 * The same for the medians of blocks of the points, which are in the order of x, with the interval of P. K. Sen, "Estimates of the regression coefficient based on
 * Kendall's tau", Journal of the American Statistical Association 63 (1968). NaN for fewer than four points, of which no interval can be made.
 */
export function growthOf(points: readonly Point[]): Growth {
  const size = Math.max(1, Math.ceil(points.length / BLOCKS))
  const blocks = Array.from({ length: Math.ceil(points.length / size) }, (_, i) => points.slice(i * size, (i + 1) * size))
  const typical = blocks.map(block => ({ x: median(block.map(({ x }) => x)), y: median(block.map(({ y }) => y)) }))
  const slopes = slopesOf(typical).sort((a, b) => a - b)
  const { length: n } = typical
  const half = (Z * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)) / 2
  const rank = (at: number) => (n < 4 ? Number.NaN : (slopes[Math.max(0, Math.min(slopes.length - 1, at))] ?? Number.NaN))
  return { slope: median(slopes), low: rank(Math.floor(slopes.length / 2 - half)), high: rank(Math.ceil(slopes.length / 2 + half)) }
}

/** Of megabytes an hour. Flat is what cannot be told from no growth at all, or grows by so little that a cell would take a day to grow by a tenth of its default memory. */
export const isFlat = ({ slope, low }: Growth): boolean => low <= 0 || slope < 8
