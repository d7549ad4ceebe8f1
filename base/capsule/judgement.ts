/**
 * Judges a candidate by the answers that it and the baseline gave to the same capsules. Pure. First both answered all of them, each in one slot. The capsules
 * whose answers differ were then answered in fresh slots, and the baseline was asked again with other chance and clocks, which shows its noise.
 */
import { isDeepStrictEqual } from 'node:util'
import { errorTable, isErrorCode } from '../kernel/errors.ts'
import { limits } from '../kernel/limits.ts'
import { showShare } from '../traffic/ranges.ts'
import type { FieldTolerance, Validation } from '../traffic/schema.ts'
import type { Answered } from './answered.ts'
import type { CapturedAnswer } from './capsule.ts'
import { compareAnswers, type FieldDifference, Layout } from './comparison.ts'
import { type Count, isLarger, isMoreFrequent } from './noise.ts'
import type { Cost, EarlyEnd, Example, FieldReport, Growth, MissingReply, NewError, Quantiles, Reason, Report, Verdict } from './report.ts'

/** One capsule, answered by the baseline and by the candidate. */
export interface Round {
  readonly before: Answered
  readonly after: Answered
}

export interface FreshRound extends Round {
  /** The baseline with other chance and clocks. */
  readonly again: Answered
}

export interface Evidence {
  readonly what: 'version' | 'params'
  readonly baseline: string
  readonly candidate: string
  /** How many capsules were to be answered. */
  readonly chosen: number
  /** Each contender in one slot, capsule after capsule, in this order. */
  readonly used: readonly Round[]
  /** The baseline, and in the place of the candidate the baseline with other chance and clocks; a capsule may be in it several times. */
  readonly noise: readonly Round[]
  readonly fresh: readonly FreshRound[]
  readonly ended?: EarlyEnd | undefined
  readonly tookMs: number
}

/** Fewer comparable requests than this part of them say nothing. */
const COMPARABLE_MIN = 0.8
/** Fewer answers than this say nothing when more were to come. */
const ANSWERED_MIN = 40
const EXAMPLES = 3
const EXAMPLE_CHARS_MAX = 160
const EXAMPLE_CHARS_BEFORE = 40
const FIELDS_MAX = 50
const HEAP_WORDS = 1024

type Failure = Extract<CapturedAnswer, { readonly failure: unknown }>['failure']

const failureOf = ({ answer }: Answered): Failure | undefined => ('failure' in answer ? answer.failure : undefined)
const degradationOf = ({ answer }: Answered): string | undefined => ('json' in answer ? answer.degraded : undefined)
const isComparable = ({ before, after }: Round): boolean => before.newCalls.length === 0 && after.newCalls.length === 0

/** What a module refuses on purpose is an answer. */
function isFault(failure: Failure | undefined): boolean {
  return failure !== undefined && !(isErrorCode(failure.code) && errorTable[failure.code].blame === 'caller')
}

/** Whether the candidate fails, or answers only in part, where the baseline does not. */
const isNewError = ({ before, after }: Round): boolean =>
  failureOf(before) === undefined &&
  (failureOf(after) !== undefined || (degradationOf(before) === undefined && degradationOf(after) !== undefined))

const isMended = ({ before, after }: Round): boolean => isFault(failureOf(before)) && failureOf(after) === undefined

/** What is compared of an answer. */
const comparedOf = (answered: Answered): unknown => {
  const { answer } = answered
  return 'json' in answer ? JSON.parse(answer.json) : { failure: answer.failure.code }
}

const sameText = ({ before, after }: Round): boolean =>
  'json' in before.answer && 'json' in after.answer && before.answer.json === after.answer.json

/** How the answers of a round differ. An error is no difference: it counts by itself. */
function differencesOf(round: Round, layout: Layout): FieldDifference[] {
  if (sameText(round) || isNewError(round) || isMended(round)) return []
  return compareAnswers(comparedOf(round.before), comparedOf(round.after), layout)
}

const layoutOf = (rounds: readonly Round[], fields: Validation['fields']): Layout =>
  new Layout(
    rounds.filter(({ before }) => 'json' in before.answer).map(({ before }) => comparedOf(before)),
    fields,
  )

/** Whether the slot of the candidate was killed, where that of the baseline was not. */
const isNewKill = ({ before, after }: Round): boolean => after.killed && !before.killed

/** Without the kills of the candidate that a fresh slot does not confirm: a machine that stands still for a moment kills slots too. */
function withoutChanceKills({ used, fresh }: Evidence): readonly Round[] {
  const survived = new Set(fresh.filter(({ after }) => !after.killed).map(({ after }) => after.capsule))
  return used.filter(round => !isNewKill(round) || !survived.has(round.after.capsule))
}

/** Capsules in which one difference is tried again. With more, no test says more of what makes it certain, and each takes three fresh slots. */
const CONFIRMED_EACH = 40

/** Ids of capsules to answer in fresh slots: some for each field that differs, and for kills of the candidate. What is rare is tried in all. */
export function capsulesToConfirm(used: readonly Round[], { fields }: Validation): string[] {
  const comparable = used.filter(isComparable)
  const layout = layoutOf(comparable, fields)
  const seenIn = new Map<string, string[]>()
  for (const round of comparable) {
    const seen = isNewKill(round) ? ['killed'] : differencesOf(round, layout).map(keyOf)
    for (const key of seen) seenIn.getOrInsertComputed(key, () => []).push(round.before.capsule)
  }
  const chosen = new Set<string>()
  for (const capsules of [...seenIn.values()].sort((one, other) => one.length - other.length)) {
    const others = capsules.filter(capsule => !chosen.has(capsule))
    for (const capsule of spread(others, CONFIRMED_EACH - (capsules.length - others.length))) chosen.add(capsule)
  }
  const inOrder = comparable.map(({ before }) => before.capsule).filter(capsule => chosen.has(capsule))
  return spread(inOrder, limits.capsule.validatedFreshMax)
}

/** At most so many of them, from the first to the last. */
function spread<T>(all: readonly T[], max: number): T[] {
  const count = Math.max(0, Math.min(all.length, max))
  return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)] as T)
}

/** The capsules that the candidate newly fails, which say whether chance alone may be the cause. */
export const hasNewErrors = (used: readonly Round[]): boolean => used.some(round => isComparable(round) && isNewError(round))

/** Judges the candidate. It may only fail by errors, kills, hosts and heap when too few requests can be compared. */
export function judge(evidence: Evidence, settings: Validation): Report {
  const { chosen, what, baseline, candidate, ended, tookMs } = evidence
  const used = withoutChanceKills(evidence)
  const comparable = used.filter(isComparable)
  const hasData = comparable.length > 0 && comparable.length >= COMPARABLE_MIN * used.length
  const fields = hasData ? fieldsOf(evidence, comparable, settings) : { reports: [], differing: new Set<string>() }
  const figures: Figures = {
    comparable,
    errors: newErrors(comparable),
    killed: used.filter(isNewKill).length,
    newHosts: newHostsOf(used),
    heap: growthOf(evidence.used),
    cpu: hasData ? costOf(comparable, ({ cpuMs }) => cpuMs) : undefined,
    latency: hasData ? costOf(comparable, latencyOf) : undefined,
    fields: fields.reports,
    differing: fields.differing.size,
  }
  const reasons = reasonsOf(evidence, figures, settings)
  const { errors, newHosts, heap, cpu, latency, differing } = figures
  const shown = fields.reports.slice(0, FIELDS_MAX)
  return {
    verdict: verdictOf(reasons, hasData && !isTooEarly(evidence)),
    mode: settings.mode,
    ...{ what, baseline, candidate, capsules: chosen, answered: used.length, comparable: comparable.length, differing, reasons },
    ...(ended !== undefined && { ended }),
    missingReplies: missingReplies(used),
    errors,
    mended: comparable.filter(isMended).length,
    ...(cpu && { cpu: cpu.shown }),
    ...(latency && { latency: latency.shown }),
    ...(heap && { heap }),
    newHosts,
    fields: shown,
    fieldsLeftOut: fields.reports.length - shown.length,
    tookMs: Math.round(tookMs),
  }
}

/** Whether it ended when so few requests were answered that nothing is to be said for the candidate. */
const isTooEarly = ({ ended, used, chosen }: Evidence): boolean => ended !== undefined && used.length < Math.min(ANSWERED_MIN, chosen)

const verdictOf = (reasons: readonly Reason[], hasData: boolean): Verdict =>
  reasons.length > 0 ? 'failed' : hasData ? 'passed' : 'no data'

// Reasons

interface Figures {
  readonly comparable: readonly Round[]
  readonly errors: readonly NewError[]
  readonly killed: number
  readonly newHosts: readonly string[]
  readonly heap: Growth | undefined
  readonly cpu: MeasuredCost | undefined
  readonly latency: MeasuredCost | undefined
  readonly fields: readonly FieldReport[]
  readonly differing: number
}

/** Milliseconds a request by which a candidate may be slower whatever the ratio is: less is the noise of the clock. */
const CPU_SLACK_MS = 0.02
const LATENCY_SLACK_MS = 0.5

/** What weighs most comes first. */
function reasonsOf(evidence: Evidence, figures: Figures, { thresholds }: Validation): Reason[] {
  const { candidate, baseline, used, what } = evidence
  const reasons: Reason[] = []
  const add = (fault: Reason['fault'], message: string) => reasons.push({ fault, message })
  const { newHosts, heap, killed, cpu, latency, fields, differing, comparable } = figures
  if (newHosts.length > 0 && !thresholds.newHosts) add('hosts', `it asks ${newHosts.join(', ')}, which ${baseline} does not`)
  if (heap !== undefined && heap.candidate - Math.max(0, heap.baseline) > thresholds.heapKB * HEAP_WORDS) {
    add('heap', `its heap grows by ${kilobytes(heap.candidate)} with each request, that of ${baseline} by ${kilobytes(heap.baseline)}`)
  }
  if (killed > 0) add('killed', `its slot was killed over ${killed} of ${used.length} requests`)
  const errors = errorsBeyondNoise(evidence, figures)
  if (errors > thresholds.errors * comparable.length) {
    const allowed = thresholds.errors === 0 ? '' : `; allowed are ${percent(thresholds.errors)}`
    add('errors', `it fails ${partOf(errors, comparable.length)} that ${baseline} answers${allowed}`)
  }
  const broken = fields.filter(({ kind, counts }) => counts && (kind === 'missing' || kind === 'type'))
  if (broken.length > 0) add('shape', broken.slice(0, EXAMPLES).map(describeBroken).join('; '))
  if (cpu?.exceeds(thresholds.cpu, CPU_SLACK_MS)) add('cpu', describeCost('CPU', cpu.shown, thresholds.cpu))
  if (latency?.exceeds(thresholds.latency, LATENCY_SLACK_MS)) add('latency', describeCost('time', latency.shown, thresholds.latency))
  if (what === 'version' && differing > thresholds.differing * comparable.length) {
    add('differences', `${candidate} answers ${partOf(differing, comparable.length)} otherwise`)
  }
  return reasons
}

/** 0 when the baseline itself fails as often with other chance and clocks. */
function errorsBeyondNoise({ noise }: Evidence, { comparable }: Figures): number {
  const seen = comparable.filter(isNewError).length
  return isMoreFrequent({ seen, of: comparable.length }, { seen: noise.filter(isNewError).length, of: noise.length }) ? seen : 0
}

function describeBroken({ path, kind, renamedTo, requests }: FieldReport): string {
  const what = kind === 'type' ? 'has another type' : renamedTo === undefined ? 'is missing' : `is ${renamedTo} now`
  return `${path === '' ? 'the answer' : path} ${what} in ${requests} ${requests === 1 ? 'request' : 'requests'}`
}

const describeCost = (what: string, { baselineMs, candidateMs, ratio }: Cost, allowed: number): string =>
  `it takes ${round(ratio)} times the ${what} (${round(candidateMs)} ms for ${round(baselineMs)} ms); allowed is ${allowed} times`

const percent = (share: number): string => showShare(Math.round(share * 10_000))
const partOf = (count: number, of: number): string => `${count} of ${of} requests (${percent(count / of)})`
const kilobytes = (bytes: number): string => `${Math.round(bytes / HEAP_WORDS)} KB`
const round = (value: number): number => Number(value.toPrecision(3))

// What was asked of the outside

function newHostsOf(used: readonly Round[]): string[] {
  const known = new Set(used.flatMap(({ before }) => before.hosts))
  return [...new Set(used.flatMap(({ after }) => after.hosts))].filter(host => !known.has(host)).sort()
}

function missingReplies(used: readonly Round[]): MissingReply[] {
  const counts = new Map<string, MissingReply>()
  for (const { before, after } of used) {
    const calls = [...before.newCalls, ...after.newCalls].map(({ kind, target }) => [`${kind} ${target}`, kind, target] as const)
    for (const [key, kind, target] of new Map(calls.map(call => [call[0], call])).values()) {
      counts.set(key, { kind, target, requests: (counts.get(key)?.requests ?? 0) + 1 })
    }
  }
  return [...counts.values()].sort((one, other) => other.requests - one.requests).slice(0, FIELDS_MAX)
}

// Errors

function newErrors(comparable: readonly Round[]): NewError[] {
  const groups = new Map<string, NewError>()
  for (const { before, after } of comparable.filter(isNewError)) {
    const failure = failureOf(after)
    const { code, message, stage, module } = failure ?? ({ code: 'DEGRADED', message: degradationOf(after) ?? '' } as Failure)
    const key = JSON.stringify([code, stage, module, failure === undefined ? message : ''])
    const { requests = 0, capsules = [] } = groups.get(key) ?? {}
    const ids = capsules.length < EXAMPLES ? [...capsules, before.capsule] : capsules
    groups.set(key, { code, message, ...(stage && { stage }), ...(module && { module }), requests: requests + 1, capsules: ids })
  }
  return [...groups.values()].sort((one, other) => other.requests - one.requests).slice(0, FIELDS_MAX)
}

// Costs

interface MeasuredCost {
  readonly shown: Cost
  exceeds(ratio: number, slackMs: number): boolean
}

/** Requests are looked at in so many parts, so that one pause of the collector spoils one part. */
const PARTS = 10
/** With fewer requests nothing is said about costs. */
const COSTED_MIN = 40

const latencyOf = ({ tookMs, waitedMs }: Answered): number => tookMs + waitedMs

function costOf(comparable: readonly Round[], costMs: (answered: Answered) => number): MeasuredCost | undefined {
  const both = comparable.filter(({ before, after }) => failureOf(before) === undefined && failureOf(after) === undefined)
  if (both.length < COSTED_MIN) return undefined
  const pairs = both.map(({ before, after }) => [costMs(before), costMs(after)] as const)
  const parts = Array.from({ length: PARTS }, (_, part) =>
    pairs.slice(Math.floor((part * pairs.length) / PARTS), Math.floor(((part + 1) * pairs.length) / PARTS)),
  ).map(part => ({ of: part.length, before: sum(part.map(([before]) => before)), after: sum(part.map(([, after]) => after)) }))
  const ratioOf = ({ before, after }: (typeof parts)[number]) => after / Math.max(before, Number.EPSILON)
  // All three of one part, so that the ratio is that of the times beside it.
  const middle = parts.toSorted((one, other) => ratioOf(one) - ratioOf(other))[Math.ceil(PARTS / 2) - 1] as (typeof parts)[number]
  const shown = { baselineMs: middle.before / middle.of, candidateMs: middle.after / middle.of, ratio: ratioOf(middle) }
  const exceeds = (ratio: number, slackMs: number) =>
    parts.filter(({ of, before, after }) => after > ratio * before + slackMs * of).length >= PARTS - 1
  return { shown, exceeds }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** The smallest value that this part of all values does not exceed; 0 when there are none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))] ?? 0
}

// Heap

/** Sizes of the heap that a slot has to show before they say anything. */
const SIZES_MIN = 4

function growthOf(used: readonly Round[]): Growth | undefined {
  const baseline = growth(used.map(({ before }) => before))
  const candidate = growth(used.map(({ after }) => after))
  return baseline === undefined || candidate === undefined ? undefined : { baseline, candidate }
}

type Size = readonly [request: number, bytes: number]

/** Bytes that the heap of a slot grows with each request, by the slot whose heap was measured most often. */
function growth(answers: readonly Answered[]): number | undefined {
  const slots: Size[][] = [[]]
  for (const [request, { heapBytes, killed }] of answers.entries()) {
    if (killed) slots.push([])
    else if (heapBytes !== undefined) slots.at(-1)?.push([request, heapBytes])
  }
  const longest = slots.reduce((one, other) => (other.length > one.length ? other : one))
  return longest.length < SIZES_MIN ? undefined : slopeOf(longest)
}

/** The median of the slopes between all pairs of points, by Theil and Sen. */
function slopeOf(points: readonly Size[]): number {
  const slopes = points.flatMap(([x, y], index) => points.slice(index + 1).map(([laterX, laterY]) => (laterY - y) / (laterX - x)))
  return quantile(slopes, 0.5)
}

// Fields

/** A field that differs in one request. */
interface Sighting {
  readonly capsule: string
  readonly difference: FieldDifference
  /** What fresh slots say of it: it differs there too; the baseline alone differs from itself; or only the candidate carries something over. */
  readonly finding: 'confirmed' | 'noise' | 'carried over' | 'unchecked'
}

interface Fields {
  readonly reports: readonly FieldReport[]
  readonly differing: ReadonlySet<string>
}

const keyOf = ({ kind, path }: FieldDifference): string => `${kind} ${path}`

function fieldsOf(evidence: Evidence, comparable: readonly Round[], { fields: tolerances }: Validation): Fields {
  const layout = layoutOf(comparable, tolerances)
  const sightings = sightingsOf(comparable, evidence.fresh, layout)
  const renames = renamesIn(sightings)
  const noise = noiseOf(evidence, layout)
  const differing = new Set<string>()
  const reports = [...sightings].map(([key, seen]) => {
    const real = withoutNoise(seen)
    const path = seen[0]?.difference.path ?? ''
    const counts = countsOf(real, noise(path), comparable.length, layout.tolerance(path))
    const kind = seen[0]?.difference.kind ?? 'value'
    if (counts && (kind === 'value' || kind === 'list')) for (const { capsule } of real) differing.add(capsule)
    return { ...reportOf(real.length === 0 ? seen : real, noise(path), comparable.length), counts, ...renamed(renames.get(key)) }
  })
  // A new field that has the values of a missing one is named with that.
  const named = new Set(renames.values())
  return { reports: reports.filter(({ kind, path }) => kind !== 'new' || !named.has(path)).sort(byWeight), differing }
}

const renamed = (to: string | undefined) => (to === undefined ? {} : { renamedTo: to })

const byWeight = (one: FieldReport, other: FieldReport): number =>
  Number(other.counts) - Number(one.counts) || other.requests - one.requests || (one.path < other.path ? -1 : 1)

function sightingsOf(comparable: readonly Round[], fresh: readonly FreshRound[], layout: Layout): Map<string, Sighting[]> {
  const freshOf = new Map(fresh.map(round => [round.before.capsule, round]))
  const sightings = new Map<string, Sighting[]>()
  for (const round of comparable) {
    const { capsule } = round.before
    const differences = differencesOf(round, layout)
    const find = differences.length === 0 ? () => 'unchecked' as const : findingIn(round, freshOf.get(capsule), layout)
    for (const difference of differences) {
      const key = keyOf(difference)
      sightings.set(key, [...(sightings.get(key) ?? []), { capsule, difference, finding: find(difference) }])
    }
  }
  return sightings
}

function findingIn(used: Round, fresh: FreshRound | undefined, layout: Layout): (difference: FieldDifference) => Sighting['finding'] {
  if (fresh === undefined) return () => 'unchecked'
  const paths = (before: Answered, after: Answered) => new Set(differencesOf({ before, after }, layout).map(({ path }) => path))
  const confirmed = paths(fresh.before, fresh.after)
  const impure = paths(used.before, fresh.before)
  return ({ path }) => (confirmed.has(path) ? 'confirmed' : impure.has(path) ? 'noise' : 'carried over')
}

/** What was not tried in a fresh slot is taken to be as what was. */
function withoutNoise(seen: readonly Sighting[]): Sighting[] {
  const real = seen.filter(({ finding }) => finding === 'confirmed' || finding === 'carried over')
  const isAllNoise = real.length === 0 && seen.some(({ finding }) => finding === 'noise')
  return isAllNoise ? [] : seen.filter(({ finding }) => finding !== 'noise')
}

/** How the baseline differs from itself in one field. */
interface Noise extends Count {
  /**
   * By how much in fresh slots, where it differs at all, and by how much the candidate differs there: what was tried there was chosen because the candidate
   * differs, so how often it does says nothing. In used slots, one pause of a clock shifts all requests after it.
   */
  readonly amounts: readonly number[]
  readonly ofCandidate: readonly number[]
}

function noiseOf({ noise, fresh }: Evidence, layout: Layout): (path: string) => Noise {
  const rounds = noise.filter(isComparable)
  const inUsed = amountsIn(rounds, layout)
  const again = amountsIn(
    fresh.map(({ before, again: after }) => ({ before, after })),
    layout,
  )
  const candidate = amountsIn(fresh, layout)
  return path => {
    const amounts = positive(again(path))
    const seen = Math.max(positive(inUsed(path)).length, amounts.length)
    return { seen, of: Math.max(rounds.length, seen), amounts, ofCandidate: positive(candidate(path)) }
  }
}

const positive = (amounts: readonly number[]): number[] => amounts.filter(amount => amount > 0)

/** By how much each of the rounds that can be compared differs in a field. */
function amountsIn(rounds: readonly Round[], layout: Layout): (path: string) => readonly number[] {
  const amounts = rounds
    .filter(isComparable)
    .map(round => new Map(differencesOf(round, layout).map(difference => [difference.path, amountOf(difference)])))
  return path => amounts.map(ofRound => ofRound.get(path) ?? 0)
}

function amountOf({ shift, list }: FieldDifference): number {
  if (shift !== undefined) return Math.abs(shift)
  return list === undefined ? 1 : list.moved + list.added + list.missing
}

/** Whether a field differs more than by noise, and more than the scene allows. */
function countsOf(real: readonly Sighting[], noise: Noise, of: number, { requests = 0 }: FieldTolerance): boolean {
  if (real.length === 0 || real.length <= requests * of) return false
  return isMoreFrequent({ seen: real.length, of }, noise) || isLarger(noise.ofCandidate, noise.amounts)
}

/** By the key of a field that is missing: the path of the new one that has its values. */
function renamesIn(sightings: ReadonlyMap<string, readonly Sighting[]>): Map<string, string> {
  const ofKind = (kind: string) => [...sightings].filter(([, [first]]) => first?.difference.kind === kind)
  const renames = new Map<string, string>()
  for (const [key, missing] of ofKind('missing')) {
    for (const [, added] of ofKind('new')) {
      const path = added[0]?.difference.path ?? ''
      if (parentOf(path) === parentOf(missing[0]?.difference.path ?? '') && haveSameValues(missing, added)) renames.set(key, path)
    }
  }
  return renames
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

function haveSameValues(missing: readonly Sighting[], added: readonly Sighting[]): boolean {
  const values = new Map(added.map(({ capsule, difference }) => [capsule, difference.after]))
  return missing.every(({ capsule, difference }) => values.has(capsule) && isDeepStrictEqual(values.get(capsule), difference.before))
}

function reportOf(seen: readonly Sighting[], noise: Noise, of: number): Omit<FieldReport, 'counts' | 'renamedTo'> {
  const differences = seen.map(({ difference }) => difference)
  const lists = differences.map(({ list }) => list).filter(list => list !== undefined)
  const { path, kind } = differences[0] ?? { path: '', kind: 'value' }
  return {
    ...{ path, kind, requests: seen.length, noise: noise.of === 0 ? 0 : Math.round((noise.seen / noise.of) * of) },
    ...quantilesOf('absolute', differences),
    ...quantilesOf('relative', differences),
    ...(lists.length > 0 && {
      list: {
        moved: sum(lists.map(({ moved }) => moved)),
        added: sum(lists.map(({ added }) => added)),
        missing: sum(lists.map(({ missing }) => missing)),
      },
    }),
    carriedOver: seen.filter(({ finding }) => finding === 'carried over').length,
    examples: seen.slice(0, EXAMPLES).map(exampleOf),
  }
}

function quantilesOf(what: 'absolute' | 'relative', differences: readonly FieldDifference[]): { [what]?: Quantiles } {
  const values = differences.map(difference => difference[what]).filter(value => value !== undefined)
  if (values.length === 0) return {}
  return { [what]: { p50: quantile(values, 0.5), p90: quantile(values, 0.9), max: quantile(values, 1) } }
}

function exampleOf({ capsule, difference: { before, after } }: Sighting): Example {
  const texts = [before, after].map(value => (value === undefined ? undefined : JSON.stringify(value)))
  const from = firstShown(texts)
  const [was, is] = texts.map(text => (text === undefined ? undefined : cut(text, from)))
  return { capsule, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) }
}

/** Where texts begin that are too long to be shown: a little before they differ. */
function firstShown([one = '', other = '']: readonly (string | undefined)[]): number {
  if (Math.max(one.length, other.length) <= EXAMPLE_CHARS_MAX) return 0
  let same = 0
  while (same < one.length && one[same] === other[same]) same++
  return Math.max(0, same - EXAMPLE_CHARS_BEFORE)
}

function cut(json: string, from: number): string {
  const shown = json.slice(from, from + EXAMPLE_CHARS_MAX)
  return `${from > 0 ? '…' : ''}${shown}${from + shown.length < json.length ? '…' : ''}`
}
