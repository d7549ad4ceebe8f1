/** Whether something grows: a line through samples that a few wild ones do not bend. */
import { median } from '../bench/median.ts'
import type { Entry, Gauge, Trend } from './record.ts'

export interface Point {
  readonly x: number
  readonly y: number
}

/** Pairs grow with the square of the points. */
const POINTS_MAX = 500

/**
 * Theil–Sen: the median of the slopes of all pairs of points, which stays right while fewer than 29 % of them are wild. NaN of less than two.
 * Of many points a part is taken, evenly.
 */
export function slopeOf(points: readonly Point[]): number {
  const every = Math.max(1, Math.ceil(points.length / POINTS_MAX))
  const taken = points.filter((_, index) => index % every === 0)
  const slopes = taken.flatMap((a, index) => taken.slice(index + 1).flatMap(b => (a.x === b.x ? [] : [(b.y - a.y) / (b.x - a.x)])))
  return median(slopes)
}

/**
 * What a process may have grown by between the begin and the end of the time in which it was measured. V8 lets a heap climb for minutes before
 * it collects all of it: that of a cell under floods was seen to go from 29 to 130 MB, and back to 48.
 */
const growthMax: Readonly<Record<Gauge, number>> = { memory: 100, handles: 16, threads: 4 }
/** Less shows how a process warms up. */
const MEASURED_MS_MIN = 60_000

type Sample = Extract<Entry, { is: 'sample' }>

/** Of each role the process that was seen longest; none that was seen too shortly to say anything. */
export function trendsOf(samples: readonly Sample[]): Trend[] {
  const byRole = Map.groupBy(samples, ({ role }) => role)
  return [...byRole.values()].flatMap(ofRole => {
    const lives = [...Map.groupBy(ofRole, ({ pid }) => pid).values()]
    const longest = lives.toSorted((a, b) => b.length - a.length)[0] ?? []
    const [first, last] = [longest[0], longest.at(-1)]
    if (first === undefined || last === undefined || last.at - first.at < MEASURED_MS_MIN) return []
    const hours = (last.at - first.at) / 3_600_000
    const typical = longest[longest.length >> 1]?.rssMB ?? 0
    const growthOf = (gauge: Gauge, y: (sample: (typeof longest)[number]) => number) => ({
      perHour: slopeOf(longest.map(sample => ({ x: sample.at / 3_600_000, y: y(sample) }))),
      bound: growthMax[gauge] / hours,
    })
    const growth = {
      memory: growthOf('memory', ({ rssMB }) => rssMB),
      handles: growthOf('handles', ({ handles }) => handles),
      threads: growthOf('threads', ({ threads }) => threads),
    }
    return [{ role: first.role, pid: first.pid, minutes: hours * 60, samples: longest.length, rssMB: typical, growth }]
  })
}
