/** Sums up a `.cpuprofile` in a few lines: the functions that take the most time. */

import type { CpuProfile } from '../../../base/contract/profile-api.ts'

export interface TopFunction {
  readonly name: string
  /** A place such as `rank-lr@1.0.0/score.ts:12`; empty for what V8 does itself. */
  readonly where: string
  /** The part of the samples, from 0 to 1, in the function itself, and with all that it called. */
  readonly self: number
  readonly total: number
}

export interface Summary {
  /** The samples that were not idle. */
  readonly samples: number
  /** Functions by their own time, the most first. */
  readonly functions: readonly TopFunction[]
}

interface Tally {
  readonly name: string
  readonly where: string
  self: number
  total: number
}

const NOTHING: ReadonlySet<string> = new Set(['(root)', '(idle)'])

export function summarize({ nodes }: CpuProfile): Summary {
  const byId = new Map(nodes.map(node => [node.id, node]))
  const tallies = new Map<string, Tally>()
  /** Counts the samples in the node and below it. A recursive function is counted at its outermost call only, or its total would be too large. */
  const visit = (node: CpuProfile['nodes'][number], above: ReadonlySet<string>): number => {
    const { functionName, url, lineNumber } = node.callFrame
    const key = `${functionName} ${url} ${lineNumber}`
    const within = new Set(above).add(key)
    let total = NOTHING.has(functionName) ? 0 : node.hitCount
    const tally = tallies.get(key) ?? { name: functionName || '(anonymous)', where: whereOf(url, lineNumber), self: 0, total: 0 }
    tallies.set(key, tally)
    tally.self += total
    for (const id of node.children ?? []) {
      const child = byId.get(id)
      if (child !== undefined) total += visit(child, within)
    }
    if (!above.has(key)) tally.total += total
    return total
  }
  const [root] = nodes
  const samples = root === undefined ? 0 : visit(root, new Set())
  const functions = [...tallies.values()]
    .filter(({ name, total }) => total > 0 && !NOTHING.has(name))
    .map(({ self, total, ...named }) => ({ ...named, self: self / samples, total: total / samples }))
  return { samples, functions: functions.sort((a, b) => b.self - a.self || b.total - a.total) }
}

/** Lines of frames count from 0. */
function whereOf(url: string, lineNumber: number): string {
  return url === '' ? '' : `${url.replace('berth:///', '')}:${lineNumber + 1}`
}
