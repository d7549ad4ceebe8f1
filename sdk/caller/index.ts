/**
 * Calls the scenes of a base from Node.js and from browsers: nothing but web APIs, and no other file, so that it can be published as it is.
 *
 * One deadline covers a call with its retry. What failed in a way that is safe to try again is tried once more, never after the deadline:
 * - the connection was refused or broke before an answer began. A scene computes and the base keeps nothing of it, so a call that was
 *   computed and lost may be computed again; what a module itself does to the outside (`fetch`) may then happen twice: `retry: false`.
 * - the base answered 429 or 503 with a `Retry-After` that ends before the deadline: it is waited for.
 * Nothing else is: not an answer that broke off, not a deadline, not an error of the caller or of a module.
 */

/** What a scene takes and gives. */
export interface SceneTypes {
  readonly input: unknown
  readonly output: unknown
}

export interface ClientOptions {
  /** Where the scenes answer, such as `http://127.0.0.1:8080`; a path is kept, for a base behind a gateway. */
  readonly url: string | URL
  /** Sent as `Authorization: Bearer`. Scenes with public access need none. */
  readonly token?: string | undefined
  /** Milliseconds for a whole call, above 0. @default 2000 */
  readonly deadlineMs?: number | undefined
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Whether what is safe to try again is tried once more. @default true */
  readonly retry?: boolean | undefined
  /** What sends the requests. @default the `fetch` of the platform, which keeps connections alive */
  readonly fetch?: typeof fetch | undefined
}

export interface CallOptions {
  /** Who the call is for; decides which version answers while an experiment runs. At most 256 bytes. */
  readonly unit?: string | undefined
  /** Pins a version; needs a token with the right "pin". */
  readonly version?: string | undefined
  /** @default what the client has */
  readonly deadlineMs?: number | undefined
  /** Comes back in the answer, and is in the log of the base; up to 128 of `A-Z a-z 0-9 _ . : -`. @default a random one */
  readonly requestId?: string | undefined
  /** Ends the call early; it then rejects with the reason of the signal, as `fetch` does. */
  readonly signal?: AbortSignal | undefined
  /** Go before those of the client. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** @default what the client has */
  readonly retry?: boolean | undefined
}

/** An output and how it came about. */
export interface Answer<Output> {
  readonly output: Output
  /** The version that answered. */
  readonly version: string | undefined
  /** Why that one: `pin`, `baseline`, `experiment`… */
  readonly because: string | undefined
  /** When an experiment decided. */
  readonly bucket: string | undefined
  /** Stages that failed and were skipped or stood in for; none when all is well. */
  readonly degraded: readonly string[]
  readonly requestId: string
  /** Milliseconds by name, as the base measured them (`Server-Timing`). */
  readonly timings: Readonly<Record<string, number>>
  /** Milliseconds from calling to having the output, retry included. */
  readonly durationMs: number
  /** 2 when it was tried again. */
  readonly attempts: number
}

/**
 * Both methods
 * @throws SceneError when the base refused, could not be reached or did not answer in time; the reason of `signal` when that ended the
 * call; TypeError when the input has no JSON or an option is not fit to be sent.
 */
export interface Client {
  /** @returns what the scene answered; `Output` is believed, not checked */
  call<Output = unknown>(scene: string, input: unknown, options?: CallOptions): Promise<Output>
  callWithInfo<Output = unknown>(scene: string, input: unknown, options?: CallOptions): Promise<Answer<Output>>
}

/** A client that knows its scenes by name; as `Client` while it runs. */
export interface TypedClient<Scenes extends { readonly [Scene in keyof Scenes]: SceneTypes }> {
  call<Scene extends keyof Scenes & string>(
    scene: Scene,
    input: Scenes[Scene]['input'],
    options?: CallOptions,
  ): Promise<Scenes[Scene]['output']>
  callWithInfo<Scene extends keyof Scenes & string>(
    scene: Scene,
    input: Scenes[Scene]['input'],
    options?: CallOptions,
  ): Promise<Answer<Scenes[Scene]['output']>>
}

/** Who has to change something; that a base is overloaded is nobody's fault. */
export type Blame = 'caller' | 'module' | 'base' | 'load'

/** Codes of the base, which do not change, and those of the client: `DEADLINE_EXCEEDED` is both, without `status` when the client gave up. */
export type SceneErrorCode = 'CONNECTION_FAILED' | 'DEADLINE_EXCEEDED' | 'ANSWER_UNEXPECTED' | (string & {})

export interface SceneErrorDetails {
  readonly scene: string
  readonly requestId: string
  readonly attempts: number
  readonly status?: number | undefined
  readonly blame?: Blame | undefined
  readonly version?: string | undefined
  readonly retryAfterSeconds?: number | undefined
  readonly problem?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
}

/** A call that came to nothing. Match `code`, not the message. */
export class SceneError extends Error {
  readonly code: SceneErrorCode
  readonly scene: string
  /** Also when nothing answered: what reached the base is in its log under this id. */
  readonly requestId: string
  readonly attempts: number
  /** HTTP status; undefined when nothing answered. */
  readonly status: number | undefined
  /** Undefined when the base did not say. */
  readonly blame: Blame | undefined
  /** The version that was to answer, when that was decided. */
  readonly version: string | undefined
  readonly retryAfterSeconds: number | undefined
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
    this.problem = details.problem
  }
}

const DEADLINE_MS = 2000
/** Of a timer. */
const DEADLINE_MS_MAX = 2 ** 31 - 1

/** No request is made yet. @throws TypeError when `url` is no http URL or `deadlineMs` no time */
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
    // Browsers refuse to fetch on behalf of anything but their window.
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
  /** Undefined when it is not safe to try again. */
  readonly retryInMs: number | undefined
}

/** @param cause why this is the second attempt */
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
  const retryAfterSeconds = secondsOf(headers.get('retry-after'))
  const error = new SceneError(problem.code, problem.detail, {
    scene,
    requestId: headers.get('x-request-id') ?? call.requestId,
    attempts,
    status,
    blame: problem.blame,
    version: problem.version,
    retryAfterSeconds,
    problem: { ...problem },
  })
  const mayRetry = (status === 429 || status === 503) && retryAfterSeconds !== undefined
  // Those refused together are told the same second, and should not come back together.
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
  /** Aborted at the deadline, or when the signal of the caller is. */
  readonly signal: AbortSignal
  leftMs(): number
  passedMs(): number
  /** Resolves early when the signal is aborted. */
  sleep(ms: number): Promise<void>
  /** @throws the reason of the signal of the caller, when that ended it */
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
  // Else the last part of a path would be replaced.
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function checkDeadline(ms: number | undefined): void {
  if (ms === undefined || (ms > 0 && ms <= DEADLINE_MS_MAX)) return
  throw new TypeError(`Cannot use ${ms} as deadlineMs: it must be above 0 and at most ${DEADLINE_MS_MAX}`)
}

/** UTF-8 in a header, which fetch takes byte by byte. */
function asHeader(text: string): string {
  return Array.from(new TextEncoder().encode(text), byte => String.fromCharCode(byte)).join('')
}

/** 64 random bits in hexadecimal. Not `randomUUID`, which browsers lack on pages without TLS. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), byte => byte.toString(16).padStart(2, '0')).join('')
}

function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    // The caller is told that it was no JSON.
    return undefined
  }
}

interface Problem {
  readonly code: string
  readonly detail: string
  readonly blame?: Blame
  readonly version?: string
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== 'object' || value === null) return false
  return 'code' in value && typeof value.code === 'string' && 'detail' in value && typeof value.detail === 'string'
}

function listOf(header: string | undefined): string[] {
  return header === undefined ? [] : header.split(',').map(name => name.trim())
}

/** A name and its parameters; what is quoted may hold commas. */
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

/** `Retry-After` is seconds, or the date that proxies like to send. */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds)
}

/** Node.js wraps what happened to the connection; browsers do not tell. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const text = cause instanceof Error && cause.message !== '' ? cause.message : undefined
  return text === undefined ? '' : `: ${text}`
}
