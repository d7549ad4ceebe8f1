/** What must hold: ratios of medians, of pinned runs where there are some. Without effects. */
import { type ComparedColumn, type Comparison, hasFailed, isDoubtful, type Ratio, type Result, ratioOf, showRatio } from './comparison.ts'
import type { ScenarioName } from './scenarios.ts'

export interface Target {
  readonly what: string
  readonly scenario: ScenarioName
  readonly of: string
  readonly to: string
  readonly column: ComparedColumn
  readonly atLeast?: number
  readonly atMost?: number
}

const against = (to: string, column: ComparedColumn, bound: Pick<Target, 'atLeast' | 'atMost'>) => ({ of: 'Berth', to, column, ...bound })
const throughput = (atLeast: number, to = 'Fastify') => against(to, 'requestsPerSecond', { atLeast })
const cpu = (atMost: number) => against('Fastify', 'cpuUs', { atMost })

export const targets: readonly Target[] = [
  { what: '32 connections: throughput against Fastify', scenario: 'connections-32', ...throughput(0.85) },
  { what: '32 connections: CPU per request against Fastify', scenario: 'connections-32', ...cpu(1.2) },
  {
    what: '32 connections: throughput against the tuned worker thread',
    scenario: 'connections-32',
    ...throughput(1.1, 'worker thread, tuned'),
  },
  { what: '32 connections: throughput against workerd', scenario: 'connections-32', ...throughput(1.9, 'workerd') },
  { what: '2 connections: throughput against Fastify', scenario: 'connections-2', ...throughput(0.6) },
  { what: '2 connections: CPU per request against Fastify', scenario: 'connections-2', ...cpu(1.6) },
  { what: '256 connections: throughput against Fastify', scenario: 'connections-256', ...throughput(0.85) },
  {
    what: 'Two cells: throughput against two processes of Fastify',
    scenario: 'two-cells',
    ...{ of: 'Berth, 2 cells', to: 'Fastify, 2 processes', column: 'requestsPerSecond', atLeast: 0.85 },
  },
  { what: 'Open loop: p99 against Fastify', scenario: 'half-rate', ...against('Fastify', 'p99Ms', { atMost: 2 }) },
  {
    what: 'A stage that awaits a service: throughput against one that does not',
    scenario: 'awaits',
    ...{ of: 'Berth service', to: 'Berth', column: 'requestsPerSecond', atLeast: 0.75 },
  },
]

export interface Verdict {
  readonly target: Target
  readonly ratio: Ratio
  /** False also when a request failed. */
  readonly holds: boolean
  /** Whether the rounds of what is compared were far apart, the machine was too noisy, or requests failed. */
  readonly isDoubtful: boolean
}

/** Of the targets that were measured. */
export const verdictsOn = (comparisons: readonly Comparison[]): Verdict[] => targets.flatMap(target => judge(target, comparisons) ?? [])

/** Targets that are not judged because their scenario was measured under another load. */
export const unjudged = (comparisons: readonly Comparison[]): Target[] =>
  targets.filter(target => comparisons.some(({ scenario, hasOwnLoad }) => scenario === target.scenario && !hasOwnLoad))

export const boundOf = ({ atLeast, atMost }: Target): string => (atLeast === undefined ? `at most ${atMost}x` : `at least ${atLeast}x`)

/** What was measured, with as many digits as it takes to see whether the target holds, but at least two. */
export function showMeasured({ target, ratio }: Verdict): string {
  const digits = [2, 3, 4].find(digits => isWithin(target, Number(ratio.value.toFixed(digits))) === isWithin(target, ratio.value))
  return showRatio(ratio, digits)
}

const isWithin = ({ atLeast = 0, atMost = Infinity }: Target, value: number): boolean => value >= atLeast && value <= atMost

/** By the pinned runs where there are some. Undefined when the target was not measured, or under another load than that of its scenario. */
export function judge(target: Target, comparisons: readonly Comparison[]): Verdict | undefined {
  const { scenario, of, to, column } = target
  const measured = comparisons.filter(comparison => comparison.scenario === scenario && comparison.hasOwnLoad)
  const comparison = measured.find(({ way }) => way === 'pinned') ?? measured[0]
  const find = (name: string): Result | undefined => comparison?.results.find(({ subject }) => subject === name)
  const [one, other] = [find(of), find(to)]
  if (one === undefined || other === undefined) return undefined
  const [both, ratio] = [[one, other], ratioOf(one, other, column)]
  return { target, ratio, holds: !both.some(hasFailed) && isWithin(target, ratio.value), isDoubtful: isDoubtful(both, column) }
}
