/**
 * The globals of an isolate: hardened built-ins, and those of the web that an algorithm needs. The cell takes the text of `globalsText`,
 * compiles it in the isolate as a script, and calls its value with the bridge before any module runs.
 *
 * What the bridge must provide, all of it inside the isolate:
 * - `startTimer(no, delayMs)`: calls `fireTimer(no)` once, `delayMs` from now. At most `slotTimers` are under way at a time; none is ever
 *   taken back. One serves many timers of the modules.
 * - `log(level, text)`: takes a line of `console`, of any length and number; bounding both is the bridge's task.
 * - `load(part)`: returns the text of a lazy part, `lazyParts[part]` of `lazy/parts.ts`, synchronously and at most once for each. The texts
 *   cost an isolate next to nothing as external strings: `new ivm.ExternalCopy(text)` once in a cell, `copyInto()` for each isolate.
 * - `fetch(owner, method, head, body)`: sends a request; see `GlobalsBridge`. Which hosts, how much and how long is for the cell to say.
 * - `seed`: 64 hexadecimal digits of fresh randomness for this isolate, `randomBytes(32).toString('hex')`.
 */
import { type Hardened, harden, type Mended } from './harden.ts'

export type LazyPart = 'clone' | 'events' | 'fetch' | 'random' | 'text' | 'url'

export interface GlobalsBridge {
  startTimer(no: number, delayMs: number): void
  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void
  load(part: LazyPart): string
  fetch: Send
  readonly seed: string
}

/**
 * Sends a request of `fetch`. Called in the synchronous part of the code that fetches. Throws or rejects with what the module is to get.
 * @param owner what `Globals.fetchFor` was given
 * @param head JSON of `{ url, redirect, headers }`: `redirect` is `follow`, `error` or `manual`, headers are pairs
 */
export type Send = (
  owner: unknown,
  method: string,
  head: string,
  body: string | ArrayBuffer | undefined,
) => {
  /** `head` is JSON of `{ status, statusText, headers, url, redirected }`. A body that is UTF-8 comes as text, any other as bytes. */
  readonly answer: Promise<{ readonly head: string; readonly body: string | ArrayBuffer }>
  /** Nobody waits for the answer any more. */
  abort(): void
}

export interface GlobalsLimits {
  /** Timers that may be open in the isolate at once. */
  readonly slotTimers: number
}

export interface Globals {
  /** Runs the timers that are due. Never throws. */
  fireTimer(no: number): void
  /** `fetch` on behalf of somebody that the bridge knows; the global one does not say on whose. */
  fetchFor(owner: unknown, input: unknown, init: unknown): Promise<unknown>
  /** Undoes changes to `RegExp.prototype`, the one built-in that is not frozen. For after each load of a module and each turn. */
  mendRegExp(): Mended | undefined
}

/** What a lazy part is called with; it returns the globals it defines. */
export interface PartTools {
  /** A global by name, whichever part defines it. */
  readonly use: (name: string) => unknown
  readonly seed: string
  readonly fetch: Send
  readonly setTimeout: (run: () => void, delayMs: number) => number
  /** Tells of an error that nobody can catch. */
  readonly report: (what: string, error: unknown) => void
}

/** Hardens the built-ins and sets up the web globals. Runs once per isolate, before any module. */
export function installGlobals(bridge: GlobalsBridge, limits: GlobalsLimits, hardened: Hardened): Globals {
  interface Timer {
    readonly no: number
    readonly run: () => void
    readonly everyMs: number | undefined
    at: number
  }

  const { defineProperty, freeze, getPrototypeOf, isExtensible } = Object
  const { ownKeys } = Reflect
  const { now } = Date
  // timers

  const timers = new Map<number, Timer>()
  /** When each wake-up that the cell has promised is due. Few, as a wake-up is asked for only when none comes early enough. */
  const wakeUps = new Map<number, number>()
  let lastTimer = 0
  let lastWakeUp = 0
  /** The wake-up that comes first. */
  let nextWakeAt = Infinity

  function openTimer(name: string, run: unknown, delayMs: unknown, values: readonly unknown[], repeats: boolean): number {
    if (typeof run !== 'function') throw new TypeError(`${name} takes a function`)
    if (timers.size >= limits.slotTimers) throw new RangeError(`${name}: ${limits.slotTimers} timers are open in this slot already`)
    const delay = Number(delayMs)
    const ms = delay > 0 ? Math.min(Math.trunc(delay), 2 ** 31 - 1) : 0
    const at = now() + ms
    wakeBy(name, at, ms)
    const no = ++lastTimer
    timers.set(no, { no, run: () => run(...values), everyMs: repeats ? Math.max(ms, 1) : undefined, at })
    return no
  }

  function wakeBy(name: string, at: number, delayMs: number): void {
    if (at >= nextWakeAt) return
    // Wake-ups of timers that were cleared count as well: they are what the cell has to bear.
    if (wakeUps.size >= limits.slotTimers) throw new RangeError(`${name}: too many timers were opened and cleared in this slot`)
    nextWakeAt = at
    wakeUps.set(++lastWakeUp, at)
    bridge.startTimer(lastWakeUp, delayMs)
  }

  function closeTimer(no: unknown): void {
    timers.delete(Number(no))
  }

  function fireTimer(no: number): void {
    const wakeAt = wakeUps.get(no)
    if (wakeAt === undefined) return
    wakeUps.delete(no)
    nextWakeAt = Math.min(Infinity, ...wakeUps.values())
    // The cell's clock is not this one: what the wake-up was for is due, whatever time it is here.
    const time = Math.max(now(), wakeAt)
    const due = [...timers.values()].filter(timer => timer.at <= time).sort((a, b) => a.at - b.at || a.no - b.no)
    runDue(due, 0, time)
  }

  /** One after the other, each after the promise reactions of the one before. */
  function runDue(due: readonly Timer[], index: number, time: number): void {
    const timer = due[index]
    if (timer === undefined) {
      wakeForRest(time)
      return
    }
    if (timers.has(timer.no)) runTimer(timer, time)
    if (index + 1 < due.length) Promise.resolve().then(() => runDue(due, index + 1, time))
    else wakeForRest(time)
  }

  function runTimer(timer: Timer, time: number): void {
    if (timer.everyMs === undefined) timers.delete(timer.no)
    else timer.at = time + timer.everyMs
    try {
      timer.run()
    } catch (error) {
      report('A timer threw:', error)
    }
  }

  function wakeForRest(time: number): void {
    let at = Infinity
    for (const timer of timers.values()) if (timer.at < at) at = timer.at
    if (at !== Infinity) wakeBy('setInterval', at, Math.max(at - time, 0))
  }

  // console

  type Level = 'debug' | 'info' | 'warn' | 'error'

  let indent = ''
  const counts = new Map<string, number>()
  const started = new Map<string, number>()

  function write(level: Level, values: readonly unknown[]): void {
    bridge.log(level, indent + textOfAll(values))
  }

  function report(what: string, error: unknown): void {
    bridge.log('error', textOfAll([what, error]))
  }

  function textOfAll(values: readonly unknown[]): string {
    const [first, ...rest] = values
    if (typeof first !== 'string' || rest.length === 0 || !first.includes('%')) return values.map(textOf).join(' ')
    let used = 0
    const text = first.replace(/%([sdifjoOc%])/g, (directive, kind: string) => {
      if (kind === '%') return '%'
      return used < rest.length ? directed(kind, rest[used++]) : directive
    })
    return [text, ...rest.slice(used).map(textOf)].join(' ')
  }

  function directed(kind: string, value: unknown): string {
    if (kind === 'c') return ''
    if (kind !== 'd' && kind !== 'i' && kind !== 'f') return textOf(value)
    const number = typeof value === 'symbol' || typeof value === 'object' ? Number.NaN : Number(value)
    return String(kind === 'i' ? Math.trunc(number) : number)
  }

  function textOf(value: unknown): string {
    if (typeof value === 'string') return value
    try {
      if (value instanceof Error) return String(value.stack ?? value.message)
      return typeof value === 'object' && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
    } catch {
      // A value that refuses to be shown, a cycle say, still gets a line.
      return '[unprintable]'
    }
  }

  function elapsed(label: string): string {
    return `${label}: ${now() - (started.get(label) ?? now())}ms`
  }

  /** Labels are the caller's: a table of them must not grow without end. */
  function keep(table: Map<string, number>, label: string, value: number): void {
    if (table.size < 1000 || table.has(label)) table.set(label, value)
  }

  const console = {
    log: (...values: unknown[]) => write('info', values),
    info: (...values: unknown[]) => write('info', values),
    debug: (...values: unknown[]) => write('debug', values),
    warn: (...values: unknown[]) => write('warn', values),
    error: (...values: unknown[]) => write('error', values),
    dir: (value: unknown) => write('info', [value]),
    dirxml: (...values: unknown[]) => write('info', values),
    table: (value: unknown) => write('info', [value]),
    trace: (...values: unknown[]) => write('debug', [...values, new Error('Trace').stack]),
    assert: (condition?: unknown, ...values: unknown[]) => {
      if (!condition) write('error', ['Assertion failed', ...values])
    },
    group: (...values: unknown[]) => {
      if (values.length > 0) write('info', values)
      if (indent.length < 64) indent += '  '
    },
    groupCollapsed: (...values: unknown[]) => console.group(...values),
    groupEnd: () => {
      indent = indent.slice(2)
    },
    count: (label: unknown = 'default') => {
      keep(counts, String(label), (counts.get(String(label)) ?? 0) + 1)
      write('info', [`${String(label)}: ${counts.get(String(label)) ?? 1}`])
    },
    countReset: (label: unknown = 'default') => {
      counts.delete(String(label))
    },
    time: (label: unknown = 'default') => keep(started, String(label), now()),
    timeLog: (label: unknown = 'default', ...values: unknown[]) => write('info', [elapsed(String(label)), ...values]),
    timeEnd: (label: unknown = 'default') => {
      write('info', [elapsed(String(label))])
      started.delete(String(label))
    },
    clear: () => {},
  }

  // what is small

  const timeOrigin = now()
  let latest = 0
  const performance = {
    timeOrigin,
    /** Whole milliseconds, the only clock there is here; it does not go back when the machine's does. */
    now: () => {
      latest = Math.max(latest, now() - timeOrigin)
      return latest
    },
    toJSON: () => ({ timeOrigin }),
  }

  const functions = {
    setTimeout: (run: unknown, delayMs?: unknown, ...values: unknown[]) => openTimer('setTimeout', run, delayMs, values, false),
    setInterval: (run: unknown, delayMs?: unknown, ...values: unknown[]) => openTimer('setInterval', run, delayMs, values, true),
    clearTimeout: (no?: unknown) => closeTimer(no),
    clearInterval: (no?: unknown) => closeTimer(no),
    queueMicrotask: (run: unknown) => {
      if (typeof run !== 'function') throw new TypeError('queueMicrotask takes a function')
      Promise.resolve().then(() => {
        try {
          run()
        } catch (error) {
          report('A microtask threw:', error)
        }
      })
    },
    fetch: (input?: unknown, init?: unknown) => fetchFor(undefined, input, init),
  }

  // what is loaded on first use

  // biome-ignore lint/security/noGlobalEval: the text is the cell's own, and eval is the one way to compile it from in here.
  const evaluate = eval
  const loaded = new Map<LazyPart, Readonly<Record<string, unknown>>>()
  const lazy: Readonly<Record<LazyPart, readonly string[]>> = {
    clone: ['structuredClone'],
    events: ['AbortController', 'AbortSignal', 'CustomEvent', 'DOMException', 'Event', 'EventTarget'],
    fetch: ['Headers', 'Request', 'Response'],
    random: ['crypto'],
    text: ['TextDecoder', 'TextEncoder', 'atob', 'btoa'],
    url: ['URL', 'URLSearchParams'],
  }

  function part(name: LazyPart): Readonly<Record<string, unknown>> {
    const before = loaded.get(name)
    if (before !== undefined) return before
    // Polyfills look whether there is something to fill: there is not, until they have.
    loaded.set(name, {})
    const define = evaluate(bridge.load(name)) as (tools: PartTools) => Record<string, unknown>
    const values = define(tools)
    for (const value of Object.values(values)) protectDeep(value)
    loaded.set(name, freeze(values))
    return values
  }

  function fetchFor(owner: unknown, input: unknown, init: unknown): Promise<unknown> {
    return (part('fetch').fetchFor as Globals['fetchFor'])(owner, input, init)
  }

  /** With the classes that it extends. */
  function protectDeep(value: unknown): void {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || !isExtensible(value)) return
    const { prototype } = value as { prototype?: object }
    if (prototype !== undefined) hardened.protect(prototype, ownKeys(prototype))
    hardened.protect(value)
    protectDeep(getPrototypeOf(value))
  }

  const tools: PartTools = {
    use: name => (globalThis as Record<string, unknown>)[name],
    seed: bridge.seed,
    fetch: (...request) => bridge.fetch(...request),
    setTimeout: (run, delayMs) => functions.setTimeout(run, delayMs),
    report,
  }

  for (const [name, value] of Object.entries({ ...functions, console, performance, self: globalThis })) {
    if (value !== globalThis) hardened.protect(value)
    defineProperty(globalThis, name, { value, enumerable: false, writable: false, configurable: false })
  }
  for (const [name, globals] of Object.entries(lazy)) {
    for (const global of globals) {
      defineProperty(globalThis, global, { get: freeze(() => part(name as LazyPart)[global]), configurable: false, enumerable: false })
    }
  }
  hardened.protectGlobals()

  return { fireTimer, fetchFor, mendRegExp: hardened.mendRegExp }
}

/** An expression whose value is a function `(bridge: GlobalsBridge, limits: GlobalsLimits) => Globals`; strict mode is the script's to say. */
export const globalsExpression = `((bridge, limits) => (${installGlobals})(bridge, limits, (${harden})()))`

/** The same as a script of its own. */
export const globalsText = `'use strict';${globalsExpression}`
