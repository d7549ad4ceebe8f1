/** By how much processes grow. */
import { slopeOf } from '../bench/growth.ts'
import type { Entry, Gauge, Trend } from './record.ts'

/**
 * How much a process may grow during the whole time in which it is measured. The bound for memory is wide, because V8 lets a heap grow for minutes
 * before it collects all of it: the heap of a cell under floods was seen to grow from 29 to 130 MB and to shrink again to 48 MB.
 */
const growthMax: Readonly<Record<Gauge, number>> = { memory: 100, handles: 16, threads: 4 }
/** A shorter time would only show how a process warms up. */
const MEASURED_MS_MIN = 60_000

type Sample = Extract<Entry, { is: 'sample' }>

/** The trend of each role's longest-lived process. A process that was seen too shortly has none. */
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
