/** Whether something stays flat, from samples that rise and fall. */
import { median } from './median.ts'

export interface Growth {
  readonly perHour: number
  /** The slope is off by more than this in one case of twenty. */
  readonly error: number
}

export interface Sample {
  readonly hours: number
  readonly value: number
}

/** Samples that follow each other are alike, so that many of them say little more than one. Each block counts as one. */
const BLOCKS = 12

/** A line through the medians of blocks of the samples. NaN for fewer than three samples. */
export function growthOf(samples: readonly Sample[]): Growth {
  const size = Math.max(1, Math.ceil(samples.length / BLOCKS))
  const blocks = Array.from({ length: Math.ceil(samples.length / size) }, (_, i) => samples.slice(i * size, (i + 1) * size))
  const points = blocks.map(block => ({ x: median(block.map(({ hours }) => hours)), y: median(block.map(({ value }) => value)) }))
  if (points.length < 3) return { perHour: Number.NaN, error: Number.NaN }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(points.map(point => point.x)), mean(points.map(point => point.y))]
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
  const perHour = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread
  const rest = points.reduce((sum, point) => sum + (point.y - y - perHour * (point.x - x)) ** 2, 0)
  return { perHour, error: 2 * Math.sqrt(rest / (points.length - 2) / spread) }
}

/** Flat is what cannot be told from no growth at all, or grows by so little that a cell would take a day to grow by a tenth of its default memory. */
export const isFlat = ({ perHour, error }: Growth): boolean => perHour - error <= 0 || perHour < 8
