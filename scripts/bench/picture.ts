/** `npm run bench:picture FILE…`: draws `docs/performance.svg` and writes the tables of `docs/performance.md` from what `npm run bench -- --json FILE` has written. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../test/support/base.ts'
import { type Column, type Comparison, medianOf, type Ratio, type Report, ratioOf, showRatio } from './comparison.ts'
import { median } from './median.ts'
import { sumOf } from './processors.ts'
import { type ScenarioName, scenarios } from './scenarios.ts'
import { boundOf, verdictsOn } from './targets.ts'

interface Bar {
  readonly label: string
  readonly isBerth: boolean
  readonly ratios: Readonly<Record<PanelColumn, Ratio>>
}

const panels = [
  { column: 'requestsPerSecond', title: 'Requests per second, Fastify = 1', left: 250, most: 1.5 },
  { column: 'cpuUs', title: 'CPU per request, Fastify = 1', left: 570, most: 3 },
] as const satisfies readonly { readonly column: Column; readonly title: string; readonly left: number; readonly most: number }[]

type PanelColumn = (typeof panels)[number]['column']

const PANEL_WIDTH = 270
const ROW = 24
const TOP = 48

/** Of each closed loop with Fastify in it, the pinned one if there is one, what each other subject is compared with Fastify. */
function barsOf(comparisons: readonly Comparison[]): Bar[] {
  const closed = comparisons.filter(({ scenario, results }) => {
    const { load } = scenarios[scenario as ScenarioName]
    return typeof load === 'object' && results[0]?.subject.startsWith('Fastify')
  })
  const byScenario = Map.groupBy(closed, ({ scenario }) => scenario)
  const chosen = [...byScenario.values()].flatMap(both => both.find(({ way }) => way === 'pinned') ?? both[0] ?? [])
  return chosen.flatMap(({ title, results: [fastify, ...others] }) =>
    others.map(result => {
      const isBerth = result.subject.startsWith('Berth')
      const ratio = (column: PanelColumn) => (fastify === undefined ? noRatio : ratioOf(result, fastify, column))
      const ratios = { requestsPerSecond: ratio('requestsPerSecond'), cpuUs: ratio('cpuUs') }
      return { label: isBerth ? title : result.subject, isBerth, ratios }
    }),
  )
}

const noRatio: Ratio = { value: Number.NaN, low: Number.NaN, high: Number.NaN }

/** Colours that can be read on white and, where the page is dark, on black. */
const style = `text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .other, .small { fill: #656d76 }
.axis { stroke: #8c959f } .range { stroke: #1f2328; stroke-width: 1.5 } .bar { fill: #8c959f } .berth { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .other, .small { fill: #8d96a0 } .range { stroke: #e6edf3 } .berth { fill: #4493f8 } .bar { fill: #6e7681 } }`

function draw({ machine, generator, comparisons }: Report): string {
  const bars = barsOf(comparisons)
  const bottom = TOP + bars.length * ROW
  const heads = panels.map(({ title, left, most }) => {
    const one = left + PANEL_WIDTH / most
    return `<text class="title" x="${left}" y="20">${title}</text>
<line class="axis" x1="${left}" x2="${left}" y1="${TOP - 12}" y2="${bottom}"/>
<line class="axis" stroke-dasharray="4 3" x1="${one}" x2="${one}" y1="${TOP - 12}" y2="${bottom}"/>`
  })
  const foot = `Medians of interleaved rounds, with the range of the rounds. ${machine}; load by ${generator}.`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 ${bottom + 34}" width="900" height="${bottom + 34}" role="img" aria-label="Berth compared with Fastify">
<style>${style}</style>
<text class="title" x="10" y="20">Berth (blue) and others</text>
${heads.join('\n')}
${bars.map(drawBar).join('\n')}
<text class="small" x="10" y="${bottom + 22}">${foot}</text>
</svg>
`
}

function drawBar({ label, isBerth, ratios }: Bar, index: number): string {
  const middle = TOP + index * ROW + ROW / 2 - 6
  const drawn = panels.map(({ column, left, most }) => {
    const { value, low, high } = ratios[column]
    const at = (ratio: number) => (left + (PANEL_WIDTH * Math.min(ratio, most)) / most).toFixed(1)
    const width = (Number(at(value)) - left).toFixed(1)
    return `<rect class="${isBerth ? 'berth' : 'bar'}" x="${left}" y="${middle - 7}" width="${width}" height="14"/>
<line class="range" x1="${at(low)}" x2="${at(high)}" y1="${middle}" y2="${middle}"/>
<text x="${Number(at(Math.max(value, high))) + 6}" y="${middle + 4}">${value.toFixed(2)}</text>`
  })
  return `<text class="${isBerth ? '' : 'other'}" x="${isBerth ? 10 : 26}" y="${middle + 4}">${label}</text>\n${drawn.join('\n')}`
}

/** The tables of the page: each comparison, and what must hold. */
function tablesOf(comparisons: readonly Comparison[]): string {
  const rows = comparisons.flatMap(({ title, way, results }) =>
    results.map((result, at) => {
      const [reference] = results
      const ratio = (column: Column) => (at === 0 || reference === undefined ? '' : showRatio(ratioOf(result, reference, column)))
      const figure = (column: Column, digits: number) => medianOf(result, column).toFixed(digits)
      return [
        ...[at === 0 ? `${title}, ${way === 'pinned' ? 'pinned' : 'not pinned'}` : '', result.subject],
        ...[figure('requestsPerSecond', 0), ratio('requestsPerSecond')],
        ...[figure('cpuUs', 0), ratio('cpuUs')],
        ...[figure('p50Ms', 1), figure('p99Ms', 1), ratio('p99Ms')],
      ]
    }),
  )
  const head = ['', '', 'requests/s', 'against the first', 'CPU µs a request', '', 'p50 ms', 'p99 ms', '']
  const verdicts = verdictsOn(comparisons).map(({ target, ratio, holds }) => [
    target.what,
    boundOf(target),
    showRatio(ratio),
    holds ? 'yes' : '**no**',
  ])
  return `${markdown(head, rows)}

What must hold, pinned where that is possible:

${markdown(['', 'target', 'measured', 'held'], verdicts)}

CPU of a request of a base with one cell, by thread, in µs:

${markdown(['', 'main thread of the cell', 'threads of the isolate', 'V8, such as garbage collection', 'all else'], threadsOf(comparisons))}`
}

/** What the threads of a base with one cell cost a request. The third of its processes is the cell. */
function threadsOf(comparisons: readonly Comparison[]): string[][] {
  const parts = ['3 main', '3 node-MainThread', '3 node-V8Worker']
  return comparisons.flatMap(({ title, results }) =>
    results
      .filter(({ subject }) => /^Berth( service| three)?$/.test(subject))
      .map(result => {
        const costs = parts.map(part => median(result.runs.map(({ threads }) => threads[part] ?? 0)))
        const rest = Math.max(0, medianOf(result, 'cpuUs') - sumOf(costs))
        const what = result.subject === 'Berth' ? title : `${title} (${result.subject})`
        return [what, ...[...costs, rest].map(us => us.toFixed(1))]
      }),
  )
}

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')

const files = process.argv.slice(2)
if (files.length === 0) {
  console.error('Name the files that "npm run bench -- --json FILE" has written')
  process.exit(2)
}
const reports = files.map(file => JSON.parse(readFileSync(file, 'utf8')) as Report)
const [first] = reports as [Report, ...Report[]]
const order = Object.keys(scenarios)
const inOrder = reports.flatMap(({ comparisons }) => comparisons).sort((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario))
const report: Report = { ...first, comparisons: inOrder }
writeFileSync(join(root, 'docs/performance.svg'), draw(report))
const page = join(root, 'docs/performance.md')
const [begin, end] = ['<!-- Written by `npm run bench:picture`, until -->', '<!-- here -->']
const [before = '', rest = ''] = readFileSync(page, 'utf8').split(begin)
const rounds = report.comparisons[0]?.results[0]?.runs.length
const setting = `${report.machine}; load by ${report.generator}; medians of ${rounds} rounds of ${report.seconds} s.`
writeFileSync(page, `${before}${begin}\n${setting}\n\n${tablesOf(report.comparisons)}\n${end}${rest.split(end)[1] ?? ''}`)
