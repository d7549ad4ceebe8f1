/** Requests to a base. Each carries the token, is repeated where that is safe, and fails with an error that says what to do. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Problem } from '../../base/contract/problem-api.ts'
import { type ErrorCode, messageOf } from '../../base/kernel/errors.ts'
import { exitCodes, RefusedError, SdkError } from '../sdk-error.ts'
import { adviseVersions } from './version-skew.ts'

/** A request whose answer is long or does not end. */
export interface OpenRequest {
  readonly method?: 'GET' | 'POST'
  /** Sent as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The text parsed as JSON; undefined when there was none. */
  readonly body: unknown
}

export interface Request {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** A file is read while it is sent, and again when it is sent again. */
  readonly body?: string | Blob
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds for the whole answer. @default those of `caller` */
  readonly msMax?: number
  /** Statuses that are answers too, besides 2xx. */
  readonly expected?: readonly number[]
  /** Whether the answer is not JSON. */
  readonly isText?: boolean
  /**
   * Whether the request is sent again when the connection breaks before the answer: `freely` as it is, or `keyed` with an
   * `Idempotency-Key`, by which the base knows that it is the same write.
   * @default freely for GET and HEAD, keyed for all others
   */
  readonly repeat?: 'freely' | 'keyed' | 'never'
}

/**
 * Milliseconds for a whole answer. This is longer than a base may take for one: it may have to finish earlier changes first, then load a
 * version in every cell, one cell after the other.
 */
const ANSWER_MS_MAX = 120_000
/** Milliseconds before each repetition. Together they are longer than the keeper of a base takes to start again. */
const PAUSES_MS = [100, 300, 700, 1500, 2500] as const

export type Call = (url: URL, request: Request) => Promise<Answer>

interface CallerOptions {
  /** @default ANSWER_MS_MAX */
  readonly answerMsMax?: number
  /** Where a base was looked for in vain: nothing is asked then of whatever answers at `base`. */
  readonly tried?: readonly string[] | undefined
  /** Called when a change has had no answer for `SLOW_MS`. */
  readonly onSlow?: () => void
}

/** Milliseconds after which somebody wonders why a change takes so long. */
const SLOW_MS = 1000

/** @returns a function that resolves with an answer that is 2xx or expected, and throws for any other or when none comes in time */
export function caller(base: URL, token: string | undefined, { answerMsMax = ANSWER_MS_MAX, tried, onSlow }: CallerOptions = {}): Call {
  let wasThere = false
  return async (
    url,
    { method, body, headers = {}, expected = [], isText = false, repeat = defaultRepeat(method), msMax = answerMsMax },
  ) => {
    demandFound(url, base, tried)
    const sent = sendable({
      ...authorization(token),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(repeat === 'keyed' ? { 'idempotency-key': randomUUID() } : {}),
      ...headers,
    })
    const attempt = async () => {
      const response = await fetch(url, {
        method,
        headers: sent,
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(msMax),
      })
      return [response, await response.text()] as const
    }
    const pauses = repeat === 'never' ? [] : PAUSES_MS
    // Only the key lets a base whose disk has failed say, once it is started again, whether the write is kept.
    const isLost = ([response, text]: Exchange) => repeat === 'keyed' && response.status === 500 && codeIn(text) === 'STORE_FAILED'
    const slow = method === 'GET' || method === 'HEAD' || onSlow === undefined ? undefined : setTimeout(onSlow, SLOW_MS).unref()
    const [response, text] = await persist(attempt, isLost, pauses, wasThere)
      .catch(error => {
        throw unreachable(url, base, error)
      })
      .finally(() => clearTimeout(slow))
    wasThere = true
    const answer = { status: response.status, headers: response.headers, text, body: isText ? undefined : parse(text) }
    if (!response.ok && !expected.includes(response.status)) throw await refusal(url, base, response, text)
    if (text !== '' && answer.body === undefined && !isText) throw unexpected(url, base, response, text)
    return answer
  }
}

const defaultRepeat = (method: Request['method']) => (method === 'GET' || method === 'HEAD' ? 'freely' : 'keyed')

type Exchange = readonly [response: Response, text: string]

/**
 * Repeats a request, after pauses, whose connection broke before the answer, or whose answer does not say what became of it.
 * @param wasThere whether a base was there a moment ago
 */
async function persist(
  attempt: () => Promise<Exchange>,
  isLost: (exchange: Exchange) => boolean,
  pausesMs: readonly number[],
  wasThere: boolean,
): Promise<Exchange> {
  const [pauseMs, ...rest] = pausesMs
  try {
    const exchange = await attempt()
    if (pauseMs === undefined || !isLost(exchange)) return exchange
  } catch (error) {
    if (pauseMs === undefined || !isBroken(error, wasThere)) throw error
  }
  await delay(pauseMs)
  return persist(attempt, isLost, rest, true)
}

/** The code of a problem document. */
const codeIn = (text: string): unknown => (Object(parse(text)) as { readonly code?: unknown }).code

/** Whether the connection broke. Where nothing listens there is no base, but if there was one a moment ago it is being started again. */
function isBroken(error: unknown, wasThere: boolean): boolean {
  const code = error instanceof Error ? (error.cause as { readonly code?: string } | undefined)?.code : undefined
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET' || (code === 'ECONNREFUSED' && wasThere)
}

/**
 * Sends a request whose answer is long or does not end, and resolves when the answer begins. It is never repeated.
 * @throws as `Client`
 */
export async function openAt(
  url: URL,
  token: string | undefined,
  { method = 'GET', body, headers, signal }: OpenRequest,
): Promise<Response> {
  const json = body === undefined ? {} : { 'content-type': 'application/json' }
  const request = {
    method,
    headers: sendable({ ...authorization(token), ...json, ...headers }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  }
  const response = await fetch(url, request).catch(error => {
    throw unreachable(url, url, error)
  })
  if (response.ok) return response
  const text = await response.text()
  throw await refusal(url, url, response, text)
}

export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** Checks headers before they are sent, because `fetch` would fail as if the base could not be reached. @throws SdkError USAGE */
function sendable(headers: Readonly<Record<string, string>>): Headers {
  const checked = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    try {
      checked.set(name, value)
    } catch (cause) {
      const message = `Cannot send the header "${name}": its name or its value has a character that no header may have`
      throw new SdkError('USAGE', message, { hint: 'Leave out line breaks, and all but ASCII in names.', exit: exitCodes.usage, cause })
    }
  }
  return checked
}

function unreachable(url: URL, base: URL, error: unknown): SdkError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const late = error instanceof Error && error.name === 'TimeoutError'
  const why = late ? 'something takes connections there and sends no answer' : messageOf(cause) || 'the connection failed'
  return new SdkError('BASE_UNREACHABLE', `No base answers at ${url.origin}: ${why}`, {
    hint: late
      ? 'See what it is, and if it is a base what its log says; what was asked of it may still be done.'
      : url.origin === base.origin
        ? 'Start one with "base start --mode development", or name it with --base.'
        : 'Name where its scenes answer with --url.',
    exit: exitCodes.unreachable,
    cause: error,
  })
}

/**
 * When the base that was meant was looked for in vain, whatever answers at the default address is another one.
 * @throws SdkError BASE_UNREACHABLE when a base was looked for in vain
 */
export function demandFound(url: URL, base: URL, tried: readonly string[] = []): void {
  if (tried.length === 0 || url.origin !== base.origin) return
  throw new SdkError('BASE_UNREACHABLE', 'Cannot find a base. It was looked for in this order:', {
    details: tried.map(line => `  ${line}`).join('\n'),
    hint: 'Start one with "base start --mode development", or name it with --base.',
    exit: exitCodes.unreachable,
  })
}

/** Codes with which a base refuses what it does not know. */
const unknownToBase: readonly unknown[] = ['REQUEST_INVALID', 'ROUTE_NOT_FOUND', 'SCENE_INVALID'] satisfies ErrorCode[]

/** The error for a status that is no success. */
async function refusal(url: URL, base: URL, response: Response, text: string): Promise<SdkError> {
  const problem = parse(text)
  if (!isProblem(problem)) return unexpected(url, base, response, text)
  const isOfControl = url.origin === base.origin && url.pathname.startsWith('/api/')
  const advice = isOfControl && unknownToBase.includes(problem.code) ? await adviseVersions(base) : undefined
  if (problem.code !== 'ROUTE_NOT_FOUND')
    return new RefusedError(problem, { advice, capsule: response.headers.get('x-scene-capsule') ?? undefined })
  if (advice === undefined) return unexpected(url, base, response, text)
  return new SdkError('ANSWER_UNEXPECTED', problem.detail, { hint: advice })
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    // The caller notices that there was text but no value.
    return undefined
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'detail' in body && typeof body.detail === 'string'
}

function unexpected(url: URL, base: URL, response: Response, text: string): SdkError {
  const [what, option] =
    url.origin === base.origin && !url.pathname.startsWith('/scenes/') ? ['the control API', '--base'] : ['the scenes', '--url']
  return new SdkError(
    'ANSWER_UNEXPECTED',
    `Cannot understand what ${url.href} answered: that is not ${what} of a base (HTTP ${response.status})`,
    {
      hint: `Check that ${option} is the URL of ${what} of a base.`,
      ...(text === '' ? {} : { details: text.slice(0, 500) }),
    },
  )
}
