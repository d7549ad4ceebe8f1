/** `sdk replay`: sends logged traffic through a scene, measures, and shows what the log says of the click rate. */

import { exitCodes, RefusedError } from '../../sdk-error.ts'
import { usage } from '../arguments.ts'
import type { CommonOptions, Context } from '../context.ts'
import { type ClickRates, clickRates, type Estimate, itemReader, type Outcome } from '../replay/estimate.ts'
import { type Entry, readLog } from '../replay/log.ts'
import { type Measured, type Run, startReplay, type Target } from '../replay/send.ts'
import { interruption } from '../terminal/interruption.ts'
import type { Output } from '../terminal/output.ts'

export interface ReplayOptions extends Pick<CommonOptions, 'json'> {
  readonly scene?: string
  readonly version?: string
  readonly rate?: string
  readonly connections?: string
  readonly limit?: string
  readonly passes?: string
  readonly seed: string
  readonly items: string
  readonly itemId: string
  readonly url?: string
}

/** How many entries are read at most, since they are held in memory. */
const LIMIT_MAX = 1_000_000
const CONNECTIONS = 16
/** This is large because in the open loop a base that stalls must not be spared the requests that are due. */
const CONNECTIONS_MAX = 512
/** The seed of request ids. It is bounded so that the count fits behind it. */
const SEED = /^[\w.:-]{1,64}$/
/** Refusals that every request would meet. */
const HOPELESS: ReadonlySet<string> = new Set([
  'FORBIDDEN',
  'SCENE_NOT_FOUND',
  'SCENE_WITHOUT_BASELINE',
  'UNAUTHENTICATED',
  'VERSION_NOT_FOUND',
])

interface Settings {
  readonly limit: number
  readonly passes: number
  readonly perSecond: number | undefined
  readonly connections: number
}

/** The exit code is 1 when nothing was answered, and 3 when the base went away. What was measured is printed all the same. */
export async function replay(context: Context, files: readonly string[], options: ReplayOptions): Promise<void> {
  const settings = checkOptions(options)
  const pin = options.version === undefined ? {} : { 'x-scene-version': options.version }
  const { url, headers } = await context.client.scenePort(options.url)
  const target = { url, headers: { ...headers, ...pin } }
  const entries = await readLog(files, { scene: options.scene, limit: settings.limit })
  if (options.limit === undefined && entries.length === LIMIT_MAX)
    context.out.warn(`Only the first ${whole.format(LIMIT_MAX)} requests are replayed, which is as many as it holds in memory.`)
  await checkScenes(context, entries, target)
  const tally = createTally(entries, itemReader(options.items, options.itemId))
  const run = startReplay(target, { ...settings, entries, seed: options.seed }, tally.add)
  const showsBar = options.json !== true && process.stderr.isTTY === true
  const measured = await watch(run, showsBar ? await startBar(entries.length * settings.passes) : undefined)
  const report = reportOf(measured, settings, files, entries, tally.finish())
  context.out.result(report)
  print(context.out, report, options)
  if (measured.ended === 'gone') process.exitCode = exitCodes.unreachable
  else if (measured.answered === 0 && measured.ended === 'done') process.exitCode = exitCodes.refused
}

function checkOptions({ rate, connections, limit, passes, seed, items }: ReplayOptions): Settings {
  if (rate !== undefined && connections !== undefined)
    throw usage('Cannot take both --rate and --connections', 'Give --rate for a steady stream, --connections for as much as is answered.')
  if (!SEED.test(seed)) throw usage(`Cannot use "${seed}" as --seed`, 'Write up to 64 of A-Z a-z 0-9 _ . : -')
  if (items !== '' && !items.startsWith('/'))
    throw usage(`Cannot use "${items}" as --items: it is no JSON pointer`, 'Write it like /items.')
  return {
    limit: numberOf('--limit', limit, LIMIT_MAX) ?? LIMIT_MAX,
    passes: numberOf('--passes', passes, 10_000) ?? 1,
    perSecond: numberOf('--rate', rate, 1_000_000),
    connections: numberOf('--connections', connections, CONNECTIONS_MAX) ?? (rate === undefined ? CONNECTIONS : CONNECTIONS_MAX),
  }
}

function numberOf(option: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value
  throw usage(`Cannot use "${text}" as ${option}`, `Write a whole number from 1 to ${max}.`)
}

/**
 * Asks every scene of the log once, so that a scene that would refuse every request is reported before any is counted. This also loads the
 * version.
 */
async function checkScenes({ client }: Context, entries: readonly Entry[], target: Target): Promise<void> {
  const firsts = new Map(entries.toReversed().map(entry => [entry.scene, entry]))
  for (const [scene, { body, headers }] of firsts) {
    const invocation = { body, headers: { ...headers, ...target.headers }, url: target.url.href }
    await client.invoke(scene, invocation).catch((error: unknown) => {
      // What befalls one request may not befall the next, and will be counted.
      if (!(error instanceof RefusedError) || HOPELESS.has(error.code)) throw error
    })
  }
}

// While it runs

/** A first Ctrl-C ends the run with what was measured so far, a second one ends the process. */
async function watch(run: Run, bar: Bar | undefined): Promise<Measured> {
  using interrupted = interruption()
  interrupted.signal.addEventListener('abort', run.stop)
  const timer = setInterval(() => bar?.update(run.settled()), 100)
  try {
    return await run.finished
  } finally {
    clearInterval(timer)
    bar?.stop()
  }
}

interface Bar {
  update(value: number): void
  stop(): void
}

async function startBar(total: number): Promise<Bar> {
  const { default: progress } = await import('cli-progress')
  const format = '  {bar} {percentage}% · {value} of {total} · {eta_formatted} left'
  const bar = new progress.SingleBar({ format, clearOnComplete: true, hideCursor: true }, progress.Presets.shades_classic)
  bar.start(total, 0)
  return bar
}

interface Tally {
  add(index: number, body: string): void
  finish(): { readonly outcomes: readonly Outcome[]; readonly unlisted: number } | undefined
}

/** Counts how often the items that answers show are the logged ones. */
function createTally(entries: readonly Entry[], itemAt: ReturnType<typeof itemReader>): Tally {
  const answers = new Uint32Array(entries.length)
  const matches = new Uint32Array(entries.length)
  let unlisted = 0
  const count = (counts: Uint32Array, index: number): void => {
    counts[index] = (counts[index] ?? 0) + 1
  }
  return {
    add: (index, body) => {
      const shown = entries[index]?.shown
      if (shown === undefined) return
      const item = itemAt(body, shown.position)
      if (item === undefined) {
        unlisted++
        return
      }
      count(answers, index)
      if (item === shown.item) count(matches, index)
    },
    finish: () => {
      if (!entries.some(({ shown }) => shown !== undefined)) return undefined
      const outcomes = entries.flatMap(({ shown }, index): Outcome[] => {
        const answered = answers[index] ?? 0
        if (shown === undefined || answered === 0) return []
        return [{ clicked: shown.clicked, propensity: shown.propensity, answers: answered, matches: matches[index] ?? 0 }]
      })
      return { outcomes, unlisted }
    },
  }
}

// The report

interface Report {
  readonly files: readonly string[]
  readonly scenes: readonly string[]
  /** Answers by version. */
  readonly versions: Readonly<Record<string, number>>
  readonly ended: Measured['ended']
  readonly entries: number
  readonly passes: number
  readonly sent: number
  readonly answered: number
  readonly failed: number
  readonly seconds: number
  readonly answeredPerSecond: number
  /** The rate that --rate asked for; null in the closed loop. */
  readonly askedPerSecond: number | null
  readonly connections: number
  /** Latencies of the answers with status 200; null when there are none. */
  readonly latencyMs: Readonly<Record<'p50' | 'p90' | 'p99' | 'p999' | 'max' | 'mean', number>> | null
  readonly errors: readonly { readonly code: string; readonly count: number; readonly message: string }[]
  /** Null when no line of the log says what was shown. `unlisted` answers had no list of items. */
  readonly clickRates: (ClickRates & { readonly unlisted: number }) | null
}

function reportOf(
  measured: Measured,
  { passes, perSecond, connections }: Settings,
  files: readonly string[],
  entries: readonly Entry[],
  tally: ReturnType<Tally['finish']>,
): Report {
  const { ended, sent, answered, seconds, failures, versions, latencyUs } = measured
  const errors = [...failures].map(([code, { count, message }]) => ({ code, count, message })).sort((a, b) => b.count - a.count)
  const ms = (percent: number): number => latencyUs.percentile(percent) / 1000
  return {
    files,
    scenes: [...new Set(entries.map(({ scene }) => scene))],
    versions: Object.fromEntries([...versions].sort(([, a], [, b]) => b - a)),
    ended,
    entries: entries.length,
    passes,
    sent,
    answered,
    failed: errors.reduce((sum, { count }) => sum + count, 0),
    seconds,
    answeredPerSecond: answered / seconds,
    askedPerSecond: perSecond ?? null,
    connections,
    latencyMs:
      answered === 0
        ? null
        : { p50: ms(50), p90: ms(90), p99: ms(99), p999: ms(99.9), max: latencyUs.max / 1000, mean: latencyUs.mean / 1000 },
    errors,
    clickRates: tally === undefined ? null : { ...clickRates(tally.outcomes), unlisted: tally.unlisted },
  }
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

function print(out: Output, report: Report, options: ReplayOptions): void {
  const { scenes, versions, answered, failed, seconds, askedPerSecond, connections, latencyMs, errors, clickRates } = report
  const byVersion = Object.entries(versions).map(([version, count]) => `${version} ${whole.format(count)}`)
  const pace = askedPerSecond === null ? `${connections} connections` : `asked for ${whole.format(askedPerSecond)}`
  out.say(scenes.length > 3 ? `${scenes.length} scenes` : scenes.join(', '))
  out.say(
    `  answered    ${whole.format(answered)} in ${seconds.toFixed(1)} s: ${whole.format(report.answeredPerSecond)} per second (${pace})`,
  )
  if (scenes.length === 1 && byVersion.length > 0) out.say(`  by version  ${byVersion.join(', ')}`)
  if (latencyMs !== null) {
    const { p50, p90, p99, p999, max } = latencyMs
    const values = Object.entries({ p50, p90, p99, 'p99.9': p999, max }).map(([name, ms]) => `${name} ${ms.toFixed(2)} ms`)
    out.say(`  latency     ${values.join(' · ')}`)
  }
  if (failed > 0) {
    out.say('')
    out.table(
      ['  failed', 'code', 'the first of them'],
      errors.map(({ code, count, message }) => [`  ${whole.format(count)}`, code, message.slice(0, 100)]),
    )
  }
  if (clickRates !== null) printClickRates(out, clickRates, answered, options)
  if (report.ended === 'stopped')
    out.warn(`Stopped after ${whole.format(answered + failed)} of ${whole.format(report.entries * report.passes)}.`)
  if (report.ended === 'gone') out.warn('Stopped: nothing takes connections there any more. See whether the base runs with "base status".')
}

function printClickRates(out: Output, rates: NonNullable<Report['clickRates']>, answered: number, { items, itemId }: ReplayOptions): void {
  const { rows, clicks, matches, matchedRows, matchedClicks, effectiveRows, uniform, unlisted } = rates
  if (unlisted > 0) {
    const where = items === '' ? 'the answer itself' : items
    out.warn(
      `${whole.format(unlisted)} of ${whole.format(answered)} answers have no item with "${itemId}" in a list at ${where}: name them with --items and --item-id.`,
    )
  }
  if (rows === 0) return
  out.say('')
  const lines = [
    ['  log', rates.logged, `what was clicked: ${whole.format(clicks)} of ${whole.format(rows)}`],
    [
      '  replay',
      rates.replay,
      `of ${whole.format(matches)} answers that show the logged item, to ${whole.format(matchedRows)} rows, ${whole.format(matchedClicks)} clicked`,
    ],
    ['  IPS', rates.ips, 'weighted by 1 / propensity'],
    ['  SNIPS', rates.snips, `the same, self-normalised; worth ${whole.format(effectiveRows)} rows`],
  ] as const
  out.table(
    ['  click rate', '', 'standard error', ''],
    lines.map(([name, estimate, meaning]) => [name, ...estimateCells(estimate), meaning]),
  )
  if (matchedRows === 0)
    out.warn(
      'No answer shows the logged item at its position, so the log says nothing of this click rate. Replay more rows, or more --passes.',
    )
  else if (matchedClicks === 0) out.warn('None of the rows that match was clicked: the rate is too low to be seen in so few.')
  if (!uniform) out.warn('The log did not show every item equally often: "replay" is biased here, IPS and SNIPS are not.')
}

function estimateCells(estimate: Estimate | null): [string, string] {
  if (estimate === null) return ['–', '–']
  const { rate, standardError } = estimate
  const percent = (value: number): string => `${(value * 100).toFixed(3)} %`
  return [percent(rate), standardError === null ? '–' : `± ${percent(standardError)}`]
}
