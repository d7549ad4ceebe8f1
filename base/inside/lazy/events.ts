/** Events and abort signals as in the DOM standard, for targets without a tree. */
import { tools } from './tools.ts'

interface Listener {
  readonly callback: ((event: Event) => unknown) | { handleEvent(event: Event): unknown }
  readonly capture: boolean
  readonly once: boolean
  readonly passive: boolean
  removed: boolean
}
interface ListenerOptions {
  readonly capture?: boolean
  readonly once?: boolean
  readonly passive?: boolean
  readonly signal?: AbortSignal
}
interface EventOptions {
  readonly bubbles?: boolean
  readonly cancelable?: boolean
  readonly composed?: boolean
}

const codes: readonly string[] = [
  ...['IndexSizeError', '', 'HierarchyRequestError', 'WrongDocumentError', 'InvalidCharacterError', '', 'NoModificationAllowedError'],
  ...['NotFoundError', 'NotSupportedError', 'InUseAttributeError', 'InvalidStateError', 'SyntaxError', 'InvalidModificationError'],
  ...['NamespaceError', 'InvalidAccessError', '', 'TypeMismatchError', 'SecurityError', 'NetworkError', 'AbortError', 'URLMismatchError'],
  ...['QuotaExceededError', 'TimeoutError', 'InvalidNodeTypeError', 'DataCloneError'],
]

class DOMException extends Error {
  #name = 'Error'

  constructor(message: unknown = '', options: unknown = 'Error') {
    const { name = 'Error', ...rest } =
      typeof options === 'object' && options !== null ? (options as { name?: unknown }) : { name: options }
    super(String(message), 'cause' in rest ? rest : undefined)
    this.#name = String(name)
  }

  // `Error` reads the name for the stack before the fields of this class exist.
  override get name(): string {
    return #name in this ? this.#name : 'DOMException'
  }

  get code(): number {
    return codes.indexOf(this.name || ' ') + 1
  }

  get [Symbol.toStringTag](): string {
    return 'DOMException'
  }
}
codes.forEach((name, i) => {
  if (name === '') return
  const constant = `${name
    .replace('InUse', 'Inuse')
    .replace('URL', 'URL_')
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .replace('_Error', '')
    .toUpperCase()}_ERR`
  for (const holder of [DOMException, DOMException.prototype])
    Object.defineProperty(holder, constant, {
      value: i + 1,
      enumerable: true,
      configurable: true,
    })
})

/** What dispatching changes in an event. It is apart from the event, so that its users cannot change it. */
class State {
  target: EventTarget | null = null
  dispatching = false
  stopped = false
  prevented = false
  passive = false
  trusted = false
}
const states = new WeakMap<Event, State>()
const stateOf = (event: Event): State => {
  const state = states.get(event)
  if (state === undefined) throw new TypeError('Illegal invocation')
  return state
}

const [NONE, AT_TARGET] = [0, 2]

class Event {
  static readonly NONE = NONE
  static readonly CAPTURING_PHASE = 1
  static readonly AT_TARGET = AT_TARGET
  static readonly BUBBLING_PHASE = 3
  readonly #type: string
  readonly #options: EventOptions
  readonly #at = tools.sinceStart()

  constructor(...args: [type?: unknown, options?: EventOptions | null]) {
    if (args.length === 0) throw new TypeError('The "type" argument must be specified')
    this.#type = String(args[0])
    this.#options = { ...args[1] }
    states.set(this, new State())
  }
  get type() {
    return this.#type
  }
  get bubbles() {
    return Boolean(this.#options.bubbles)
  }
  get cancelable() {
    return Boolean(this.#options.cancelable)
  }
  get composed() {
    return Boolean(this.#options.composed)
  }
  get timeStamp() {
    return this.#at
  }
  get target() {
    return stateOf(this).target
  }
  get srcElement() {
    return stateOf(this).target
  }
  get currentTarget() {
    return stateOf(this).dispatching ? stateOf(this).target : null
  }
  get eventPhase(): number {
    return stateOf(this).dispatching ? AT_TARGET : NONE
  }
  get defaultPrevented() {
    return stateOf(this).prevented
  }
  get returnValue() {
    return !stateOf(this).prevented
  }
  get isTrusted() {
    return stateOf(this).trusted
  }
  get [Symbol.toStringTag]() {
    return 'Event'
  }
  composedPath(): EventTarget[] {
    const { target, dispatching } = stateOf(this)
    return dispatching && target !== null ? [target] : []
  }
  preventDefault(): void {
    const state = stateOf(this)
    if (this.cancelable && !state.passive) state.prevented = true
  }
  /** Does nothing, since an event has nowhere to propagate to. */
  stopPropagation(): void {}
  stopImmediatePropagation(): void {
    stateOf(this).stopped = true
  }
}

class CustomEvent extends Event {
  readonly #detail: unknown
  constructor(...args: [type?: unknown, options?: (EventOptions & { readonly detail?: unknown }) | null]) {
    super(...args)
    this.#detail = args[1]?.detail ?? null
  }
  get detail() {
    return this.#detail
  }
  override get [Symbol.toStringTag]() {
    return 'CustomEvent'
  }
}

class EventTarget {
  readonly #listeners = new Map<string, Listener[]>()

  addEventListener(type: unknown, callback: unknown, options?: boolean | ListenerOptions | null): void {
    const { capture, once, passive, signal } = typeof options === 'boolean' ? { capture: options } : ((options ?? {}) as ListenerOptions)
    if (signal !== undefined && !isSignal(signal)) throw new TypeError('The "signal" option must be an AbortSignal')
    if (callback === null || callback === undefined || signal?.aborted) return
    if (typeof callback !== 'function' && typeof callback !== 'object') throw new TypeError('The "listener" argument must be a function')
    const name = String(type)
    const listeners = this.#listeners.get(name) ?? []
    if (listeners.some(listener => listener.callback === callback && listener.capture === Boolean(capture))) return
    const listener = {
      callback: callback as Listener['callback'],
      capture: Boolean(capture),
      once: Boolean(once),
      passive: Boolean(passive),
      removed: false,
    }
    this.#listeners.set(name, [...listeners, listener])
    signal?.addEventListener('abort', () => this.#remove(name, listener), { once: true })
  }

  removeEventListener(type: unknown, callback: unknown, options?: boolean | ListenerOptions | null): void {
    const capture = Boolean(typeof options === 'boolean' ? options : options?.capture)
    const name = String(type)
    const found = this.#listeners.get(name)?.find(listener => listener.callback === callback && listener.capture === capture)
    if (found !== undefined) this.#remove(name, found)
  }

  #remove(name: string, listener: Listener): void {
    listener.removed = true
    const rest = (this.#listeners.get(name) ?? []).filter(other => other !== listener)
    if (rest.length > 0) this.#listeners.set(name, rest)
    else this.#listeners.delete(name)
  }

  dispatchEvent(event: Event): boolean {
    const state = states.get(event)
    if (state === undefined) throw new TypeError('The "event" argument must be an instance of Event')
    if (state.dispatching) throw new DOMException('The event is already being dispatched', 'InvalidStateError')
    state.target = this
    state.dispatching = true
    state.stopped = false
    for (const listener of this.#listeners.get(event.type) ?? []) {
      if (state.stopped) break
      if (!listener.removed) this.#notify(listener, event, state)
    }
    state.dispatching = false
    return !state.prevented
  }

  /** An error of one listener must not keep the next from hearing of the event. */
  #notify(listener: Listener, event: Event, state: State): void {
    const { callback, once, passive } = listener
    if (once) this.#remove(event.type, listener)
    state.passive = passive
    try {
      if (typeof callback === 'function') callback.call(this, event)
      else callback.handleEvent(event)
    } catch (error) {
      tools.report(`A listener for "${event.type}" threw:`, error)
    }
    state.passive = false
  }

  get [Symbol.toStringTag]() {
    return 'EventTarget'
  }
}

const secret = {}
let abort: (signal: AbortSignal, reason: unknown) => void
type Handler = (this: AbortSignal, event: Event) => unknown

class AbortSignal extends EventTarget {
  #aborted = false
  #reason: unknown
  #handler: Handler | null = null
  /** Signals that `any` has made of this one. */
  readonly #dependents = new Set<AbortSignal>()
  readonly #sources = new Set<AbortSignal>()

  static {
    abort = (signal, reason) => signal.#abort(reason)
  }

  constructor(key?: unknown) {
    if (key !== secret) throw new TypeError('Illegal constructor')
    super()
  }
  static abort(reason: unknown = abortError()): AbortSignal {
    const signal = newSignal()
    signal.#aborted = true
    signal.#reason = reason
    return signal
  }
  static timeout(delayMs: number): AbortSignal {
    if (!(Number(delayMs) >= 0)) throw new RangeError('AbortSignal.timeout takes a number of milliseconds that is not negative')
    const signal = newSignal()
    tools.setTimeout(() => signal.#abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), delayMs)
    return signal
  }
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const sources = [...signals]
    for (const source of sources) if (!isSignal(source)) throw new TypeError('AbortSignal.any takes abort signals')
    const aborted = sources.find(source => source.#aborted)
    const signal = newSignal()
    if (aborted !== undefined) {
      signal.#aborted = true
      signal.#reason = aborted.#reason
      return signal
    }
    for (const source of sources) {
      source.#dependents.add(signal)
      signal.#sources.add(source)
    }
    return signal
  }
  get aborted() {
    return this.#aborted
  }
  get reason() {
    return this.#reason
  }
  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason
  }
  get onabort() {
    return this.#handler
  }
  set onabort(handler: Handler | null) {
    if (this.#handler !== null) this.removeEventListener('abort', this.#handler)
    this.#handler = typeof handler === 'function' ? handler : null
    if (this.#handler !== null) this.addEventListener('abort', this.#handler)
  }
  override get [Symbol.toStringTag]() {
    return 'AbortSignal'
  }

  #abort(reason: unknown): void {
    if (this.#aborted) return
    // All signals are aborted before any listener runs, and each lets go of the signals that it was made of.
    const all: AbortSignal[] = [this, ...this.#dependents].filter(signal => !signal.#aborted)
    for (const signal of all) {
      signal.#aborted = true
      signal.#reason = reason
      for (const source of signal.#sources) source.#dependents.delete(signal)
      signal.#sources.clear()
    }
    for (const signal of all) signal.#notify()
  }

  #notify(): void {
    const event = new Event('abort')
    stateOf(event).trusted = true
    this.dispatchEvent(event)
    for (const dependent of this.#dependents) dependent.#abort(this.#reason)
    this.#dependents.clear()
  }
}

// This is not in the class, because a bundled class that names itself gets another name.
const newSignal = () => new AbortSignal(secret)
const isSignal = (value: unknown) => value instanceof AbortSignal
const abortError = () => new DOMException('This operation was aborted', 'AbortError')

class AbortController {
  readonly #signal = newSignal()
  get signal() {
    return this.#signal
  }
  abort(reason: unknown = abortError()): void {
    abort(this.#signal, reason)
  }
  get [Symbol.toStringTag]() {
    return 'AbortController'
  }
}

/** Packages look for it to learn that they run without a page. Of a slot it is the global object, as of a worker. */
class WorkerGlobalScope extends EventTarget {
  constructor() {
    super()
    throw new TypeError('Illegal constructor')
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value === globalThis
  }
}

export default { AbortController, AbortSignal, CustomEvent, DOMException, Event, EventTarget, WorkerGlobalScope }
