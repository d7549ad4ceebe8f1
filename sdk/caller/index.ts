/**
 * Calls the scenes of a base from Node.js and from browsers. It uses only web APIs and imports no other file.
 *
 * One deadline covers a call with its retry. A call is tried once more, and never after the deadline, in two cases:
 * - The connection was refused, or broke before an answer began. The base keeps nothing of a call, so a call whose answer was lost may be computed
 *   again. What a module does outside of the base (`fetch`) may then happen twice; where that matters, use `retry: false`.
 * - The base answered 429 or 503 with a `Retry-After` that ends before the deadline. The client waits that long.
 * Nothing else is tried again: neither an answer that broke off, nor a deadline, nor an error of the caller or of a module.
 */

/** The input and the output of a scene. */
export interface SceneTypes {
  readonly input: unknown
  readonly output: unknown
  /** The headers by which experiments may choose who takes part. */
  readonly headers?: object
}

export interface ClientOptions {
  /** URL of the scene port, such as `http://127.0.0.1:8080`. It may have a path, for a base behind a gateway. */
  readonly url: string | URL
  /** Sent as `Authorization: Bearer`. Scenes with public access need none. */
  readonly token?: string | undefined
  /** Milliseconds for a whole call with its retry, above 0. @default 2000 */
  readonly deadlineMs?: number | undefined
  /** Headers that are sent with every call. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Whether a call is tried once more when that is safe. @default true */
  readonly retry?: boolean | undefined
  /** The function that sends the requests. @default the `fetch` of the platform, which keeps connections alive */
  readonly fetch?: typeof fetch | undefined
}

export interface CallOptions {
  /** Who the call is for. While an experiment runs, it decides which version answers. At most 256 bytes. */
  readonly unit?: string | undefined
  /** Pins a version; needs a token with the right "pin". */
  readonly version?: string | undefined
  /** @default the deadline of the client */
  readonly deadlineMs?: number | undefined
  /** Is returned with the answer and is in the log of the base; at most 128 characters of `A-Z a-z 0-9 _ . : -`. @default a random id */
  readonly requestId?: string | undefined
  /** Ends the call early. It then rejects with the reason of the signal, as `fetch` does. */
  readonly signal?: AbortSignal | undefined
  /** Headers that override those of the client. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** @default the setting of the client */
  readonly retry?: boolean | undefined
}

/** An output, with how it came about. */
export interface Answer<Output> {
  readonly output: Output
  /** The version that answered. */
  readonly version: string | undefined
  /** Why this version answered: `pin`, `baseline`, `experiment`… */
  readonly because: string | undefined
  /** The bucket of the unit, if an experiment or a cutover chose the version. */
  readonly bucket: string | undefined
  /** Names of the stages that failed and were skipped or replaced by their fallback. */
  readonly degraded: readonly string[]
  readonly requestId: string
  /** Milliseconds that the base measured, by name (`Server-Timing`). */
  readonly timings: Readonly<Record<string, number>>
  /** Milliseconds from the call to the output, including a retry. */
  readonly durationMs: number
  /** 1, or 2 when the call was tried again. */
  readonly attempts: number
}

/**
 * Calls scenes. Both methods throw the same errors.
 * @throws SceneError when the base refused, could not be reached or did not answer in time
 * @throws the reason of `signal` when that ended the call
 * @throws TypeError when the input cannot be turned into JSON or an option cannot be sent
 */
export interface Client {
  /** @returns the answer of the scene; its type is not checked against `Output` */
  call<Output = unknown>(scene: string, input: unknown, options?: CallOptions): Promise<Output>
  callWithInfo<Output = unknown>(scene: string, input: unknown, options?: CallOptions): Promise<Answer<Output>>
}

type OptionsOf<Scene> = CallOptions &
  (Scene extends { readonly headers: infer Headers } ? { readonly headers?: Headers | undefined } : unknown)

/** A client with the types of its scenes, by name. At run time it is a `Client`. */
export interface TypedClient<Scenes extends { readonly [Scene in keyof Scenes]: SceneTypes }> {
  call<Scene extends keyof Scenes & string>(
    scene: Scene,
    input: Scenes[Scene]['input'],
    options?: OptionsOf<Scenes[Scene]>,
  ): Promise<Scenes[Scene]['output']>
  callWithInfo<Scene extends keyof Scenes & string>(
    scene: Scene,
    input: Scenes[Scene]['input'],
    options?: OptionsOf<Scenes[Scene]>,
  ): Promise<Answer<Scenes[Scene]['output']>>
}

/** Who has to change something. `load` means nobody: the base was overloaded. */
export type Blame = 'caller' | 'module' | 'base' | 'load'

/**
 * A code of the base, which never changes, or one of the client. `DEADLINE_EXCEEDED` may come from both; it has no `status` when it is the client
 * that gave up.
 */
export type SceneErrorCode =
  | 'CONNECTION_FAILED'
  | 'DEADLINE_EXCEEDED'
  | 'ANSWER_UNEXPECTED'
  | 'REQUEST_INVALID'
  | 'REQUEST_REJECTED'
  | (string & {})

/** A place in the input that does not fit the schema of the scene: a JSON pointer, empty for the input itself, and what was expected there. */
export interface RequestFault {
  readonly pointer: string
  readonly expected: string
}

export interface SceneErrorDetails {
  readonly scene: string
  readonly requestId: string
  readonly attempts: number
  readonly status?: number | undefined
  readonly blame?: Blame | undefined
  readonly version?: string | undefined
  readonly retryAfterSeconds?: number | undefined
  readonly reason?: string | undefined
  readonly details?: unknown
  readonly faults?: readonly RequestFault[] | undefined
  readonly problem?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
}

/** A call that failed. Match on `code`, not on the message. */
export class SceneError extends Error {
  readonly code: SceneErrorCode
  readonly scene: string
  /** Is set even when nothing answered: if the request reached the base, its log has this id. */
  readonly requestId: string
  readonly attempts: number
  /** The HTTP status; undefined when nothing answered. */
  readonly status: number | undefined
  /** Undefined when the base did not say. */
  readonly blame: Blame | undefined
  /** The version that should have answered, if that had been decided. */
  readonly version: string | undefined
  readonly retryAfterSeconds: number | undefined
  /** With `REQUEST_REJECTED`: the code of the module that has rejected the input, a name in capitals, and what it gave with it. */
  readonly reason: string | undefined
  readonly details: unknown
  /** With `REQUEST_INVALID`: where the input does not fit the schema of the scene. */
  readonly faults: readonly RequestFault[]
  /** The whole problem document (RFC 9457) of the base. */
  readonly problem: Readonly<Record<string, unknown>> | undefined

  constructor(code: SceneErrorCode, message: string, details: SceneErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'SceneError'
    this.code = code
    this.scene = details.scene
    this.requestId = details.requestId
    this.attempts = details.attempts
    this.status = details.status
    this.blame = details.blame
    this.version = details.version
    this.retryAfterSeconds = details.retryAfterSeconds
    this.reason = details.reason
    this.details = details.details
    this.faults = details.faults ?? []
    this.problem = details.problem
  }
}

const DEADLINE_MS = 2000
/** The longest time that a timer can wait. */
const DEADLINE_MS_MAX = 2 ** 31 - 1

/** Creates a client, without sending any request. @throws TypeError when `url` is not an http URL or `deadlineMs` is out of range */
export function createClient(options: ClientOptions): Client
export function createClient<Scenes extends { readonly [Scene in keyof Scenes]: SceneTypes }>(options: ClientOptions): TypedClient<Scenes>
export function createClient(options: ClientOptions): Client {
  const base = checkUrl(options.url)
  checkDeadline(options.deadlineMs)
  const callWithInfo: Client['callWithInfo'] = async (scene, input, callOptions = {}) => {
    const call = prepare(base, options, scene, input, callOptions)
    const deadline = startDeadline(callOptions.deadlineMs ?? options.deadlineMs ?? DEADLINE_MS, callOptions.signal)
    try {
      return await attemptTwice(call, deadline)
    } finally {
      deadline.clear()
    }
  }
  const call = async <Output>(scene: string, input: unknown, callOptions?: CallOptions): Promise<Output> =>
    (await callWithInfo<Output>(scene, input, callOptions)).output
  return { call, callWithInfo }
}

// One call

interface Call {
  readonly scene: string
  readonly url: URL
  readonly requestId: string
  readonly headers: Headers
  readonly body: string
  readonly retry: boolean
  readonly send: typeof fetch
}

function prepare(base: URL, client: ClientOptions, scene: string, input: unknown, options: CallOptions): Call {
  checkDeadline(options.deadlineMs)
  const body: string | undefined = JSON.stringify(input)
  if (body === undefined) throw new TypeError(`Cannot call scene "${scene}": the input has no JSON`)
  const requestId = options.requestId ?? randomId()
  const headers = new Headers(client.headers)
  for (const [name, value] of Object.entries(options.headers ?? {})) headers.set(name, value)
  headers.set('content-type', 'application/json')
  headers.set('x-request-id', requestId)
  if (client.token !== undefined) headers.set('authorization', `Bearer ${client.token}`)
  if (options.unit !== undefined) headers.set('x-unit-id', asHeader(options.unit))
  if (options.version !== undefined) headers.set('x-scene-version', options.version)
  return {
    scene,
    url: new URL(`scenes/${encodeURIComponent(scene)}`, base),
    requestId,
    headers,
    body,
    retry: options.retry ?? client.retry ?? true,
    // In a browser, `fetch` throws when `this` is not the window, so it must not be called as a method of this object.
    send: client.fetch ?? ((...request) => fetch(...request)),
  }
}

async function attemptTwice<Output>(call: Call, deadline: Deadline): Promise<Answer<Output>> {
  const first = await attempt<Output>(call, deadline, 1, undefined)
  if ('output' in first) return first
  const waitMs = call.retry ? first.retryInMs : undefined
  if (waitMs === undefined || waitMs >= deadline.leftMs()) throw first.error
  if (waitMs > 0) await deadline.sleep(waitMs)
  deadline.throwIfAborted()
  const second = await attempt<Output>(call, deadline, 2, first.error)
  if ('output' in second) return second
  throw second.error
}

interface Failure {
  readonly error: SceneError
  /** Milliseconds to wait before the next attempt; undefined when it is not safe to try again. */
  readonly retryInMs: number | undefined
}

/** @param cause the error of the first attempt, when this is the second */
async function attempt<Output>(
  call: Call,
  deadline: Deadline,
  attempts: number,
  cause: SceneError | undefined,
): Promise<Answer<Output> | Failure> {
  const { scene, requestId, url } = call
  let response: Response | undefined
  let text: string
  try {
    const { headers, body, send } = call
    response = await send(url, { method: 'POST', headers, body, signal: deadline.signal })
    text = await response.text()
  } catch (error) {
    deadline.throwIfAborted()
    if (deadline.signal.aborted) {
      const message = `Cannot call scene "${scene}": no answer within ${deadline.ms} ms`
      return { error: new SceneError('DEADLINE_EXCEEDED', message, { scene, requestId, attempts, cause }), retryInMs: undefined }
    }
    const broke = response === undefined ? `${url.origin} cannot be reached` : 'the answer broke off'
    const details = { scene, requestId, attempts, status: response?.status, cause: error }
    const failed = new SceneError('CONNECTION_FAILED', `Cannot call scene "${scene}": ${broke}${reasonOf(error)}`, details)
    return { error: failed, retryInMs: response === undefined ? 0 : undefined }
  }
  return response.ok ? answerOf(call, response, text, deadline, attempts) : refusalOf(call, response, text, attempts)
}

function answerOf<Output>(call: Call, response: Response, text: string, deadline: Deadline, attempts: number): Answer<Output> | Failure {
  const parsed = parse(text)
  if (parsed === undefined) return unexpected(call, response, attempts)
  const header = (name: string): string | undefined => response.headers.get(name) ?? undefined
  return {
    output: parsed.value as Output,
    version: header('x-scene-version'),
    because: header('x-scene-because'),
    bucket: header('x-scene-bucket'),
    degraded: listOf(header('x-scene-degraded')),
    requestId: header('x-request-id') ?? call.requestId,
    timings: timingsOf(header('server-timing')),
    durationMs: deadline.passedMs(),
    attempts,
  }
}

function refusalOf(call: Call, response: Response, text: string, attempts: number): Failure {
  const problem = parse(text)?.value
  if (!isProblem(problem)) return unexpected(call, response, attempts)
  const { scene } = call
  const { status, headers } = response
  const retryAfterSeconds = secondsOf(headers.get('retry-after'), headers.get('date'))
  const error = new SceneError(problem.code, problem.detail, {
    scene,
    requestId: headers.get('x-request-id') ?? call.requestId,
    attempts,
    status,
    blame: problem.blame,
    version: problem.version,
    retryAfterSeconds,
    reason: problem.reason,
    details: problem.details,
    faults: problem.faults,
    problem: { ...problem },
  })
  const mayRetry = (status === 429 || status === 503) && retryAfterSeconds !== undefined
  // Calls that were refused together get the same `Retry-After`. The random delay keeps them from coming back together.
  return { error, retryInMs: mayRetry ? retryAfterSeconds * 1000 + Math.random() * RETRY_SPREAD_MS : undefined }
}

const RETRY_SPREAD_MS = 50

function unexpected({ scene, url, requestId }: Call, { status }: Response, attempts: number): Failure {
  const message = `Cannot call scene "${scene}": what answers at ${url.href} is no base (HTTP ${status})`
  return { error: new SceneError('ANSWER_UNEXPECTED', message, { scene, requestId, attempts, status }), retryInMs: undefined }
}

// Time

interface Deadline {
  readonly ms: number
  /** Is aborted at the deadline, or when the signal of the caller is aborted. */
  readonly signal: AbortSignal
  leftMs(): number
  passedMs(): number
  /** Resolves early when the signal is aborted. */
  sleep(ms: number): Promise<void>
  /** @throws the reason of the caller's signal, when that was aborted */
  throwIfAborted(): void
  clear(): void
}

function startDeadline(ms: number, caller: AbortSignal | undefined): Deadline {
  caller?.throwIfAborted()
  const startedAt = performance.now()
  const controller = new AbortController()
  const abort = () => controller.abort()
  const timer = setTimeout(abort, ms)
  caller?.addEventListener('abort', abort)
  const passedMs = () => performance.now() - startedAt
  return {
    ms,
    signal: controller.signal,
    passedMs,
    leftMs: () => ms - passedMs(),
    sleep: waitMs =>
      new Promise(resolve => {
        const wake = setTimeout(resolve, waitMs)
        const cut = () => {
          clearTimeout(wake)
          resolve()
        }
        controller.signal.addEventListener('abort', cut, { once: true })
      }),
    throwIfAborted: () => caller?.throwIfAborted(),
    clear: () => {
      clearTimeout(timer)
      caller?.removeEventListener('abort', abort)
    },
  }
}

// Reading and checking

function checkUrl(given: string | URL): URL {
  const url = URL.canParse(String(given)) ? new URL(given) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new TypeError(`Cannot use "${given}" as the URL of a base: it is no http URL`)
  // Without a slash at the end, a relative URL would replace the last part of the path.
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function checkDeadline(ms: number | undefined): void {
  if (ms === undefined || (ms > 0 && ms <= DEADLINE_MS_MAX)) return
  throw new TypeError(`Cannot use ${ms} as deadlineMs: it must be above 0 and at most ${DEADLINE_MS_MAX}`)
}

/** Blanks at the ends, which HTTP takes away, and what a base would read as percent-encoded. */
const NOT_AS_IT_IS = /^utf-8'|^\s|\s$/i

/** Encodes a text for a header: in UTF-8, of which `fetch` sends each character as one byte, or percent-encoded. */
function asHeader(text: string): string {
  if (NOT_AS_IT_IS.test(text)) return `UTF-8''${encodeURIComponent(text)}`
  return Array.from(new TextEncoder().encode(text), byte => String.fromCharCode(byte)).join('')
}

/** 64 random bits in hexadecimal. `randomUUID` is not used, because browsers do not offer it on pages without TLS. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), byte => byte.toString(16).padStart(2, '0')).join('')
}

function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    // `undefined` says that the text is not JSON.
    return undefined
  }
}

interface Problem {
  readonly code: string
  readonly detail: string
  readonly blame?: Blame
  readonly version?: string
  readonly reason?: string
  readonly details?: unknown
  readonly faults?: readonly RequestFault[]
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== 'object' || value === null) return false
  return 'code' in value && typeof value.code === 'string' && 'detail' in value && typeof value.detail === 'string'
}

function listOf(header: string | undefined): string[] {
  return header === undefined ? [] : header.split(',').map(name => name.trim())
}

/** A name and its parameters; a quoted value may contain commas. */
const METRIC = /([^\s;,="]+)((?:\s*;\s*\w+=(?:"[^"]*"|[^\s;,"]*))+)/g

/** `scene;dur=1.5, rank;desc="a, b";dur=0.9` as `{ scene: 1.5, rank: 0.9 }` */
function timingsOf(header = ''): Record<string, number> {
  const timings: Record<string, number> = {}
  for (const [, name = '', parameters = ''] of header.matchAll(METRIC)) {
    const duration = /;\s*dur=([\d.]+)/.exec(parameters)?.[1]
    if (duration !== undefined) timings[name] = Number(duration)
  }
  return timings
}

/**
 * Reads `Retry-After`, which is a number of seconds or, from some proxies, a date.
 * @param date when the answer was sent, by the clock that the other date is of: the clock here may be wrong. Browsers may not show it
 * @returns seconds
 */
function secondsOf(header: string | null, date: string | null): number | undefined {
  if (header === null) return undefined
  const sentAt = Date.parse(date ?? '') || Date.now()
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - sentAt) / 1000
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds)
}

/** The reason why a connection failed, to append to a message. Node.js gives it as the cause of the error; browsers give none. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const text = cause instanceof Error && cause.message !== '' ? cause.message : undefined
  return text === undefined ? '' : `: ${text}`
}
