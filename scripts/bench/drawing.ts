/** The picture of the page of results: what Berth and others answer, and what that costs, against Fastify. Without effects. */
import { type Column, type Comparison, type Ratio, type Report, ratioOf } from './comparison.ts'
import { type ScenarioName, scenarios } from './scenarios.ts'

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

/** Whether a panel is too narrow for the range of a bar. */
const isCut = ({ high }: Ratio, most: number): boolean => high > most

const noRatio: Ratio = { value: Number.NaN, low: Number.NaN, high: Number.NaN }

/** Colours that can be read on white and, where the page is dark, on black. */
const style = `text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .other, .small { fill: #656d76 }
.axis { stroke: #8c959f } .range { stroke: #1f2328; stroke-width: 1.5; fill: none } .bar { fill: #8c959f } .berth { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .other, .small { fill: #8d96a0 } .range { stroke: #e6edf3 } .berth { fill: #4493f8 } .bar { fill: #6e7681 } }`

/** An SVG. */
export function drawingOf({ machine, generator, comparisons }: Report): string {
  const bars = barsOf(comparisons)
  const bottom = TOP + bars.length * ROW
  const heads = panels.map(({ title, left, most }) => {
    const one = left + PANEL_WIDTH / most
    return `<text class="title" x="${left}" y="20">${title}</text>
<line class="axis" x1="${left}" x2="${left}" y1="${TOP - 12}" y2="${bottom}"/>
<line class="axis" stroke-dasharray="4 3" x1="${one}" x2="${one}" y1="${TOP - 12}" y2="${bottom}"/>`
  })
  const cut = bars.some(({ ratios }) => panels.some(({ column, most }) => isCut(ratios[column], most))) ? ' An arrow: it goes on.' : ''
  const foot = `Medians of interleaved rounds, with the range of the rounds.${cut} ${machine}; load by ${generator}.`
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
    const tip = left + PANEL_WIDTH
    const arrow = `<path class="range" d="M${tip - 6} ${middle - 4}L${tip} ${middle}L${tip - 6} ${middle + 4}"/>`
    const at = (ratio: number) => (left + (PANEL_WIDTH * Math.min(ratio, most)) / most).toFixed(1)
    const width = (Number(at(value)) - left).toFixed(1)
    return `<rect class="${isBerth ? 'berth' : 'bar'}" x="${left}" y="${middle - 7}" width="${width}" height="14"/>
<line class="range" x1="${at(low)}" x2="${at(high)}" y1="${middle}" y2="${middle}"/>${isCut(ratios[column], most) ? arrow : ''}
<text x="${Number(at(Math.max(value, high))) + 6}" y="${middle + 4}">${value.toFixed(2)}</text>`
  })
  return `<text class="${isBerth ? '' : 'other'}" x="${isBerth ? 10 : 26}" y="${middle + 4}">${label}</text>\n${drawn.join('\n')}`
}
