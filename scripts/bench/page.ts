/** The page of results: what reports say together, its tables, and where these go. Without effects. */
import {
  type Column,
  type ComparedColumn,
  type Comparison,
  medianOf,
  nameOf,
  type Report,
  type Result,
  ratioOf,
  showRatio,
  warningsOf,
} from './comparison.ts'
import { median } from './median.ts'
import { sumOf } from './processors.ts'
import { type ScenarioName, scenarios } from './scenarios.ts'
import { boundOf, showMeasured, type Verdict, verdictsOn } from './targets.ts'

/**
 * One report of several, in the order of the scenarios.
 * @throws Error when they cannot be compared, because they were not measured alike
 */
export function mergeReports(reports: readonly [Report, ...Report[]]): Report {
  const [first] = reports
  for (const what of ['machine', 'generator', 'seconds', 'rounds'] as const) {
    const other = reports.find(report => report[what] !== first[what])
    if (other !== undefined) throw new Error(`The reports differ in ${what}: ${first[what]} and ${other[what]}. Measure again, alike`)
  }
  const order = Object.keys(scenarios)
  const comparisons = reports.flatMap(report => report.comparisons).sort((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario))
  const seen = new Set<string>()
  for (const { scenario, way, load, hasOwnLoad } of comparisons) {
    if (!hasOwnLoad) throw new Error(`${scenario} was measured with another load than its own: ${load}`)
    if (seen.has(`${scenario} ${way}`)) throw new Error(`${scenario} was measured more than once, ${nameOf(way)}`)
    seen.add(`${scenario} ${way}`)
  }
  return { ...first, comparisons }
}

const [BEGIN, END] = ['<!-- Written by `npm run bench:picture`, until -->', '<!-- here -->']

/**
 * The page with other results between its two markers.
 * @throws Error when a marker is not there
 */
export function withResults(page: string, results: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END, begin)
  if (begin < 0 || end < 0) throw new Error(`The page has no line ${begin < 0 ? BEGIN : END}, which says where the results go`)
  return `${page.slice(0, begin)}${BEGIN}\n${results}\n${page.slice(end)}`
}

/** What was measured and what must hold, as Markdown. */
export function resultsOf(report: Report): string {
  const { machine, generator, seconds, rounds, comparisons } = report
  const parts = [
    `${machine}; load by ${generator}; medians of ${rounds} rounds of ${seconds} s (\`${commandOf(report)}\`).`,
    comparisonsIn(comparisons),
    ...warningsIn(comparisons),
    'What must hold, pinned where that is possible. In doubt: a warning is about what is compared.',
    markdown(['', 'target', 'measured', 'held'], verdictsOn(comparisons).map(rowOf)),
    'CPU of a request of a base with one cell, by thread, in µs:',
    markdown(
      ['', 'main thread of the cell', 'threads of the isolate', 'V8, such as garbage collection', 'all else'],
      threadsIn(comparisons),
    ),
  ]
  return parts.join('\n\n')
}

/** The command that measures all of this again. */
function commandOf({ generator, seconds, rounds, comparisons }: Report): string {
  const ways = new Set(comparisons.flatMap(({ scenario, way }) => (scenarios[scenario as ScenarioName].ways.length > 1 ? [way] : [])))
  const chosen = ways.size === 1 ? [` --ways ${[...ways].join()}`] : []
  return ['npm run bench --', ` --generator ${generator} --seconds ${seconds} --rounds ${rounds}`, ...chosen, ' --json FILE'].join('')
}

function comparisonsIn(comparisons: readonly Comparison[]): string {
  const rows = comparisons.flatMap(({ title, load, way, results: [reference, ...others] }) => {
    if (reference === undefined) return []
    const ratio = (result: Result, column: ComparedColumn) => (result === reference ? '' : showRatio(ratioOf(result, reference, column)))
    const figure = (result: Result, column: Column, digits: number) => medianOf(result, column).toFixed(digits)
    return [reference, ...others].map(result => [
      ...(result === reference ? [`${title}, ${nameOf(way)}`, load] : ['', '']),
      result.subject,
      ...[figure(result, 'requestsPerSecond', 0), ratio(result, 'requestsPerSecond')],
      ...[figure(result, 'cpuUs', 0), ratio(result, 'cpuUs')],
      ...[figure(result, 'p50Ms', 1), figure(result, 'p99Ms', 1), ratio(result, 'p99Ms')],
    ])
  })
  return markdown(['', 'load', '', 'requests/s', 'against the first', 'CPU µs a request', '', 'p50 ms', 'p99 ms', ''], rows)
}

/** None when there is no warning. */
function warningsIn(comparisons: readonly Comparison[]): string[] {
  const lines = comparisons.flatMap(({ title, way, results }) =>
    warningsOf(results).map(warning => `- ${title}, ${nameOf(way)}. ${warning}.`),
  )
  return lines.length === 0
    ? []
    : ['What the bench warned of. Where it was noisy, only ratios whose brackets do not overlap differ:', lines.join('\n')]
}

function rowOf(verdict: Verdict): string[] {
  const { target, holds, isDoubtful } = verdict
  return [target.what, boundOf(target), showMeasured(verdict), `${holds ? 'yes' : '**no**'}${isDoubtful ? ', in doubt' : ''}`]
}

/** What the threads of a base with one cell cost a request. The third of its processes is the cell. */
function threadsIn(comparisons: readonly Comparison[]): string[][] {
  const parts = ['3 main', '3 node-MainThread', '3 node-V8Worker']
  return comparisons.flatMap(({ title, way, results }) =>
    results
      .filter(({ subject }) => /^Berth( service| three)?$/.test(subject))
      .map(result => {
        const costs = parts.map(part => median(result.runs.map(({ threads }) => threads[part] ?? 0)))
        const rest = Math.max(0, medianOf(result, 'cpuUs') - sumOf(costs))
        const what = result.subject === 'Berth' ? title : `${title} (${result.subject})`
        return [`${what}, ${nameOf(way)}`, ...[...costs, rest].map(us => us.toFixed(1))]
      }),
  )
}

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
