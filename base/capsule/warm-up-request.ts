/** What a capsule is good for when a new slot warms up: a request whose answer nobody gets, with the replies to what it asks of others. */
import { CALL_STRIDE, REQUEST_STRIDE, SETTLED_STRIDE } from '../inside/protocol.ts'
import { FEATURES } from '../kernel/options.ts'
import type { Capsule, Entry } from './capsule.ts'

/** A reply that may be given again. Bytes are as they are in entries. */
export type RecordedReply =
  /** For `ctx.call` the service is empty and the method is the scene; input and answer are JSON. */
  | { readonly kind: 'call'; readonly service: string; readonly method: string; readonly input: string; readonly answer: string }
  | {
      readonly kind: 'fetch'
      readonly method: string
      readonly head: string
      readonly body: string | undefined
      readonly answer: FetchAnswer
    }

/** Head and body, as they are in an entry. */
export type FetchAnswer = readonly [head: string, body: string]

export interface WarmUpRequest {
  readonly requestId: string
  readonly body: string
  readonly unit: string | undefined
  readonly bucket: number | undefined
  readonly deadlineMs: number
  /** JSON. */
  readonly params: string
  /** In the order in which they were asked for. */
  readonly replies: readonly RecordedReply[]
}

/** A capsule with the entries from its first to its last. */
export interface CapsuleAlone {
  readonly capsule: Capsule
  readonly entries: readonly Entry[]
}

/**
 * The request of a capsule. What it asks the service `features` for has no recorded replies, because the service is asked as ever.
 * @param params JSON of the parameters, as they are worked out now
 * @returns undefined when the capsule is of no use: its request failed or was late, or something that it asked for has failed, or was not answered. A module may
 * keep what it got for ever, so it must get nothing but good replies; nor must it get what was redacted
 */
export function warmUpRequest({ capsule, entries }: CapsuleAlone, params: string): WarmUpRequest | undefined {
  const sent = sentIn(entries, capsule.no)
  const replies = 'json' in capsule.answer ? repliesOf(entries, capsule.no) : undefined
  if (sent === undefined || replies === undefined || (capsule.redacted.length > 0 && replies.length > 0)) return undefined
  const { requestId, deadlineMs, unit, bucket } = capsule
  return { requestId, body: sent, unit, bucket, deadlineMs, params, replies }
}

/** The body of a request, as it went into the slot. */
function sentIn(entries: readonly Entry[], no: number): string | undefined {
  for (const { kind, values } of entries) {
    if (kind !== 'turn') continue
    const [firstNo, requests] = values as [number, readonly string[]]
    const at = (no - firstNo) * REQUEST_STRIDE
    if (at >= 0 && at < requests.length) return requests[at + 1]
  }
  return undefined
}

/** Undefined when a reply is missing, or is a failure. */
function repliesOf(entries: readonly Entry[], no: number): readonly RecordedReply[] | undefined {
  const answers = answersIn(entries)
  const replies: RecordedReply[] = []
  for (const asked of entries.flatMap(entry => askedFor(entry, no))) {
    const answer = answers.get(asked.callNo)
    if (answer === undefined) return undefined
    if (asked.kind === 'fetch') {
      if (typeof answer === 'string') return undefined
      const { method, head, body } = asked
      replies.push({ kind: 'fetch', method, head, body, answer })
    } else if (typeof answer !== 'string') return undefined
    else if (asked.service !== FEATURES) {
      const { service, method, input } = asked
      replies.push({ kind: 'call', service, method, input, answer })
    }
  }
  return replies
}

/** What calls and fetches were answered with, by their number; those that failed are left out. */
function answersIn(entries: readonly Entry[]): Map<number, string | FetchAnswer> {
  const answers = new Map<number, string | FetchAnswer>()
  for (const { kind, values } of entries) {
    if (kind === 'settleFetch') {
      const [callNo, head, body] = values as [number, string, string]
      answers.set(callNo, [head, body])
    }
    if (kind !== 'settleCalls') continue
    const settled = values[0] as readonly (number | string)[]
    for (let i = 0; i < settled.length; i += SETTLED_STRIDE)
      if (settled[i + 1] === 1) answers.set(settled[i] as number, settled[i + 2] as string)
  }
  return answers
}

type Asked =
  | { readonly kind: 'call'; readonly callNo: number; readonly service: string; readonly method: string; readonly input: string }
  | { readonly kind: 'fetch'; readonly callNo: number; readonly method: string; readonly head: string; readonly body: string | undefined }

/** What the request has asked of others while an entry ran. */
function askedFor({ asked }: Entry, no: number): Asked[] {
  return asked.flatMap(([kind, ...values]): Asked[] => {
    if (kind === 'calls') return callsOf(values as (number | string)[], no)
    if (kind !== 'fetch') return []
    const [callNo, requestNo, , method, head, body] = values as [number, number, number, string, string, string?]
    return requestNo === no ? [{ kind, callNo, method, head, body }] : []
  })
}

function callsOf(values: readonly (number | string)[], no: number): Asked[] {
  const calls: Asked[] = []
  for (let i = 0; i < values.length; i += CALL_STRIDE) {
    const [callNo, requestNo, service, method, input] = values.slice(i, i + CALL_STRIDE) as [number, number, string, string, string]
    if (requestNo === no) calls.push({ kind: 'call', callNo, service, method, input })
  }
  return calls
}

/** The recorded replies to one request. Equal calls get the replies of equal calls, in their order. */
export class Replies {
  readonly #left: RecordedReply[]

  constructor(replies: readonly RecordedReply[]) {
    this.#left = [...replies]
  }

  /** @returns JSON of the answer; undefined when no such call was recorded, or all such were answered already */
  toCall(service: string, method: string, input: string): string | undefined {
    const at = this.#left.findIndex(one => one.kind === 'call' && one.service === service && one.method === method && one.input === input)
    const [found] = at < 0 ? [] : this.#left.splice(at, 1)
    return found?.kind === 'call' ? found.answer : undefined
  }

  /** As `toCall`. */
  toFetch(method: string, head: string, body: string | undefined): FetchAnswer | undefined {
    const at = this.#left.findIndex(one => one.kind === 'fetch' && one.method === method && one.head === head && one.body === body)
    const [found] = at < 0 ? [] : this.#left.splice(at, 1)
    return found?.kind === 'fetch' ? found.answer : undefined
  }
}
