/** The globals of the web that an algorithm needs. */
import { defineGlobal } from '../built-ins/on-use.ts'
import { lockGlobals, protect } from '../built-ins/protect.ts'
import { sinceStart, timeOrigin } from '../clock.ts'
import { defineProperty, entries, freeze } from '../primordials.ts'
import { consoleOfSlot, report } from './console.ts'
import { defineLazyGlobals, fetchFor } from './lazy.ts'
import { closeTimer, openTimer } from './timers.ts'

const performanceOfSlot = {
  timeOrigin,
  now: sinceStart,
  toJSON: () => ({ timeOrigin }),
}

const functions = {
  setImmediate: (run: unknown, ...values: unknown[]) => openTimer('setImmediate', run, 0, values, false),
  clearImmediate: (no?: unknown) => closeTimer(no),
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

/** What tells packages that they run in a worker, and takes them to builds that need no page. */
const navigatorOfSlot = { userAgent: 'Berth', language: 'en-US', languages: freeze(['en-US']), hardwareConcurrency: 1 }

/** Runs once per isolate, after the built-ins are hardened. No module can change what it defines, nor any global that is there by then. */
export function defineGlobals(): void {
  const values = { ...functions, console: consoleOfSlot, performance: performanceOfSlot, navigator: navigatorOfSlot }
  for (const [name, value] of entries(values))
    defineGlobal(name, () => {
      protect(value)
      return value
    })
  for (const name of ['global', 'self']) defineProperty(globalThis, name, { value: globalThis, enumerable: false })
  defineLazyGlobals()
  lockGlobals()
}
