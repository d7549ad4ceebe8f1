/** Requests to a base: who asks goes along, and whatever is no success becomes an error that says what to do. */
import { type ErrorCode, messageOf } from '../../base/kernel/errors.ts'
import { exitCodes, type RefusalProblem, RefusedError, SdkError } from '../sdk-error.ts'

/** A request for what is long or does not end. */
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
  /** Undefined when there was none. */
  readonly body: unknown
}

interface Request {
  readonly method: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Milliseconds for a whole answer. Above all that a base may take for one: it loads a version in every cell, one cell after the other, while
 * changes that were there first are finished.
 */
const ANSWER_MS_MAX = 120_000

export type Call = (url: URL, request: Request, expected?: readonly number[]) => Promise<Answer>

/** @returns a function that resolves with what is 2xx or `expected`, and throws what is not, or does not come in time. */
export function caller(base: URL, token: string | undefined, answerMsMax = ANSWER_MS_MAX): Call {
  return async (url, { method, body, headers = {} }, expected = []) => {
    const request = {
      method,
      headers: sendable({
        ...authorization(token),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      }),
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(answerMsMax),
    }
    const [response, text] = await send(url, base, request)
    const answer = { status: response.status, headers: response.headers, body: parse(text) }
    if (response.ok || expected.includes(response.status)) {
      if (text !== '' && answer.body === undefined) throw unexpected(url, base, response, text)
      return answer
    }
    throw refusal(url, base, response, text)
  }
}

/**
 * Asks for what is long or does not end, and resolves when the answer begins.
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
  throw refusal(url, url, response, text)
}

export function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** @throws SdkError USAGE: else it would look as if the base could not be reached */
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

async function send(url: URL, base: URL, request: RequestInit): Promise<[Response, string]> {
  try {
    const response = await fetch(url, request)
    return [response, await response.text()]
  } catch (error) {
    throw unreachable(url, base, error)
  }
}

function unreachable(url: URL, base: URL, error: unknown): SdkError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const late = error instanceof Error && error.name === 'TimeoutError'
  const why = late ? 'something takes connections there and sends no answer' : messageOf(cause) || 'the connection failed'
  return new SdkError('BASE_UNREACHABLE', `No base answers at ${url.origin}: ${why}`, {
    hint: late
      ? 'See what it is, and if it is a base what its log says; what was asked of it may still be done.'
      : url.origin === base.origin
        ? 'Start one with "npm start", or name it with --base.'
        : 'Name where its scenes answer with --url.',
    exit: exitCodes.unreachable,
    cause: error,
  })
}

/** What a status that is no success means. */
function refusal(url: URL, base: URL, response: Response, text: string): SdkError {
  const problem = parse(text)
  if (!isProblem(problem) || problem.code === 'ROUTE_NOT_FOUND') return unexpected(url, base, response, text)
  return new RefusedError(problem)
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    // The caller sees that there was text and no value.
    return undefined
  }
}

function isProblem(body: unknown): body is RefusalProblem & { readonly code: ErrorCode } {
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
