/**
 * The globals of a slot beside those of the language: all that docs/globals.md lists, and no others. The types of modules are checked against them, in
 * the place of those of Node.js or of browsers. The comments say only what differs from Node.js.
 */

declare var global: typeof globalThis
declare var self: typeof globalThis

// Timers are numbers, as in browsers.

declare function setTimeout<Values extends unknown[]>(run: (...values: Values) => void, delayMs?: number, ...values: Values): number
declare function setInterval<Values extends unknown[]>(run: (...values: Values) => void, delayMs?: number, ...values: Values): number
declare function setImmediate<Values extends unknown[]>(run: (...values: Values) => void, ...values: Values): number
declare function clearTimeout(timer?: number): void
declare function clearInterval(timer?: number): void
declare function clearImmediate(timer?: number): void
declare function queueMicrotask(run: () => void): void

/** Its lines go to the log of the scene. */
declare var console: Console

interface Console {
  log(...values: unknown[]): void
  info(...values: unknown[]): void
  debug(...values: unknown[]): void
  warn(...values: unknown[]): void
  error(...values: unknown[]): void
  dir(value: unknown, options?: unknown): void
  dirxml(...values: unknown[]): void
  table(value: unknown): void
  trace(...values: unknown[]): void
  assert(condition?: unknown, ...values: unknown[]): void
  group(...values: unknown[]): void
  groupCollapsed(...values: unknown[]): void
  groupEnd(): void
  count(label?: string): void
  countReset(label?: string): void
  time(label?: string): void
  timeLog(label?: string, ...values: unknown[]): void
  timeEnd(label?: string): void
  clear(): void
}

/** In whole milliseconds. */
declare var performance: {
  readonly timeOrigin: number
  now(): number
  toJSON(): { readonly timeOrigin: number }
}

declare var navigator: {
  readonly userAgent: string
  readonly language: string
  readonly languages: readonly string[]
  readonly hardwareConcurrency: number
}

declare var crypto: {
  getRandomValues<View extends ArrayBufferView>(view: View): View
  randomUUID(): `${string}-${string}-${string}-${string}-${string}`
}

/** What is transferred is copied. */
declare function structuredClone<Value>(value: Value, options?: StructuredSerializeOptions | null): Value

interface StructuredSerializeOptions {
  transfer?: Iterable<ArrayBuffer>
}

declare function atob(text: string): string
declare function btoa(text: string): string

// Events and abort signals

interface EventInit {
  bubbles?: boolean
  cancelable?: boolean
  composed?: boolean
}

interface CustomEventInit<Detail = unknown> extends EventInit {
  detail?: Detail
}

interface Event {
  readonly type: string
  readonly bubbles: boolean
  readonly cancelable: boolean
  readonly composed: boolean
  readonly timeStamp: number
  readonly target: EventTarget | null
  readonly srcElement: EventTarget | null
  readonly currentTarget: EventTarget | null
  readonly eventPhase: number
  readonly defaultPrevented: boolean
  readonly returnValue: boolean
  readonly isTrusted: boolean
  composedPath(): EventTarget[]
  preventDefault(): void
  stopPropagation(): void
  stopImmediatePropagation(): void
}
declare var Event: {
  prototype: Event
  new (type: string, options?: EventInit | null): Event
  readonly NONE: 0
  readonly CAPTURING_PHASE: 1
  readonly AT_TARGET: 2
  readonly BUBBLING_PHASE: 3
}

interface CustomEvent<Detail = unknown> extends Event {
  readonly detail: Detail
}
declare var CustomEvent: {
  prototype: CustomEvent
  new <Detail>(type: string, options?: CustomEventInit<Detail> | null): CustomEvent<Detail>
}

interface AddEventListenerOptions {
  capture?: boolean
  once?: boolean
  passive?: boolean
  signal?: AbortSignal
}

type EventListenerOrEventListenerObject = ((event: Event) => unknown) | { handleEvent(event: Event): unknown }

interface EventTarget {
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions | null,
  ): void
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions | null,
  ): void
  dispatchEvent(event: Event): boolean
}
declare var EventTarget: {
  prototype: EventTarget
  new (): EventTarget
}

interface AbortSignal extends EventTarget {
  readonly aborted: boolean
  readonly reason: unknown
  onabort: ((this: AbortSignal, event: Event) => unknown) | null
  throwIfAborted(): void
}
declare var AbortSignal: {
  prototype: AbortSignal
  new (): AbortSignal
  abort(reason?: unknown): AbortSignal
  timeout(delayMs: number): AbortSignal
  any(signals: Iterable<AbortSignal>): AbortSignal
}

interface AbortController {
  readonly signal: AbortSignal
  abort(reason?: unknown): void
}
declare var AbortController: {
  prototype: AbortController
  new (): AbortController
}

interface DOMException extends Error {
  readonly name: string
  readonly code: number
}
declare var DOMException: {
  prototype: DOMException
  new (message?: string, options?: string | { name?: string; cause?: unknown }): DOMException
}

/** By it packages find that they run without a page. */
interface WorkerGlobalScope extends EventTarget {}
declare var WorkerGlobalScope: {
  prototype: WorkerGlobalScope
  new (): WorkerGlobalScope
}

// Fetch, to the hosts that the module lists under "berth.fetch". Bodies are whole: there are no streams.

type HeadersInit = Headers | Iterable<readonly [name: string, value: string]> | Readonly<Record<string, string>>
type BodyInit = string | ArrayBuffer | ArrayBufferView | URLSearchParams
type RequestInfo = string | Request

interface Headers extends Iterable<[name: string, value: string]> {
  append(name: string, value: string): void
  set(name: string, value: string): void
  delete(name: string): void
  get(name: string): string | null
  getSetCookie(): string[]
  has(name: string): boolean
  forEach(run: (value: string, name: string, headers: Headers) => void, self?: unknown): void
  entries(): IterableIterator<[name: string, value: string]>
  keys(): IterableIterator<string>
  values(): IterableIterator<string>
}
declare var Headers: {
  prototype: Headers
  new (init?: HeadersInit): Headers
}

interface Body {
  readonly bodyUsed: boolean
  text(): Promise<string>
  json(): Promise<unknown>
  bytes(): Promise<Uint8Array<ArrayBuffer>>
  arrayBuffer(): Promise<ArrayBuffer>
}

interface RequestInit {
  method?: string
  headers?: HeadersInit
  body?: BodyInit | null
  redirect?: 'follow' | 'error' | 'manual'
  signal?: AbortSignal | null
}

interface Request extends Body {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly redirect: 'follow' | 'error' | 'manual'
  readonly signal: AbortSignal
  clone(): Request
}
declare var Request: {
  prototype: Request
  new (input: string | URL | Request, init?: RequestInit): Request
}

interface ResponseInit {
  status?: number
  statusText?: string
  headers?: HeadersInit
}

interface Response extends Body {
  readonly type: 'default' | 'basic' | 'error'
  readonly url: string
  readonly redirected: boolean
  readonly status: number
  readonly ok: boolean
  readonly statusText: string
  readonly headers: Headers
  clone(): Response
}
declare var Response: {
  prototype: Response
  new (body?: BodyInit | null, init?: ResponseInit): Response
  error(): Response
  redirect(url: string | URL, status?: number): Response
  json(data: unknown, init?: ResponseInit): Response
}

declare function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

// URLs

interface URL {
  hash: string
  host: string
  hostname: string
  href: string
  readonly origin: string
  password: string
  pathname: string
  port: string
  protocol: string
  search: string
  readonly searchParams: URLSearchParams
  username: string
  toJSON(): string
  toString(): string
}
declare var URL: {
  prototype: URL
  new (url: string | URL, base?: string | URL): URL
  canParse(url: string | URL, base?: string | URL): boolean
  parse(url: string | URL, base?: string | URL): URL | null
}

interface URLSearchParams extends Iterable<[name: string, value: string]> {
  readonly size: number
  append(name: string, value: string): void
  delete(name: string, value?: string): void
  get(name: string): string | null
  getAll(name: string): string[]
  has(name: string, value?: string): boolean
  set(name: string, value: string): void
  sort(): void
  forEach(run: (value: string, name: string, params: URLSearchParams) => void, self?: unknown): void
  entries(): IterableIterator<[name: string, value: string]>
  keys(): IterableIterator<string>
  values(): IterableIterator<string>
  toString(): string
}
declare var URLSearchParams: {
  prototype: URLSearchParams
  new (init?: string | Iterable<readonly [name: string, value: string]> | Readonly<Record<string, string>>): URLSearchParams
}

// Text

interface TextEncoder {
  readonly encoding: 'utf-8'
  encode(text?: string): Uint8Array<ArrayBuffer>
  encodeInto(text: string, target: Uint8Array): { read: number; written: number }
}
declare var TextEncoder: {
  prototype: TextEncoder
  new (): TextEncoder
}

interface TextDecoder {
  readonly encoding: string
  readonly fatal: boolean
  readonly ignoreBOM: boolean
  decode(bytes?: ArrayBuffer | ArrayBufferView | null, options?: { stream?: boolean } | null): string
}
declare var TextDecoder: {
  prototype: TextDecoder
  new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean } | null): TextDecoder
}
