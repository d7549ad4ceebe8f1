/** What a base shows under `/metrics`, and whether queries would find it there. Pure. */
import type { Matcher, Selection } from './promql.ts'
import type { Query } from './queries.ts'

type Labels = ReadonlyMap<string, string>

/** What Prometheus adds to each series that it scrapes, and series of its own. */
const scrapeLabels: Labels = new Map([
  ['instance', ''],
  ['job', 'berth'],
])
const ownMetrics: ReadonlySet<string> = new Set(['up', 'ALERTS'])

/** Labels whose values come with an event, such as an error: which values there can be is checked where they are listed. */
const eventLabels: ReadonlySet<string> = new Set(['code', 'status'])

interface EventMetric {
  readonly labels: readonly string[]
  /** The file of the test that shows it with them. */
  readonly shownBy: string
}

/** Metrics whose series come with an event that test/quarantine.test.ts cannot bring about. */
export const eventMetrics: Readonly<Record<string, EventMetric>> = {
  // The code of a baseline has to be loaded well once, and badly by the next cell.
  berth_baseline_faults: { labels: ['scene', 'version', 'code'], shownBy: 'test/loading.test.ts' },
}

/** The series of a page of metrics, by their names. */
export function parseExposition(text: string): Map<string, Labels[]> {
  const series = new Map<string, Labels[]>()
  for (const [, name = '', labels = ''] of text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/gm)) {
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', value = '']) => [label, value] as const)
    series.set(name, [...(series.get(name) ?? []), new Map([...scrapeLabels, ...pairs])])
  }
  return series
}

/** What the queries ask for and the page of metrics does not have, in words; nothing when every query finds series. */
export function unanswered(queries: readonly Query[], page: string): string[] {
  const series = parseExposition(page)
  return queries.flatMap(({ where, selections }) => {
    return selections.flatMap(selection => {
      const problem = problemOf(selection, series.get(selection.metric) ?? [])
      return problem === undefined ? [] : [`${where}: ${problem}`]
    })
  })
}

function problemOf({ metric, labels, matchers }: Selection, series: readonly Labels[]): string | undefined {
  if (ownMetrics.has(metric)) return undefined
  if (series.length === 0 && eventMetrics[metric] !== undefined)
    return missing([...eventMetrics[metric].labels, ...scrapeLabels.keys()], labels)
  if (series.length === 0) return `no series ${metric}`
  const labelled = series.filter(found => labels.every(label => found.has(label)))
  if (labelled.length === 0) return `no series ${metric} has all of ${labels.join(', ')}`
  if (labelled.some(found => matchers.every(matcher => fits(matcher, found)))) return undefined
  return `no series ${metric} has ${matchers.map(({ label, operator, value }) => `${label}${operator}"${value}"`).join(', ')}`
}

function missing(has: readonly string[], labels: readonly string[]): string | undefined {
  const lacks = labels.filter(label => !has.includes(label))
  return lacks.length === 0 ? undefined : `it has no label ${lacks.join(', ')}`
}

function fits({ label, operator, value }: Matcher, labels: Labels): boolean {
  // Grafana puts in what its reader has chosen.
  if (eventLabels.has(label) || value.startsWith('$')) return true
  const found = labels.get(label) ?? ''
  const isRegExp = operator.endsWith('~')
  const isEqual = isRegExp ? new RegExp(`^(?:${value})$`).test(found) : found === value
  return operator.startsWith('!') ? !isEqual : isEqual
}
