import type { PartTools } from '../globals.ts'

/**
 * `Headers`, `Request`, `Response` and what `fetch` does of the Fetch standard. Bodies are whole, text or bytes: there are no streams, blobs
 * or forms, so `body`, `blob` and `formData` are not there. Which hosts may be reached, and what of a request leaves, is the cell's to say.
 */
export function fetchPart({ use, fetch: send }: PartTools) {
  type Content = string | Uint8Array<ArrayBuffer> | null
  type Entries = [name: string, value: string][]
  type RedirectMode = 'follow' | 'error' | 'manual'

  const { stringify, parse } = JSON
  const FORM = 'application/x-www-form-urlencoded;charset=UTF-8'
  const TEXT = 'text/plain;charset=UTF-8'
  const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
  const REASON = /^[\t\x20-\x7e\x80-\xff]*$/
  const NO_VALUE = /[\0\n\r]|[^\0-\xff]/
  /** URLs that parsing leaves as they are: parsing takes a large part, which most requests need not load. */
  const PARSED =
    /^https?:\/\/(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?::(?!80\/|443\/)(?:[1-9]\d{0,3}|[1-5]\d{4}))?(?:\/(?!\.|%2e)(?:[\w~!$&'()*+,;=:@.-]|%[\da-f]{2})*)+(?:\?[\w~!$&()*+,;=:@./?%-]*)?$/i
  const NULL_BODY: readonly number[] = [101, 204, 205, 304]
  const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]

  const isObject = (value: unknown): value is object => (typeof value === 'object' && value !== null) || typeof value === 'function'

  // ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  function nameOf(name: unknown): string {
    const text = String(name)
    if (!TOKEN.test(text)) throw new TypeError(`Headers: ${stringify(text)} is not the name of a header`)
    return text.toLowerCase()
  }

  function cleaned(value: unknown): string {
    const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '')
    if (NO_VALUE.test(text)) throw new TypeError('Headers: a value may hold no line end, no NUL, and no character above U+00FF')
    return text
  }

  /** Makes headers that nobody can change. */
  let seal: (headers: Headers) => Headers

  class Headers {
    /** By lower-case name, combined. */
    readonly #values = new Map<string, string>()
    /** They are not combined: a comma may be part of one. */
    readonly #cookies: string[] = []
    #sorted: Entries | undefined
    #sealed = false

    static {
      seal = headers => {
        headers.#sealed = true
        return headers
      }
    }

    constructor(init?: unknown) {
      if (init === undefined) return
      if (!isObject(init)) throw new TypeError('Headers: takes a record, or a list of pairs')
      for (const [name, value] of Symbol.iterator in init ? pairsIn(init as Iterable<unknown>) : Object.entries(init))
        this.append(name, value)
    }

    append(name: unknown, value: unknown): void {
      const [key, text] = [nameOf(name), cleaned(value)]
      this.#change()
      if (key === 'set-cookie') this.#cookies.push(text)
      else {
        const before = this.#values.get(key)
        this.#values.set(key, before === undefined ? text : `${before}, ${text}`)
      }
    }

    set(name: unknown, value: unknown): void {
      const [key, text] = [nameOf(name), cleaned(value)]
      this.#change()
      if (key === 'set-cookie') this.#cookies.splice(0, this.#cookies.length, text)
      else this.#values.set(key, text)
    }

    delete(name: unknown): void {
      const key = nameOf(name)
      this.#change()
      if (key === 'set-cookie') this.#cookies.length = 0
      else this.#values.delete(key)
    }

    get(name: unknown): string | null {
      const key = nameOf(name)
      if (key === 'set-cookie') return this.#cookies.length > 0 ? this.#cookies.join(', ') : null
      return this.#values.get(key) ?? null
    }

    getSetCookie(): string[] {
      return [...this.#cookies]
    }

    has(name: unknown): boolean {
      const key = nameOf(name)
      return key === 'set-cookie' ? this.#cookies.length > 0 : this.#values.has(key)
    }

    forEach(run: (value: string, name: string, headers: Headers) => unknown, self?: unknown): void {
      if (typeof run !== 'function') throw new TypeError('Headers.forEach takes a function')
      for (const [name, value] of this) run.call(self, value, name, this)
    }

    *entries(): Generator<[string, string]> {
      // The table is looked at anew each time: what is added while somebody iterates is part of it, as the standard has it.
      for (let i = 0, pair = this.#list()[0]; pair !== undefined; pair = this.#list()[++i]) yield [...pair]
    }

    *keys(): Generator<string> {
      for (const [name] of this) yield name
    }

    *values(): Generator<string> {
      for (const [, value] of this) yield value
    }

    [Symbol.iterator](): Generator<[string, string]> {
      return this.entries()
    }

    get [Symbol.toStringTag](): string {
      return 'Headers'
    }

    #change(): void {
      if (this.#sealed) throw new TypeError('Headers: those of a response that was fetched cannot be changed')
      this.#sorted = undefined
    }

    #list(): Entries {
      this.#sorted ??= [...this.#values, ...this.#cookies.map((cookie): [string, string] => ['set-cookie', cookie])].sort(
        ([a], [b]) => Number(a > b) - Number(a < b),
      )
      return this.#sorted
    }
  }

  // What generators have in common is no member of anything that is made unchangeable.
  for (const { prototype } of [Headers.prototype.entries, Headers.prototype.keys, Headers.prototype.values]) Object.freeze(prototype)

  function* pairsIn(list: Iterable<unknown>): Generator<[unknown, unknown]> {
    for (const item of list) {
      const pair = isObject(item) && Symbol.iterator in item ? [...(item as Iterable<unknown>)] : []
      if (pair.length !== 2) throw new TypeError('Headers: each item of the list must be a pair of a name and a value')
      yield [pair[0], pair[1]]
    }
  }

  // ── bodies ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  const encode = (text: string) => new (use('TextEncoder') as typeof TextEncoder)().encode(text) as Uint8Array<ArrayBuffer>
  const decode = (bytes: Uint8Array) => new (use('TextDecoder') as typeof TextDecoder)().decode(bytes)

  const textOf = (content: Content) =>
    typeof content === 'string' ? content.replace(/^\ufeff/, '') : content === null ? '' : decode(content)

  /** Never what the body itself holds: clones hold the same. */
  function bytesOf(content: Content): Uint8Array<ArrayBuffer> {
    if (content === null) return new Uint8Array(0)
    return typeof content === 'string' ? encode(content) : content.slice()
  }

  /** A body that is taken as it is: copied no more, and without a type of its own. */
  class Raw {
    readonly content: Content
    constructor(content: Content) {
      this.content = content
    }
  }

  function contentOf(body: unknown): { content: Content; type?: string } {
    if (body === undefined || body === null) return { content: null }
    if (body instanceof Raw) return { content: body.content }
    if (body instanceof ArrayBuffer) return { content: new Uint8Array(body.slice(0)) }
    if (ArrayBuffer.isView(body)) return { content: new Uint8Array(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength).slice() }
    return { content: String(body).toWellFormed(), type: isSearchParams(body) ? FORM : TEXT }
  }

  /** Without the part that has URLs: nothing is one of them before somebody has made one. */
  const isSearchParams = (body: unknown) => isObject(body) && Object.prototype.toString.call(body) === '[object URLSearchParams]'

  let contentIn: (body: Body) => Content
  let markUsed: (body: Body) => void

  class Body {
    readonly #content: Content
    #used = false

    static {
      contentIn = body => body.#content
      markUsed = body => {
        if (body.#used) throw new TypeError('The body has been read already')
        body.#used = body.#content !== null
      }
    }

    constructor(content: Content) {
      this.#content = content
    }

    get bodyUsed(): boolean {
      return this.#used
    }

    async text(): Promise<string> {
      markUsed(this)
      return textOf(this.#content)
    }

    async json(): Promise<unknown> {
      return parse(await this.text())
    }

    async bytes(): Promise<Uint8Array<ArrayBuffer>> {
      markUsed(this)
      return bytesOf(this.#content)
    }

    async arrayBuffer(): Promise<ArrayBuffer> {
      return (await this.bytes()).buffer
    }
  }

  /** A body whose owner has not read it yet, once more. */
  function again(body: Body): Raw {
    if (body.bodyUsed) throw new TypeError('Cannot clone: the body has been read already')
    return new Raw(contentIn(body))
  }

  function typed(headers: Headers, type: string | undefined): Headers {
    if (type !== undefined && !headers.has('content-type')) headers.append('content-type', type)
    return headers
  }

  // ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  interface RequestOptions {
    readonly method?: unknown
    readonly headers?: unknown
    readonly body?: unknown
    readonly redirect?: unknown
    readonly signal?: unknown
  }

  function urlOf(input: unknown): string {
    const text = String(input)
    // Once parsed, scheme and host are lower case; the rest keeps its case.
    const origin = text.slice(0, text.indexOf('/', 8))
    if (origin === origin.toLowerCase() && PARSED.test(text)) return text
    const { href, username, password } = new (use('URL') as typeof URL)(text)
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
    if (value instanceof (use('AbortSignal') as typeof AbortSignal)) return value
    throw new TypeError('Request: signal must be an AbortSignal')
  }

  let requestSignal: (request: Request) => AbortSignal | undefined

  class Request extends Body {
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
      const from = input instanceof Request ? input : undefined
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
    /** Made for who asks: without one in its options a request has one that never aborts. */
    get signal(): AbortSignal {
      this.#signal ??= new (use('AbortController') as typeof AbortController)().signal
      return this.#signal
    }
    clone(): Request {
      const body = again(this)
      return new Request(this.#url, { method: this.#method, headers: this.#headers, redirect: this.#redirect, signal: this.#signal, body })
    }
    get [Symbol.toStringTag](): string {
      return 'Request'
    }
  }

  // ── responses ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  interface ResponseOptions {
    readonly status?: unknown
    readonly statusText?: unknown
    readonly headers?: unknown
  }

  /** What a response is besides what its constructor takes. */
  interface Origin {
    readonly type: 'default' | 'basic' | 'error'
    readonly url: string
    readonly redirected: boolean
    readonly status?: number
  }

  const made: Origin = { type: 'default', url: '', redirected: false }
  let setOrigin: (response: Response, origin: Origin) => Response

  class Response extends Body {
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
      return setOrigin(new Response(), { type: 'error', url: '', redirected: false, status: 0 })
    }
    static redirect(url: unknown, status: unknown = 302): Response {
      const location = urlOf(url)
      const code = Number(status)
      if (!REDIRECTS.includes(code)) throw new RangeError(`Response.redirect: ${code} is not the status of a redirect`)
      const response = new Response(null, { status: code, headers: { location } })
      seal(response.#headers)
      return response
    }
    static json(data: unknown, init: unknown = {}): Response {
      const text = stringify(data)
      if (text === undefined) throw new TypeError('Response.json: the value must be data that JSON can hold')
      const response = new Response(text, init)
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
      const copy = new Response(again(this), { status: this.#status, statusText: this.#statusText, headers: this.#headers })
      return setOrigin(copy, this.#origin)
    }
    get [Symbol.toStringTag](): string {
      return 'Response'
    }
  }

  // ── fetch ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  interface Received {
    readonly status: number
    readonly statusText: string
    readonly headers: Entries
    readonly url: string
    readonly redirected: boolean
  }

  function received(head: string, body: string | ArrayBuffer): Response {
    const { url, redirected, ...init } = parse(head) as Received
    const content = NULL_BODY.includes(init.status) ? null : typeof body === 'string' ? body : new Uint8Array(body)
    return setOrigin(new Response(new Raw(content), init), { type: 'basic', url, redirected })
  }

  /** `owner` is whoever the bridge knows the request by, undefined when nobody said. Asks before it returns, so that the bridge can see who runs. */
  async function fetchFor(owner: unknown, input: unknown, init: unknown): Promise<Response> {
    const request = new Request(input, init)
    const signal = requestSignal(request)
    signal?.throwIfAborted()
    const { url, method, redirect } = request
    const content = contentIn(request)
    const { answer, abort } = send(
      owner,
      method,
      stringify({ url, redirect, headers: [...request.headers] }),
      content === null || typeof content === 'string' ? (content ?? undefined) : bytesOf(content).buffer,
    )
    if (signal === undefined) return answer.then(({ head, body }) => received(head, body))
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        abort()
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const done = () => signal.removeEventListener('abort', onAbort)
      answer
        .then(({ head, body }) => received(head, body))
        .finally(done)
        .then(resolve, reject)
    })
  }

  return { Headers, Request, Response, fetchFor }
}
