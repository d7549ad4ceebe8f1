/** What a capsule holds, in the order in which a person asks: what came in, and what the module asked of the outside, each with its reply. Pure. */
import { CALL_STRIDE, SETTLED_STRIDE } from '../inside/protocol.ts'
import type { Capsule, Entry } from './capsule.ts'

export interface Exchange {
  readonly kind: 'call' | 'service' | 'fetch'
  /** The scene of a `call`; service and method with a dot between them; method and URL of a `fetch`. */
  readonly target: string
  /** JSON of what was passed, of the arguments for a service; the body of a `fetch`, if it had one. */
  readonly input?: string | undefined
  /** Milliseconds after the request came in. */
  readonly askedMs: number
  /** Undefined when the request was answered before there was a reply. */
  readonly reply?: Reply | undefined
}

export interface Reply {
  /** False: it was answered with an error, of which the text is JSON. A `fetch` is answered with any status. */
  readonly ok: boolean
  /** JSON of the answer; of a `fetch` the body. */
  readonly text: string
  /** Whether the text is base64, since the body is not UTF-8. */
  readonly isBase64?: boolean | undefined
  /** Of a `fetch`, as are the headers, which are pairs of name and value. */
  readonly status?: number | undefined
  readonly headers?: readonly (readonly [name: string, value: string])[] | undefined
  /** Milliseconds after the request came in. */
  readonly atMs: number
}

export interface CapsuleContents {
  /** The body of the request, as it came. */
  readonly body: string
  /** JSON of the parameters that the stages have seen. */
  readonly params: string
  /** In the order in which they were asked. */
  readonly exchanges: readonly Exchange[]
  /** How often clocks were read, and how often timers were set. */
  readonly readings: number
  readonly timers: number
}

type Settled = Omit<Reply, 'atMs'>

/** @param entries those of the capsule alone, which begin with its turn */
export function contentsOf({ no }: Pick<Capsule, 'no'>, entries: readonly Entry[]): CapsuleContents {
  const turn = entries.find(({ kind }) => kind === 'turn')
  const values = (turn?.values[1] ?? []) as readonly unknown[]
  const startMs = turn?.atMs ?? 0
  const exchanges = new Map<unknown, Exchange>()
  for (const entry of entries) {
    const atMs = round(entry.atMs - startMs)
    for (const [callNo, settled] of repliesIn(entry)) {
      const asked = exchanges.get(callNo)
      if (asked !== undefined) exchanges.set(callNo, { ...asked, reply: { ...settled, atMs } })
    }
    for (const [callNo, asked] of entry.asked.flatMap(post => askedIn(post, no))) exchanges.set(callNo, { ...asked, askedMs: atMs })
  }
  return {
    body: String(values[1] ?? ''),
    params: String(values[4] ?? ''),
    exchanges: [...exchanges.values()],
    readings: entries.reduce((sum, { readings }) => sum + readings.length, 0),
    timers: entries.reduce((sum, { asked }) => sum + asked.filter(([kind]) => kind === 'timer').length, 0),
  }
}

type Asked = readonly [callNo: unknown, asked: Omit<Exchange, 'askedMs'>]

/** What one post asks for this request. */
function askedIn([kind, ...values]: readonly unknown[], requestNo: number): Asked[] {
  if (kind === 'fetch' && values[1] === requestNo) {
    const [callNo, , , method, head, body] = values
    const { url } = parsed(head) as { readonly url?: unknown }
    const input = body === undefined ? {} : { input: textOf(body) }
    return [[callNo, { kind: 'fetch', target: `${String(method)} ${String(url)}`, ...input }]]
  }
  if (kind !== 'calls') return []
  return inSteps(values, CALL_STRIDE).flatMap(([callNo, caller, service, method, input]): Asked[] => {
    if (caller !== requestNo) return []
    const isCall = service === ''
    const target = isCall ? String(method) : `${String(service)}.${String(method)}`
    return [[callNo, { kind: isCall ? 'call' : 'service', target, input: String(input) }]]
  })
}

function repliesIn({ kind, values }: Entry): (readonly [callNo: unknown, reply: Settled])[] {
  if (kind === 'settleFetch') {
    const { status, headers } = parsed(values[1]) as Pick<Reply, 'status' | 'headers'>
    const body = String(values[2] ?? '')
    const isBase64 = body.startsWith(BASE64)
    return [[values[0], { ok: true, text: textOf(body), isBase64, status, headers }]]
  }
  if (kind !== 'settleCalls') return []
  return inSteps(values[0] as readonly unknown[], SETTLED_STRIDE).map(([callNo, ok, text]) => [
    callNo,
    { ok: ok === 1, text: String(text) },
  ])
}

const inSteps = (values: readonly unknown[], stride: number): (readonly unknown[])[] =>
  Array.from({ length: Math.floor(values.length / stride) }, (_, index) => values.slice(index * stride, (index + 1) * stride))

/** In an entry, bytes and what could be taken for them say before themselves what they are. */
const textOf = (value: unknown): string => String(value).replace(/^(base64|text):/, '')
const BASE64 = 'base64:'

function parsed(json: unknown): object {
  try {
    return Object(JSON.parse(String(json)))
  } catch {
    // A module has broken the code that made it.
    return {}
  }
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000
