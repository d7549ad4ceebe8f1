/** Makes deploy/grafana/berth.json, the dashboard of a base: `npm run build:dashboard`. The rows below are in the order in which somebody on call looks. */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  BigValueColorMode,
  GraphGradientMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'

export const dashboardPath = fileURLToPath(new URL('../../deploy/grafana/berth.json', import.meta.url))

/** Codes of answers for which a module or the base is to blame; deploy/prometheus/alerts.yml has them too. */
export const failureCodes =
  'MODULE_(THREW|KILLED)|RESULT_.+|CALL_.+|DATA_LOST|DEADLINE_EXCEEDED|BREAKER_OPEN|VERSION_QUARANTINED|SERVICE_(NOT_FOUND|INPUT_INVALID|RESULT_TOO_LARGE|FAILED)|FETCH_(FORBIDDEN|FAILED|TOO_LARGE)|FEATURES_(NOT_FOUND|BROKEN)|SLOT_UNAVAILABLE|BASE_NOT_READY|INTERNAL'
/** Codes of answers that refuse a request because there are too many. */
export const shedCodes = '.+_OVERLOADED|RATE_LIMITED|BASE_DRAINING'

/** What Grafana puts in: the Prometheus that its reader has chosen. */
const datasource = { type: 'prometheus', uid: '$datasource' }

/** Series of the bases that the reader has chosen; with `inScenes`, of the scenes too. */
const inBases = (metric: string, matchers = ''): string => `${metric}{instance=~"$instance"${matchers && `, ${matchers}`}}`
const inScenes = (metric: string, matchers = ''): string => inBases(metric, `scene=~"$scene"${matchers && `, ${matchers}`}`)
const rate = (series: string): string => `rate(${series}[$__rate_interval])`
const sum = (by: string, series: string): string => `sum by (${by}) (${series})`
const quantile = (q: number, by: string, buckets: string): string => `histogram_quantile(${q}, ${sum(`${by}, le`, rate(buckets))})`
const part = (of: string, whole: string): string => `sum(${rate(of)}) / sum(${rate(whole)})`

interface Shown {
  /** What each query shows, by its expression: a text with labels, such as `{{scene}}`. */
  readonly queries: Readonly<Record<string, string>>
  readonly unit?: string
  readonly about?: string
}

const queriesOf = ({ queries }: Shown): DataqueryBuilder[] =>
  Object.entries(queries).map(([expr, legend], index) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode(65 + index))
      .expr(expr)
      .legendFormat(legend),
  )

interface GraphSettings extends Shown {
  readonly isStacked?: boolean
  /** Columns, of 24. */
  readonly width?: number
}

function graph(title: string, settings: GraphSettings): TimeSeriesBuilder {
  const { unit = 'short', about = '', isStacked = false, width = 8 } = settings
  return new TimeSeriesBuilder()
    .title(title)
    .description(about)
    .datasource(datasource)
    .targets(queriesOf(settings))
    .unit(unit)
    .min(0)
    .fillOpacity(isStacked ? 40 : 5)
    .gradientMode(GraphGradientMode.None)
    .stacking(new StackingConfigBuilder().mode(isStacked ? StackingMode.Normal : StackingMode.None))
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(LegendPlacement.Bottom)
        .calcs(['lastNotNull', 'max'])
        .sortBy('Max')
        .sortDesc(true)
        .showLegend(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .span(width)
    .height(8)
}

interface StatSettings extends Omit<Shown, 'queries'> {
  /** Values from which on it is yellow and red; without them it is never so. */
  readonly from?: readonly [yellow: number, red: number]
}

/** One number: the last one. */
function stat(title: string, expr: string, { unit = 'short', about = '', from }: StatSettings = {}): StatBuilder {
  const steps = [{ value: null, color: from === undefined ? 'blue' : 'green' }]
  const warned =
    from === undefined
      ? []
      : [
          { value: from[0], color: 'yellow' },
          { value: from[1], color: 'red' },
        ].slice(from[0] === from[1] ? 1 : 0)
  return new StatBuilder()
    .title(title)
    .description(about)
    .datasource(datasource)
    .targets(queriesOf({ queries: { [expr]: title } }))
    .unit(unit)
    .noValue('–')
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .colorMode(BigValueColorMode.Background)
    .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([...steps, ...warned]))
    .span(4)
    .height(4)
}

const requests = 'berth_requests_total'
const durations = 'berth_request_duration_seconds_bucket'
const failed = `code=~"${failureCodes}"`
const shed = `code=~"${shedCodes}"`
const cells = 'cell!=""'
/** Series that are there only while something is wrong count as none. */
const orNone = (expr: string): string => `sum(${expr}) or vector(0)`

type Row = readonly [title: string, panels: readonly Builder<Panel>[]]

const rows: readonly Row[] = [
  [
    'What is wrong',
    [
      stat('Requests a second', `sum(${rate(inScenes(requests))})`, { unit: 'reqps' }),
      stat('Failed', part(inScenes(requests, failed), inScenes(requests)), {
        unit: 'percentunit',
        from: [0.005, 0.02],
        about: 'Answers for which a module or the base is to blame, of all',
      }),
      stat('Refused for load', part(inScenes(requests, shed), inScenes(requests)), { unit: 'percentunit', from: [0.001, 0.01] }),
      stat('Slowest hundredth', quantile(0.99, 'job', inScenes(durations)), {
        unit: 's',
        from: [0.2, 0.5],
        about: 'Of all scenes together',
      }),
      stat('Bases that do not answer', 'count(up{job="berth", instance=~"$instance"} == 0) or vector(0)', { from: [1, 1] }),
      stat('Cells that are not ready', `sum(${inBases('berth_cells_configured')}) - sum(${inBases('berth_cells', 'state="ready"')})`, {
        from: [1, 2],
      }),
      stat('Open breakers', `count(${inScenes('berth_breaker_state')} > 1) or vector(0)`, { from: [1, 1] }),
      stat('Versions in quarantine', orNone(inScenes('berth_version_quarantined')), { from: [1, 1] }),
      stat('Baselines that cannot answer', orNone(inScenes('berth_baseline_faults')), { from: [1, 1], about: 'Counted in each cell' }),
      stat('Troubles', orNone(inBases('berth_troubles')), {
        from: [1, 1],
        about: 'Processes that cannot run as they should: see base status',
      }),
      stat('Folders that cannot be written', orNone(inBases('berth_storage_fault')), { from: [1, 1] }),
      stat('Cells lost in an hour', `sum(increase(${inBases('berth_cell_crashes_total')}[1h]))`, { from: [1, 3] }),
      graph('Requests by scene', { queries: { [sum('scene', rate(inScenes(requests)))]: '{{scene}}' }, unit: 'reqps', isStacked: true }),
      graph('Failures by code', {
        queries: { [sum('scene, code', rate(inScenes(requests, failed)))]: '{{scene}} {{code}}' },
        unit: 'reqps',
        about: 'A module or the base is to blame for them',
      }),
      graph('Refused for load, by code', {
        queries: { [sum('scene, code', rate(inScenes(requests, shed)))]: '{{scene}} {{code}}' },
        unit: 'reqps',
      }),
    ],
  ],
  [
    'Scenes',
    [
      graph('Half of the answers of a scene take at most', {
        queries: { [quantile(0.5, 'scene', inScenes(durations))]: '{{scene}}' },
        unit: 's',
      }),
      graph('99 % of the answers of a scene take at most', {
        queries: { [quantile(0.99, 'scene', inScenes(durations))]: '{{scene}}' },
        unit: 's',
      }),
      graph('99 % of the answers of a version take at most', {
        queries: { [quantile(0.99, 'scene, version', inScenes(durations))]: '{{scene}} {{version}}' },
        unit: 's',
      }),
      graph('Requests by version', {
        queries: { [sum('scene, version', rate(inScenes(requests, 'version!=""')))]: '{{scene}} {{version}}' },
        unit: 'reqps',
        isStacked: true,
      }),
      graph('What callers got wrong', {
        queries: { [sum('scene, code', rate(inScenes(requests, `code!~"OK|${failureCodes}|${shedCodes}"`)))]: '{{scene}} {{code}}' },
        unit: 'reqps',
      }),
      graph('Failures by version, as a part', {
        queries: {
          [`${sum('scene, version', rate(inScenes(requests, failed)))} / ${sum('scene, version', rate(inScenes(requests)))}`]:
            '{{scene}} {{version}}',
        },
        unit: 'percentunit',
      }),
      graph('Breakers', {
        queries: { [`max by (scene, version) (${inScenes('berth_breaker_state')})`]: '{{scene}} {{version}}' },
        about: '0 closed, 1 half open, 2 open',
      }),
      graph('Slots killed in ten minutes', {
        queries: { [sum('scene, version', `increase(${inScenes('berth_slot_kills_total')}[10m])`)]: '{{scene}} {{version}}' },
      }),
      graph('Answers that do not fit their schema', {
        queries: { [sum('scene, version', rate(inScenes('berth_answers_unfit_total')))]: '{{scene}} {{version}}' },
        unit: 'reqps',
      }),
      graph('Exposures by arm', {
        queries: { [sum('scene, experiment, arm', rate(inScenes('berth_exposures_total')))]: '{{scene}} {{experiment}} {{arm}}' },
        unit: 'reqps',
        width: 24,
      }),
    ],
  ],
  [
    'Cells',
    [
      graph('Cells by state', { queries: { [sum('state', inBases('berth_cells'))]: '{{state}}' }, isStacked: true }),
      graph('Cells replaced after a crash or kill, in an hour', {
        queries: { [sum('instance, cell', `increase(${inBases('berth_cell_crashes_total')}[1h])`)]: '{{instance}} {{cell}}' },
      }),
      graph('Revisions that a cell is behind', {
        queries: {
          [`max by (instance) (${inBases('berth_table_revision')}) - on (instance) min by (instance) (${inBases('berth_table_revision')})`]:
            '{{instance}}',
        },
        about: 'Of the scene table; above 0 for longer than a switch, some cell answers by old rules',
      }),
      graph('Memory of each process', {
        queries: {
          [inBases('process_resident_memory_bytes', cells)]: '{{instance}} cell {{cell}}',
          [inBases('process_resident_memory_bytes', 'process="keeper"')]: '{{instance}} keeper',
          [inBases('berth_cell_memory_limit_bytes')]: '{{instance}} a cell is replaced above',
        },
        unit: 'bytes',
      }),
      graph('Memory of keeper and cells, of what the base may use', {
        queries: {
          [`${sum('instance', inBases('process_resident_memory_bytes'))} / on (instance) ${inBases('berth_memory_limit_bytes')}`]:
            '{{instance}}',
        },
        unit: 'percentunit',
        about: 'Code of Node.js that they share is counted for each of them',
      }),
      graph('Processor of each process', {
        queries: {
          [rate(inBases('process_cpu_seconds_total', cells))]: '{{instance}} cell {{cell}}',
          [rate(inBases('process_cpu_seconds_total', 'process="keeper"'))]: '{{instance}} keeper',
        },
        about: 'Cores',
      }),
      graph('Event loop: 99 % of the waits are at most', {
        queries: {
          [inBases('nodejs_eventloop_lag_p99_seconds', cells)]: '{{instance}} cell {{cell}}',
          [inBases('nodejs_eventloop_lag_p99_seconds', 'process="keeper"')]: '{{instance}} keeper',
        },
        unit: 's',
        about: 'An idle process has 10 ms, which is how often it is looked at',
      }),
      graph('Requests under way', {
        queries: { [sum('instance, cell', inBases('berth_requests_in_flight'))]: '{{instance}} cell {{cell}}' },
      }),
      graph('Connections and slots', {
        queries: {
          [sum('instance', inBases('berth_connections'))]: '{{instance}} connections',
          [sum('instance', inBases('berth_slots'))]: '{{instance}} slots',
        },
      }),
      graph('Idle slots let go in ten minutes', {
        queries: { [sum('instance, cause', `increase(${inBases('berth_slots_evicted_total')}[10m])`)]: '{{instance}} {{cause}}' },
        about: 'When many go because memory is short, cells have too little for their scenes',
      }),
    ],
  ],
  [
    'Keeper and disk',
    [
      graph('Changes by status', {
        queries: { [sum('status', rate(inBases('berth_control_request_duration_seconds_count', 'method!="GET"')))]: '{{status}}' },
        unit: 'reqps',
        about: 'Publishes, promotions, flips, uploads and all other writes of the control API',
      }),
      graph('Changes that were refused or failed', {
        queries: {
          [sum(
            'method, route, status',
            `increase(${inBases('berth_control_request_duration_seconds_count', 'method!="GET", status=~"[45].."')}[1h])`,
          )]: '{{status}} {{method}} {{route}}',
        },
        about: 'In an hour. 4xx: whoever sent it has to change something; 5xx: the base',
      }),
      graph('95 % of the changes take at most', {
        queries: {
          [quantile(0.95, 'method, route', inBases('berth_control_request_duration_seconds_bucket', 'method!="GET"'))]:
            '{{method}} {{route}}',
        },
        unit: 's',
      }),
      graph('What takes the disk', {
        queries: { [sum('kind', inBases('berth_disk_used_bytes'))]: '{{kind}}' },
        unit: 'bytes',
        isStacked: true,
      }),
      graph('Free on the disk', {
        queries: {
          [inBases('berth_disk_free_bytes')]: '{{instance}}',
          [`predict_linear(${inBases('berth_disk_free_bytes')}[6h], 24 * 3600)`]: '{{instance}} in a day, as it goes',
        },
        unit: 'bytes',
      }),
      graph('Revision of the store', { queries: { [inBases('berth_store_revision')]: '{{instance}}' }, about: 'One for each change' }),
      graph('Killed by the kernel for want of memory', { queries: { [inBases('berth_kernel_kills')]: '{{instance}}' } }),
      graph('Requests with tokens that are not known', {
        queries: { [sum('instance', rate(inBases('berth_token_guesses_total')))]: '{{instance}}' },
        unit: 'reqps',
      }),
      graph('Series that were dropped', {
        queries: { [sum('instance', inBases('berth_metric_series_dropped_total'))]: '{{instance}}' },
        about: 'Of old versions, arms and hosts, since the cells started',
      }),
    ],
  ],
  [
    'What modules reach',
    [
      graph('Calls of services by outcome', {
        queries: { [sum('service, method, code', rate(inBases('berth_service_calls_total')))]: '{{service}}.{{method}} {{code}}' },
        unit: 'reqps',
      }),
      graph('99 % of the calls of a service take at most', {
        queries: { [quantile(0.99, 'service, method', inBases('berth_service_call_duration_seconds_bucket'))]: '{{service}}.{{method}}' },
        unit: 's',
      }),
      graph('What services cannot offer', {
        queries: { [`max by (instance, service, name) (${inBases('berth_service_fault')})`]: '{{instance}} {{service}} {{name}}' },
      }),
      graph('Fetches by host and outcome', {
        queries: { [sum('host, code', rate(inBases('berth_fetches_total')))]: '{{host}} {{code}}' },
        unit: 'reqps',
        width: 12,
      }),
      graph('99 % of the fetches from a host take at most', {
        queries: { [quantile(0.99, 'host', inBases('berth_fetch_duration_seconds_bucket'))]: '{{host}}' },
        unit: 's',
        width: 12,
      }),
    ],
  ],
]

const chosen = (name: string, label: string, query: string): QueryVariableBuilder =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ text: 'All', value: '$__all' })

/** The whole dashboard. Grafana asks for its Prometheus when it is imported. */
export function berthDashboard(): Dashboard {
  const builder = new DashboardBuilder('Berth')
    .uid('berth')
    .description('Bases of Berth: what is wrong first, then scenes, cells, keeper and disk, and what modules reach')
    .tags(['berth'])
    .timezone('browser')
    .refresh('30s')
    .time({ from: 'now-1h', to: 'now' })
    .tooltip(DashboardCursorSync.Crosshair)
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(chosen('instance', 'Base', 'label_values(berth_build_info, instance)'))
    .withVariable(chosen('scene', 'Scene', 'label_values(berth_requests_total{instance=~"$instance"}, scene)'))
  for (const [title, panels] of rows) {
    builder.withRow(new RowBuilder(title))
    for (const panel of panels) builder.withPanel(panel)
  }
  const { panels = [], ...dashboard } = builder.build()
  return { ...dashboard, panels: panels.map((panel, index) => ({ ...panel, id: index + 1 })) }
}

export const dashboardText = (): string => `${JSON.stringify(berthDashboard(), undefined, 2)}\n`

if (import.meta.main) writeFileSync(dashboardPath, dashboardText())
