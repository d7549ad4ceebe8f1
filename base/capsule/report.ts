/** What a validation says. It goes through the control API, and is kept without what is in capsules: they can be deleted. */
import type { ValidationMode } from '../traffic/schema.ts'
import type { DifferenceKind, ListChanges } from './comparison.ts'

/** `no data`: too few requests could be compared, which is neither good nor bad. */
export type Verdict = 'passed' | 'failed' | 'no data'

/** What a candidate fails by. */
export type Fault = 'hosts' | 'heap' | 'killed' | 'errors' | 'shape' | 'cpu' | 'latency' | 'differences'

export interface Reason {
  readonly fault: Fault
  /** One sentence with the figures. */
  readonly message: string
}

/** Why the validation ended before every capsule was answered. */
export type EarlyEnd = 'time' | 'kills' | 'process' | 'size'

/** A new way to fail, in requests that the baseline answers. */
export interface NewError {
  readonly code: string
  readonly message: string
  readonly stage?: string | undefined
  readonly module?: string | undefined
  readonly requests: number
  /** Ids of some of them. */
  readonly capsules: readonly string[]
}

/** Milliseconds that half of the requests take at most, and how much more the candidate takes in all. */
export interface Cost {
  readonly baselineMs: number
  readonly candidateMs: number
  readonly ratio: number
}

/** Bytes that the heap grows with each request. */
export interface Growth {
  readonly baseline: number
  readonly candidate: number
}

export interface Quantiles {
  readonly p50: number
  readonly p90: number
  readonly max: number
}

/** Values are JSON, cut to a length; they are missing for whoever may not read capsules. */
export interface Example {
  readonly capsule: string
  readonly before?: string | undefined
  readonly after?: string | undefined
}

export interface FieldReport {
  /** Empty: the answer itself. */
  readonly path: string
  readonly kind: DifferenceKind
  /** In how many requests it differs. */
  readonly requests: number
  /** In how many it would differ by the noise of the baseline alone. */
  readonly noise: number
  /** Whether that is more than noise, and more than the scene allows. */
  readonly counts: boolean
  /** The member that has the values of this one now. */
  readonly renamedTo?: string | undefined
  readonly absolute?: Quantiles | undefined
  readonly relative?: Quantiles | undefined
  /** Items, in all requests together. */
  readonly list?: ListChanges | undefined
  /** In how many requests it differs only because of requests before them. */
  readonly carriedOver: number
  readonly examples: readonly Example[]
}

export interface MissingReply {
  readonly kind: 'call' | 'service' | 'fetch'
  readonly target: string
  readonly requests: number
}

export interface Report {
  readonly verdict: Verdict
  readonly mode: ValidationMode
  readonly what: 'version' | 'params'
  readonly baseline: string
  readonly candidate: string
  /** Capsules that were chosen, that both versions have answered, and of these the ones that can be compared. */
  readonly capsules: number
  readonly answered: number
  readonly comparable: number
  /** In how many of them the answers differ, beyond noise. */
  readonly differing: number
  readonly reasons: readonly Reason[]
  readonly ended?: EarlyEnd | undefined
  /** What was asked of the outside for which capsules have no reply, the most frequent first. */
  readonly missingReplies: readonly MissingReply[]
  readonly errors: readonly NewError[]
  /** Requests that fail with the baseline and not with the candidate. */
  readonly mended: number
  readonly cpu?: Cost | undefined
  readonly latency?: Cost | undefined
  readonly heap?: Growth | undefined
  /** Hosts that the baseline does not ask. */
  readonly newHosts: readonly string[]
  /** Those that count first, and then those in the most requests. */
  readonly fields: readonly FieldReport[]
  readonly fieldsLeftOut: number
  readonly tookMs: number
}

/** In the place of the message of an error, in which code may have written what it was asked. */
const HIDDEN = 'what it says is for tokens with the right "capsules"'

/** The report for somebody who may not read capsules. What code may choose beyond values stays: names of fields, and of hosts and scenes that it asks. */
export const withoutContents = (report: Report): Report => ({
  ...report,
  fields: report.fields.map(field => ({ ...field, examples: field.examples.map(({ capsule }) => ({ capsule })) })),
  errors: report.errors.map(error => ({ ...error, message: HIDDEN })),
})

/** Whether it says something of capsules that `withoutContents` leaves out. */
export const hasContents = ({ fields, errors }: Report): boolean => errors.length > 0 || fields.some(({ examples }) => examples.length > 0)
