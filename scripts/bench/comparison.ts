/** What was measured: runs, their medians and ratios, and how far these can be believed. Without effects, but for what is printed. */
import { renderColumns } from '../../base/kernel/columns.ts'
import type { GeneratorName } from './generator.ts'
import { median } from './median.ts'

export interface Run {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Microseconds of CPU of all processes of the subject, for each request that they answered. */
  readonly cpuUs: number
  readonly failed: number
  /** Processors that were used meanwhile by whatever is neither the subject nor the generator. */
  readonly others: number
  /** Processors that the host of a virtual machine has withheld. */
  readonly stolen: number
  /** Parts of `cpuUs`, by process and thread. */
  readonly threads: Readonly<Record<string, number>>
}

export type Column = Exclude<keyof Run, 'threads'>

/** Where processes run: the subject on one processor and the generator on another one, or both where the system wants. */
export type Way = 'pinned' | 'free'

export const nameOf = (way: Way): string => (way === 'pinned' ? 'pinned' : 'not pinned')

export interface Result {
  readonly subject: string
  readonly runs: readonly Run[]
}

/** Runs of several subjects under the same load, the first of which is what the others are compared with. */
export interface Comparison {
  readonly scenario: string
  readonly title: string
  /** What is sent, in words. */
  readonly load: string
  /** Whether that is the load of the scenario, for which alone there are targets. */
  readonly hasOwnLoad: boolean
  readonly way: Way
  readonly results: readonly Result[]
}

/** All that a bench has measured. */
export interface Report {
  readonly machine: string
  readonly generator: GeneratorName
  /** Of each run, and how many rounds of these there were. */
  readonly seconds: number
  readonly rounds: number
  readonly comparisons: readonly Comparison[]
}

export const medianOf = ({ runs }: Result, column: Column): number => median(runs.map(run => run[column]))

/** A ratio of medians, and the lowest and highest ratio of the two runs of a round. */
export interface Ratio {
  readonly value: number
  readonly low: number
  readonly high: number
}

export function ratioOf(one: Result, other: Result, column: Column): Ratio {
  const ofRounds = one.runs.map((run, round) => run[column] / (other.runs[round]?.[column] ?? Number.NaN))
  return { value: medianOf(one, column) / medianOf(other, column), low: Math.min(...ofRounds), high: Math.max(...ofRounds) }
}

export function showRatio({ value, low, high }: Ratio, digits = 2): string {
  return `${value.toFixed(digits)}x (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

/** Prints medians, how they compare with the first subject, and each round. */
export function printComparison({ title, load, way, results }: Comparison): void {
  const [reference] = results
  const head = ['', 'req/s', 'against the first', 'CPU µs/req', '', 'p50 ms', 'p99 ms', '', 'each round: req/s, CPU µs, p99 ms']
  const against = (result: Result, column: Column) =>
    reference === undefined || result === reference ? '' : showRatio(ratioOf(result, reference, column))
  const rows = results.map(result => [
    result.subject,
    ...[medianOf(result, 'requestsPerSecond').toFixed(0), against(result, 'requestsPerSecond')],
    ...[medianOf(result, 'cpuUs').toFixed(1), against(result, 'cpuUs')],
    medianOf(result, 'p50Ms').toFixed(2),
    ...[medianOf(result, 'p99Ms').toFixed(2), against(result, 'p99Ms')],
    result.runs.map(run => `${run.requestsPerSecond.toFixed(0)},${run.cpuUs.toFixed(0)},${run.p99Ms.toFixed(1)}`).join(' '),
  ])
  console.log(`\n${load.startsWith(title) ? load : `${title}: ${load}`}, ${nameOf(way)}`)
  console.log(renderColumns(head, rows))
  for (const warning of warningsOf(results)) console.log(`! ${warning}`)
}

/** Prints what each thread of each process of a subject costs a request. */
export function printThreads({ results }: Comparison): void {
  const names = (runs: readonly Run[]) => [...new Set(runs.flatMap(({ threads }) => Object.keys(threads)))]
  const rows = results.flatMap(({ subject, runs }) =>
    names(runs).map((name): [string, string, number] => [subject, name, median(runs.map(({ threads }) => threads[name] ?? 0))]),
  )
  const shown = rows.filter(([, , us]) => us > 0.5).map(([subject, name, us]) => [subject, name, us.toFixed(1)])
  console.log(renderColumns(['', 'process, thread', 'CPU µs/req'], shown))
}

/** Bounds beyond which figures are in doubt: how far rounds are apart, and what others used of a processor. */
const noise = { spread: 0.15, others: 0.1, stolen: 0.03 } as const

/** What subjects are compared by. */
const compared = { requestsPerSecond: 'requests/s', cpuUs: 'CPU', p99Ms: 'p99' } as const satisfies Partial<Record<Column, string>>
export type ComparedColumn = keyof typeof compared
const comparedColumns = Object.keys(compared) as ComparedColumn[]

export const hasFailed = ({ runs }: Result): boolean => runs.some(({ failed }) => failed > 0)

/** Whether a ratio of these results may be wrong: the rounds of this column are far apart, the machine was too noisy to tell, or requests failed. */
export function isDoubtful(results: readonly Result[], column: ComparedColumn): boolean {
  return results.some(result => hasFailed(result) || isSpread(result, column)) || noiseOfMachine(results).length > 0
}

/** Why figures may be wrong. */
export function warningsOf(results: readonly Result[]): string[] {
  const failures = results.filter(hasFailed).map(({ subject }) => `Requests to ${subject} failed: its figures mean nothing`)
  const spreads = comparedColumns.flatMap(column => {
    const noisy = results.filter(result => isSpread(result, column))
    return noisy.length === 0
      ? []
      : [`in ${compared[column]} (${noisy.map(result => `${result.subject} ${percent(spreadOf(result, column))}`).join(', ')})`]
  })
  const spread = spreads.length === 0 ? [] : [`Noisy: rounds are far apart ${spreads.join(', ')}`]
  return [...failures, ...spread, ...noiseOfMachine(results)]
}

function noiseOfMachine(results: readonly Result[]): string[] {
  const runs = results.flatMap(result => result.runs)
  const [others, stolen] = [median(runs.map(run => run.others)), median(runs.map(run => run.stolen))]
  return [
    ...(others > noise.others ? [`Too noisy to tell: other programs used ${percent(others)} of a processor`] : []),
    ...(stolen > noise.stolen ? [`Too noisy to tell: the host withheld ${percent(stolen)} of a processor`] : []),
  ]
}

const percent = (part: number): string => `${(part * 100).toFixed(0)} %`

const isSpread = (result: Result, column: ComparedColumn): boolean => spreadOf(result, column) > noise.spread

/** How far the rounds of a subject are apart, as a part of their median. */
function spreadOf(result: Result, column: ComparedColumn): number {
  const values = result.runs.map(run => run[column])
  return (Math.max(...values) - Math.min(...values)) / medianOf(result, column)
}
