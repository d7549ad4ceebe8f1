/** The report of a validation as lines for people. */
import type { ValidationReport } from '../../../base/contract/validation-api.ts'

type Field = ValidationReport['fields'][number]
type FailedAnew = ValidationReport['errors'][number]

/** Fields and errors that are shown. `--json` has all of them. */
const SHOWN = 8

/** The lines, the first with how much could be compared, then why the candidate fails, then what it does otherwise. */
export function describeValidation(report: ValidationReport): string[] {
  if (report.capsules === 0) return ['not validated: there are no captured requests to answer']
  const head = `validation of ${describeCandidate(report)}: ${report.verdict.toUpperCase()}`
  return [describeComparable(report), head, ...details(report)].map((line, index) => (index === 0 ? line : `  ${line}`))
}

/** A capsule that shows why the candidate fails, if there is one. */
export function exampleOf({ errors, fields }: ValidationReport): string | undefined {
  return errors[0]?.capsules[0] ?? fields.find(({ counts }) => counts)?.examples[0]?.capsule
}

/** The part of the requests that could be compared, such as `450 of 450 captured requests can be compared (100%)`. */
function describeComparable({ capsules, answered, comparable, ended }: ValidationReport): string {
  const part = answered === 0 ? '' : ` (${percent(comparable / answered)})`
  const early = ended === undefined ? '' : `; of ${capsules} that were chosen, since ${earlyEnds[ended]}`
  return `${comparable} of ${answered} captured requests can be compared${part}${early}`
}

const earlyEnds = {
  time: 'the time was up',
  kills: 'the candidate had been killed often enough',
  process: 'the process that answers could not go on',
  size: 'the answers take too much memory',
} as const

const describeCandidate = ({ what, baseline, candidate }: ValidationReport): string =>
  what === 'params' ? `the params of ${candidate}, against those in force` : `${candidate}, against ${baseline}`

function details(report: ValidationReport): string[] {
  return [
    ...report.reasons.map(({ message }) => `✖ ${message}`),
    ...describeErrors(report),
    ...describeCosts(report),
    ...describeFields(report),
    ...describeMissing(report),
  ]
}

function describeErrors({ errors, mended }: ValidationReport): string[] {
  return [
    ...errors.slice(0, SHOWN).map(describeError),
    ...(mended === 0 ? [] : [`${requests(mended)} that fail with the baseline are answered`]),
  ]
}

function describeError({ code, message, stage, module, requests: count, capsules }: FailedAnew): string {
  const place = [stage, module].filter(part => part !== undefined).join(', ')
  return `${code}${place === '' ? '' : ` in ${place}`}: ${message} (${requests(count)}, such as ${capsules.join(', ')})`
}

function describeCosts({ cpu, latency, heap }: ValidationReport): string[] {
  const costs = [
    ...(cpu === undefined ? [] : [`CPU ${describeCost(cpu)}`]),
    ...(latency === undefined ? [] : [`time ${describeCost(latency)}`]),
    ...(heap === undefined || kilobytes(heap.candidate) === kilobytes(heap.baseline)
      ? []
      : [`heap ${kilobytes(heap.baseline)} → ${kilobytes(heap.candidate)} more with each`]),
  ]
  return costs.length === 0 ? [] : [`a request, from the baseline to the candidate: ${costs.join(', ')}`]
}

const describeCost = ({ baselineMs, candidateMs, ratio }: NonNullable<ValidationReport['cpu']>): string =>
  `${ms(baselineMs)} → ${ms(candidateMs)} (${number(ratio)}×)`

function describeFields({ fields, comparable, fieldsLeftOut }: ValidationReport): string[] {
  const differing = fields.filter(({ counts }) => counts)
  const noise = fields.length - differing.length
  if (fields.length === 0) return comparable === 0 ? [] : ['no field of the answers differs']
  const hidden = Math.max(0, differing.length - SHOWN) + fieldsLeftOut
  return [
    ...differing.slice(0, SHOWN).flatMap(field => describeField(field, comparable)),
    ...(hidden > 0 ? [`${hidden} more fields differ: --json has them`] : []),
    ...(noise > 0
      ? [`${noise} ${noise === 1 ? 'field differs' : 'fields differ'} within the noise of the baseline, or as the scene allows`]
      : []),
  ]
}

function describeField(field: Field, comparable: number): string[] {
  const { path, requests: count, noise, carriedOver, examples } = field
  const where = `${count} of ${comparable} requests (${percent(count / comparable)})`
  const more = [
    ...(noise > 0 ? [`noise alone: about ${noise}`] : []),
    ...(carriedOver > 0 ? [`in ${carriedOver} only because of requests before them`] : []),
  ]
  return [
    `${path === '' ? 'the answer' : path} ${describeKind(field)}in ${[where, ...more].join('; ')}`,
    // Of long values only the beginning is known, which may be the same.
    ...examples.map(({ capsule, before, after }) =>
      before === after ? `    ${capsule}` : `    ${capsule}  ${before ?? 'not there'} → ${after ?? 'not there'}`,
    ),
  ]
}

function describeKind({ kind, renamedTo, absolute, relative, list }: Field): string {
  if (renamedTo !== undefined) return `is ${renamedTo} now, `
  if (kind === 'missing') return 'is missing '
  if (kind === 'type') return 'has another type '
  if (kind === 'new') return 'is new '
  if (list !== undefined) return `has ${describeList(list)}, `
  if (absolute === undefined || relative === undefined) return 'differs '
  const by = `half by at most ${number(absolute.p50)} (${percent(relative.p50)}), all by at most ${number(absolute.max)} (${percent(relative.max)})`
  return `differs, ${by}, `
}

function describeList({ moved, added, missing }: NonNullable<Field['list']>): string {
  const items = (count: number) => `${count} ${count === 1 ? 'item' : 'items'}`
  return [
    ...(missing > 0 ? [`${items(missing)} fewer`] : []),
    ...(added > 0 ? [`${items(added)} more`] : []),
    ...(moved > 0 ? [`${items(moved)} in another place`] : []),
  ].join(', ')
}

const askedBy = { call: 'the scene', service: 'the service', fetch: 'the host' } as const

function describeMissing({ missingReplies }: ValidationReport): string[] {
  return missingReplies
    .slice(0, SHOWN)
    .map(
      ({ kind, target, requests: count }) =>
        `not compared: ${requests(count)} that asked ${askedBy[kind]} ${target} for what was not recorded`,
    )
}

const requests = (count: number): string => `${count} ${count === 1 ? 'request' : 'requests'}`
const number = (value: number): string => String(Number(value.toPrecision(3)))
const percent = (share: number): string => `${number(share * 100)}%`
const ms = (value: number): string => `${number(value)} ms`
const kilobytes = (bytes: number): string => `${Math.round(bytes / 1024)} KB`
