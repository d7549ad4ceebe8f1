/** What must hold: ratios of medians, of pinned runs where there are some. Without effects. */
import { type Column, type Comparison, hasFailed, type Ratio, type Result, ratioOf, warningsOf } from './rig.ts'
import type { ScenarioName } from './scenarios.ts'

export interface Target {
  readonly what: string
  readonly scenario: ScenarioName
  readonly of: string
  readonly to: string
  readonly column: Column
  readonly atLeast?: number
  readonly atMost?: number
}

const against = (to: string, column: Column, bound: Pick<Target, 'atLeast' | 'atMost'>) => ({ of: 'Berth', to, column, ...bound })
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
  /** Whether the machine was too noisy, or requests failed. */
  readonly isDoubtful: boolean
}

/** Of the targets that were measured. */
export const verdictsOn = (comparisons: readonly Comparison[]): Verdict[] => targets.flatMap(target => judge(target, comparisons) ?? [])

export const boundOf = ({ atLeast, atMost }: Target): string => (atLeast === undefined ? `at most ${atMost}x` : `at least ${atLeast}x`)

/** Undefined when the target was not measured. */
export function judge(target: Target, comparisons: readonly Comparison[]): Verdict | undefined {
  const { scenario, of, to, column, atLeast = 0, atMost = Infinity } = target
  const measured = comparisons.filter(comparison => comparison.scenario === scenario)
  const comparison = measured.find(({ way }) => way === 'pinned') ?? measured[0]
  const find = (name: string): Result | undefined => comparison?.results.find(({ subject }) => subject === name)
  const [one, other] = [find(of), find(to)]
  if (one === undefined || other === undefined) return undefined
  const ratio = ratioOf(one, other, column)
  const [failed, isDoubtful] = [[one, other].some(hasFailed), warningsOf([one, other]).length > 0]
  return { target, ratio, holds: !failed && ratio.value >= atLeast && ratio.value <= atMost, isDoubtful }
}
