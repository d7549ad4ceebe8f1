import type { Ranked } from '../rank50/index.ts'

export function top(ranked: Ranked[]): Ranked[] {
  return ranked.slice(0, 10)
}
