/** Which capsules of a version stay when there are more than are kept. Pure. */
import type { CapsuleSummary } from './recording-files.ts'

export type Ranked = Pick<CapsuleSummary, 'id' | 'at' | 'why' | 'imported' | 'failed' | 'tookMs'>

/** The parts of what is kept that are for requests which failed or were asked for, and for the slowest. */
const WANTED_PART = 1 / 2
const SLOWEST_PART = 1 / 4

/** Whether somebody is likely to want this capsule itself, and not just any. */
export const isWanted = ({ failed, why, imported }: Ranked): boolean => failed !== undefined || why !== 'sampled' || imported

/**
 * The capsules of a version that go so that `max` stay: half of these are the newest that failed or were asked for, a quarter are the slowest, and the
 * rest are the newest. A part that is not used up leaves its places to the newest.
 * @returns their ids
 */
export function surplus(capsules: readonly Ranked[], max: number): string[] {
  if (capsules.length <= max) return []
  const newest = [...capsules].sort((a, b) => compareTexts(b.at, a.at))
  const slowest = [...newest].sort((a, b) => b.tookMs - a.tookMs)
  const kept = new Set<string>()
  const keep = (some: readonly Ranked[]) => {
    for (const { id } of some) if (kept.size < max) kept.add(id)
  }
  keep(newest.filter(isWanted).slice(0, Math.ceil(max * WANTED_PART)))
  keep(slowest.slice(0, Math.floor(max * SLOWEST_PART)))
  keep(newest)
  return capsules.flatMap(({ id }) => (kept.has(id) ? [] : [id]))
}

/** Orders dates in ISO 8601, and ids. */
export const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
