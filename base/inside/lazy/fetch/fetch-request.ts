/** `Request` of the Fetch standard. */
import { tools } from '../tools.ts'
import { again, Body, contentIn, contentOf, markUsed, typed } from './fetch-body.ts'
import { Headers } from './fetch-headers.ts'
import { isObject, TOKEN } from './values.ts'

type RedirectMode = 'follow' | 'error' | 'manual'

const { stringify } = JSON
/** URLs that parsing leaves as they are. The parser is a large part of its own, which most requests need not load. */
const PARSED =
  /^https?:\/\/(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?::(?!80\/|443\/)(?:[1-9]\d{0,3}|[1-5]\d{4}))?(?:\/(?!\.|%2e)(?:[\w~!$&'()*+,;=:@.-]|%[\da-f]{2})*)+(?:\?[\w~!$&()*+,;=:@./?%-]*)?$/i

interface RequestOptions {
  readonly method?: unknown
  readonly headers?: unknown
  readonly body?: unknown
  readonly redirect?: unknown
  readonly signal?: unknown
}

export function urlOf(input: unknown): string {
  const text = String(input)
  // Once parsed, scheme and host are lower case; the rest keeps its case.
  const origin = text.slice(0, text.indexOf('/', 8))
  if (origin === origin.toLowerCase() && PARSED.test(text)) return text
  const { href, username, password } = new (tools.use('URL') as typeof URL)(text)
  if (username !== '' || password !== '') throw new TypeError(`Request: ${stringify(text)} holds a user name or password; send a header`)
  return href
}

function methodOf(value: unknown): string {
  const method = String(value)
  const upper = method.toUpperCase()
  if (!TOKEN.test(method) || ['CONNECT', 'TRACE', 'TRACK'].includes(upper))
    throw new TypeError(`Request: ${stringify(method)} is not a method that can be sent`)
  return ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT'].includes(upper) ? upper : method
}

function redirectOf(value: unknown): RedirectMode {
  const mode = String(value)
  if (mode === 'follow' || mode === 'error' || mode === 'manual') return mode
  throw new TypeError(`Request: redirect must be "follow", "error" or "manual", not ${stringify(mode)}`)
}

function signalOf(value: unknown): AbortSignal | undefined {
  if (value === null || value === undefined) return undefined
  if (value instanceof (tools.use('AbortSignal') as typeof AbortSignal)) return value
  throw new TypeError('Request: signal must be an AbortSignal')
}

export let requestSignal: (request: Request) => AbortSignal | undefined

export class Request extends Body {
  readonly #url: string
  readonly #method: string
  readonly #headers: Headers
  readonly #redirect: RedirectMode
  #signal: AbortSignal | undefined

  static {
    requestSignal = request => request.#signal
  }

  constructor(input: unknown, init: unknown = {}) {
    if (init !== null && !isObject(init)) throw new TypeError('Request: the options must be an object')
    const { body, headers, ...options }: RequestOptions = init ?? {}
    const from = isRequest(input) ? input : undefined
    const url = from?.url ?? urlOf(input)
    const method = options.method === undefined ? (from?.method ?? 'GET') : methodOf(options.method)
    const given = contentOf(body)
    const taken = given.content === null && from !== undefined ? contentIn(from) : null
    if ((given.content ?? taken) !== null && (method === 'GET' || method === 'HEAD'))
      throw new TypeError(`Request: ${method} cannot have a body`)
    const all = new Headers(headers === undefined ? from?.headers : headers)
    const redirect = options.redirect === undefined ? (from?.redirect ?? 'follow') : redirectOf(options.redirect)
    const signal = options.signal === undefined ? from && requestSignal(from) : signalOf(options.signal)
    if (taken !== null && from !== undefined) markUsed(from)
    super(given.content ?? taken)
    this.#url = url
    this.#method = method
    this.#headers = typed(all, given.type)
    this.#redirect = redirect
    this.#signal = signal
  }

  get url(): string {
    return this.#url
  }
  get method(): string {
    return this.#method
  }
  get headers(): Headers {
    return this.#headers
  }
  get redirect(): RedirectMode {
    return this.#redirect
  }
  /** A request that was given no signal has one that never aborts. It is made when somebody asks for it. */
  get signal(): AbortSignal {
    this.#signal ??= new (tools.use('AbortController') as typeof AbortController)().signal
    return this.#signal
  }
  clone(): Request {
    const body = again(this)
    return newRequest(this.#url, { method: this.#method, headers: this.#headers, redirect: this.#redirect, signal: this.#signal, body })
  }
  get [Symbol.toStringTag](): string {
    return 'Request'
  }
}

// This is not in the class, because a bundled class that names itself gets another name.
const isRequest = (value: unknown): value is Request => value instanceof Request
const newRequest = (url: string, options: RequestOptions) => new Request(url, options)
