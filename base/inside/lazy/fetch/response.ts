/** `Response` of the Fetch standard. */
import { again, Body, contentOf, typed } from './fetch-body.ts'
import { Headers, seal } from './fetch-headers.ts'
import { urlOf } from './fetch-request.ts'
import { isObject } from './values.ts'

const { stringify } = JSON
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/
/** Statuses of responses that have no body. */
export const NULL_BODY: readonly number[] = [101, 204, 205, 304]
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]

interface ResponseOptions {
  readonly status?: unknown
  readonly statusText?: unknown
  readonly headers?: unknown
}

/** What a response knows besides what its constructor takes. */
interface Origin {
  readonly type: 'default' | 'basic' | 'error'
  readonly url: string
  readonly redirected: boolean
  readonly status?: number
}

const made: Origin = { type: 'default', url: '', redirected: false }
export let setOrigin: (response: Response, origin: Origin) => Response

export class Response extends Body {
  readonly #status: number
  readonly #statusText: string
  readonly #headers: Headers
  #origin = made

  static {
    setOrigin = (response, origin) => {
      response.#origin = origin
      if (origin.type !== 'default') seal(response.#headers)
      return response
    }
  }

  constructor(body?: unknown, init: unknown = {}) {
    if (init !== null && !isObject(init)) throw new TypeError('Response: the options must be an object')
    const { status = 200, statusText = '', headers }: ResponseOptions = init ?? {}
    const code = Number(status) & 0xffff
    if (!(code >= 200 && code <= 599)) throw new RangeError(`Response: the status must be from 200 to 599, not ${code}`)
    const reason = String(statusText)
    if (!REASON.test(reason)) throw new TypeError('Response: statusText holds a character that it may not')
    const all = new Headers(headers)
    const { content, type } = contentOf(body)
    if (content !== null && NULL_BODY.includes(code)) throw new TypeError(`Response: status ${code} cannot have a body`)
    super(content)
    this.#status = code
    this.#statusText = reason
    this.#headers = typed(all, type)
  }

  static error(): Response {
    return setOrigin(newResponse(), { type: 'error', url: '', redirected: false, status: 0 })
  }
  static redirect(url: unknown, status: unknown = 302): Response {
    const location = urlOf(url)
    const code = Number(status)
    if (!REDIRECTS.includes(code)) throw new RangeError(`Response.redirect: ${code} is not the status of a redirect`)
    const response = newResponse(null, { status: code, headers: { location } })
    seal(response.#headers)
    return response
  }
  static json(data: unknown, init: unknown = {}): Response {
    const text = stringify(data)
    if (text === undefined) throw new TypeError('Response.json: the value must be data that JSON can hold')
    const response = newResponse(text, init)
    if (new Headers((init as ResponseOptions | null)?.headers).has('content-type')) return response
    response.#headers.set('content-type', 'application/json')
    return response
  }

  get type(): Origin['type'] {
    return this.#origin.type
  }
  get url(): string {
    return this.#origin.url
  }
  get redirected(): boolean {
    return this.#origin.redirected
  }
  get status(): number {
    return this.#origin.status ?? this.#status
  }
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299
  }
  get statusText(): string {
    return this.#statusText
  }
  get headers(): Headers {
    return this.#headers
  }
  clone(): Response {
    const copy = newResponse(again(this), { status: this.#status, statusText: this.#statusText, headers: this.#headers })
    return setOrigin(copy, this.#origin)
  }
  get [Symbol.toStringTag](): string {
    return 'Response'
  }
}

// This is not in the class, because a bundled class that names itself gets another name.
const newResponse = (body?: unknown, init?: unknown) => new Response(body, init)
